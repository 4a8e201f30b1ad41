import time
from collections.abc import Callable

import pytest

from pipeline.text.tokenize import TextSettings, Tokenizer
from pipeline.text.units import abbreviate_units, counter_token, join_numbers_and_units


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("水 2リットル", "水 2l"),
        ("500 ミリリットル", "500 ml"),
        ("5キログラム 15.6インチ", "5kg 15.6inch"),
        ("果汁100パーセント", "果汁100%"),
        ("12 Ounces, 6 count", "12 oz, 6 ct"),
        ("24-inches", "24-inch"),
        ("リットル 2リットルズ 3 counts 5キロ", "リットル 2リットルズ 3 counts 5キロ"),
    ],
)
def test_spelled_out_units_become_symbols(text: str, expected: str) -> None:
    assert abbreviate_units(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500 ml 2.5 L", "500ml 2.5L"),
        ("ts 32 gb", "ts 32gb"),
        ("3 in 1", "3 in 1"),
        ("3 LED 4 x 6", "3 LED 4 x 6"),
    ],
)
def test_a_unit_is_joined_to_its_number(text: str, expected: str) -> None:
    assert join_numbers_and_units(text) == expected


@pytest.mark.parametrize(
    ("number", "counter", "token"),
    [("5.5", "合", "5.5合"), ("24", "本", "24本"), ("2017", "年", "年"), ("xz", "本", "本")],
)
def test_a_counter_is_joined_to_its_number(number: str, counter: str, token: str) -> None:
    assert counter_token(number, counter) == token


@pytest.mark.parametrize(
    "spellings",
    [
        ("500ml", "500 ml", "500 mL", "500ミリリットル", "５００㎖", "500　ミリリットル"),
        ("2L", "2 l", "２リットル", "2㍑"),
        ("27.5cm", "27.5㎝", "27.5センチ", "27.5 センチメートル"),
        ("100V", "100ボルト", "１００ Ｖ"),
        ("1TB", "1 テラバイト"),
        ("15.6インチ", "15.6 inch", "15.6 inches"),
        ("12 oz", "12oz", "12 ounces"),
        ("1,000円", "1000円", "千円"),
        ("5.5合", "５．５合"),
        ("3枚組", "三枚組"),
        ("10個入り", "１０個入り", "10個入"),
    ],
)
def test_spellings_of_one_measure_share_their_tokens(spellings: tuple[str, ...]) -> None:
    tokenizer = Tokenizer(TextSettings())
    assert len({tuple(tokenizer.tokens(spelling)) for spelling in spellings}) == 1


@pytest.mark.parametrize("rule", [abbreviate_units, join_numbers_and_units])
@pytest.mark.parametrize("hostile", ["1ml", "1", "1 ", "1.", "1l ", "1 カ"])
def test_hostile_text_takes_linear_time(rule: Callable[[str], str], hostile: str) -> None:
    start = time.monotonic()
    rule(hostile * (300_000 // len(hostile)))
    assert time.monotonic() - start < 10
