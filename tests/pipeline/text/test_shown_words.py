"""Words of a title as a shop can show them."""

import pytest

from pipeline.text.shown_words import MAX_TITLE, shown_title, shown_words
from pipeline.text.tokenize import TextSettings, Tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(TextSettings())


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        # As it is written: neither in small letters nor in another form of the dictionary.
        ("Ｍｅｌｌｏｗ　かばん", {"mellow": "Mellow", "鞄": "かばん"}),
        ("掃除機 XZ-1000B", {"掃除機": "掃除機", "xz1000b": "XZ-1000B"}),
        # Numbers, amounts, affixes, single kana and Latin letters are no reasons.
        ("綿100% 3枚入り 500ml 2リットル S M", {"綿": "綿"}),
        ("10枚シート シート 2026年", {"シート": "シート"}),
        ("4K テレビ あ", {"4k": "4K", "テレビ": "テレビ"}),
        ("Blu-ray", {"bluray": "Blu-ray", "blu": "Blu", "ray": "ray"}),
        # Pairs of letters, which are compared, are no words.
        ("무선이", {}),
        ("★！？", {}),
        ("", {}),
    ],
)
def test_words_are_shown_as_they_are_written(
    tokenizer: Tokenizer, title: str, expected: dict[str, str]
) -> None:
    shown = shown_words(tokenizer, shown_title(title))
    assert {token: word.form for token, word in shown.items()} == expected


def test_spans_are_those_of_the_words_in_the_title(tokenizer: Tokenizer) -> None:
    title = shown_title("<b>Mellow</b> 靴 Blu-ray かばん " + "長い題名。" * 7000)
    assert len(title) == MAX_TITLE
    words = shown_words(tokenizer, title)
    for token, (form, start, end) in words.items():
        written = title[start:end]
        assert form == written or token in ("blu", "ray")
    assert words["blu"][1:] == words["ray"][1:] == words["bluray"][1:]


def test_spans_belong_to_the_tokens_across_pieces(tokenizer: Tokenizer) -> None:
    text = "赤い靴。XZ-10と3枚の皿。" * 2000
    spans = list(tokenizer.spans_of_clean(text))
    assert [token for token, _, _ in spans] == tokenizer.tokens_of_clean(text)
    written = {(token, text[start:end]) for token, start, end in spans}
    assert {each for each in written if each[0] in ("靴", "xz10", "3枚")} == {
        ("靴", "靴"),
        ("xz10", "XZ-10"),
        ("3枚", ""),
    }
