"""Measures: a number and its unit in one form, before the tokenizer sees them."""

import re

# What a shop may write out after a number. キロ and ミリ are each two units, and stay.
_SPELT = {
    **dict.fromkeys(("ミリリットル", "milliliters", "milliliter"), "ml"),
    **dict.fromkeys(("リットル", "リッター", "liters", "liter", "litres", "litre"), "l"),
    **dict.fromkeys(("ミリグラム", "milligrams", "milligram"), "mg"),
    **dict.fromkeys(("グラム", "grams", "gram"), "g"),
    **dict.fromkeys(("キログラム", "kilograms", "kilogram"), "kg"),
    **dict.fromkeys(("ミリメートル", "millimeters", "millimeter"), "mm"),
    **dict.fromkeys(("センチメートル", "センチ", "centimeters", "centimeter"), "cm"),
    **dict.fromkeys(("メートル", "meters", "meter", "metres", "metre"), "m"),
    **dict.fromkeys(("キロメートル", "kilometers", "kilometer"), "km"),
    **dict.fromkeys(("ギガバイト", "gigabytes", "gigabyte"), "gb"),
    **dict.fromkeys(("テラバイト", "terabytes", "terabyte"), "tb"),
    **dict.fromkeys(("ワット", "watts", "watt"), "w"),
    **dict.fromkeys(("ボルト", "volts", "volt"), "v"),
    **dict.fromkeys(("ヘルツ", "hertz"), "hz"),
    **dict.fromkeys(("インチ", "inches"), "inch"),
    **dict.fromkeys(("ounces", "ounce"), "oz"),
    **dict.fromkeys(("pounds", "pound", "lbs"), "lb"),
    **dict.fromkeys(("feet", "foot"), "ft"),
    "パーセント": "%",
    "count": "ct",
    "pk": "pack",
}
_WRITTEN = re.compile(r"(\d[ -]?)([A-Za-zァ-ヺー]{2,})")
_SPACED = re.compile(r"(\d) ([A-Za-zμ]{1,4})(?![0-9A-Za-z])")
_STANDS_AT_NUMBER = frozenset(
    (
        *("ml", "cl", "dl", "l", "cc", "mcg", "μg", "mg", "g", "kg", "mm", "cm", "m", "km"),
        *(
            "kb",
            "mb",
            "gb",
            "tb",
            "hz",
            "khz",
            "mhz",
            "ghz",
            "mah",
            "ah",
            "w",
            "kw",
            "v",
            "mv",
            "kv",
        ),
        *("inch", "ft", "oz", "lb", "ct", "pack", "meq", "mbq"),
    )
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
# What these count says when, how dear or which, not how much of a thing there is.
_NO_MEASURE = frozenset("年月日時分秒号話巻回期章版人歳円%")


def abbreviate_units(text: str) -> str:
    """Units that are written out after a number as their signs: `2リットル` gives 2l."""
    return _WRITTEN.sub(lambda match: match[1] + _SPELT.get(match[2].lower(), match[2]), text)


def join_numbers_and_units(text: str) -> str:
    """No space between a number and its unit: `500 ml` gives 500ml."""
    return _SPACED.sub(
        lambda match: (
            match[1] + match[2] if match[2].lower() in _STANDS_AT_NUMBER else match.group()
        ),
        text,
    )


def counter_token(number: str, counter: str) -> str:
    """The token of a Japanese counter that stands at its number: 合 after 5.5 gives 5.5合.

    Years, episodes, prices and the like stay as they are.
    """
    if counter in _NO_MEASURE or not _NUMBER.fullmatch(number):
        return counter
    return number + counter
