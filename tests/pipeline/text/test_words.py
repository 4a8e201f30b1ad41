import pytest

from pipeline.text.words import latin_words, word_tokens


@pytest.mark.parametrize(
    ("word", "tokens"),
    [
        ("XZ-1000B", ["xz1000b", "xz", "1000", "b"]),
        ("XZ1000B", ["xz1000b", "xz", "1000", "b"]),
        ("MX532J/A", ["mx532ja", "mx", "532", "j", "a"]),
        ("500ml", ["500ml", "500", "ml"]),
        ("2.5mg", ["2.5mg", "2.5", "mg"]),
        ("1,000", ["1000"]),
        ("1,234,567.8", ["1234567.8"]),
        ("Wi-Fi", ["wifi", "wi", "fi"]),
        ("Kellogg's", ["kellogg's"]),
        ("Crème", ["crème"]),
        ("SUMMER", ["summer"]),
        ("24-70mm", ["24-70mm", "24", "70", "mm"]),
        ("4902-123", ["4902-123", "4902", "123"]),
    ],
)
def test_a_word_gives_itself_and_its_parts(word: str, tokens: list[str]) -> None:
    assert word_tokens(word) == tokens


def test_a_very_long_word_gives_its_parts_only() -> None:
    tokens = word_tokens("a1" * 5000)
    assert set(tokens) == {"a", "1"}
    assert max(map(len, word_tokens("x" * 5000))) == 64


def test_words_have_their_positions() -> None:
    text = "赤いXZ-1000Bと500ml、A"
    assert [text[w.start : w.end] for w in latin_words(text)] == ["XZ-1000B", "500ml", "A"]
