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
_MEASURES = (
    "ml|cl|dl|l|mg|kg|mcg|μg|g|mm|cm|km|m|kb|mb|gb|tb|khz|mhz|ghz|hz|mah|ah|kw|mv|kv|cc|oz|lb|ft|"
    "inch|ct|pack|meq|mbq"
)
_NUMBER = r"\d+(?:\.\d+)?"
_WRITTEN = re.compile(
    rf"(?<=\d)([ -]?)({'|'.join(sorted(_SPELT, key=len, reverse=True))})(?![A-Za-zァ-ヺー])",
    re.I,
)
_SPACED = re.compile(rf"(?<=\d) (?=(?:{_MEASURES}|w|v)(?![0-9A-Za-z]))", re.I)
_RUN = re.compile(
    rf"(?<![0-9A-Za-z._/-])(?:{_NUMBER}(?:{_MEASURES})x?)+(?=\d)[0-9.]*(?![0-9A-Za-z])",
    re.I | re.ASCII,
)
_JOINT = re.compile(rf"(?<=\d)({_MEASURES})x?(?=\d)", re.I | re.ASCII)


def abbreviate(text: str) -> str:
    """Units that are written out after a number as their signs: `2リットル` gives 2l."""
    return _WRITTEN.sub(lambda match: match[1] + _SPELT[match[2].lower()], text)


def close_up(text: str) -> str:
    """No space between a number and its unit: `500 ml` gives 500ml."""
    return _SPACED.sub("", text)


def part_measures(text: str) -> str:
    """A space between measures that follow one another: `10mL1管`, `500mlx24` give 10mL 1管, ..."""
    return _RUN.sub(lambda match: _JOINT.sub(r"\1 ", match[0]), text)
