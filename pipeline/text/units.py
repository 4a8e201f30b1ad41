"""Measures: a number and its unit in one form, before tokenizing."""

import re

# Units that shops spell out after a number. キロ and ミリ are missing: each can be two units.
_SYMBOLS = {
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
_SPELLED_UNIT = re.compile(r"(\d[ -]?)([A-Za-zァ-ヺー]{2,})")
_SPACED_UNIT = re.compile(r"(\d) ([A-Za-zμ]{1,4})(?![0-9A-Za-z])")
# Units that are joined to the number before them.
_JOINED_UNIT_NAMES = """
    ml cl dl l cc mcg μg mg g kg mm cm m km
    kb mb gb tb hz khz mhz ghz mah ah w kw v mv kv
    inch ft oz lb ct pack meq mbq
"""
_JOINED_UNITS = frozenset(_JOINED_UNIT_NAMES.split())
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
# These counters tell a time, a price or a position, not an amount of the item.
_NOT_MEASURES = frozenset("年月日時分秒号話巻回期章版人歳円%")


def abbreviate_units(text: str) -> str:
    """Replace units that are spelled out after a number by their symbols: `2リットル` gives 2l."""
    return _SPELLED_UNIT.sub(
        lambda match: match[1] + _SYMBOLS.get(match[2].lower(), match[2]), text
    )


def join_numbers_and_units(text: str) -> str:
    """Remove the space between a number and its unit: `500 ml` gives 500ml."""
    return _SPACED_UNIT.sub(
        lambda match: match[1] + match[2] if match[2].lower() in _JOINED_UNITS else match.group(),
        text,
    )


def counter_token(number: str, counter: str) -> str:
    """The token of a Japanese counter after its number: 合 after 5.5 gives 5.5合.

    The counters of years, episodes, prices and the like are returned unchanged.
    """
    if counter in _NOT_MEASURES or not _NUMBER.fullmatch(number):
        return counter
    return number + counter


def is_amount(token: str) -> bool:
    """Whether a token is a number with a unit, as in 500ml."""
    number = _NUMBER.match(token)
    return number is not None and token[number.end() :] in _JOINED_UNITS
