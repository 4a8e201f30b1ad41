import pytest

from pipeline.text.split import LIMIT_BYTES, normalized_bytes, split_text


@pytest.mark.parametrize(
    "text",
    [
        "吾輩は猫である。名前はまだ無い。" * 5000,
        "区切りのない文" * 20_000,
        "word " * 40_000,
        "ﷺ" * 20_000,
        "İ" * 50_000,
        "。" * 50_000,
        "短い",
    ],
    ids=["sentences", "no end", "words", "grows 18 times", "grows in lower case", "ends", "short"],
)
def test_pieces_join_to_the_text_and_fit_after_normalisation(text: str) -> None:
    cut = list(split_text(text))
    assert "".join(cut) == text
    assert max(map(normalized_bytes, cut)) <= LIMIT_BYTES


def test_a_piece_ends_at_a_sentence_end_where_there_is_one() -> None:
    cut = list(split_text("吾輩は猫である。" * 5000))
    assert len(cut) > 1
    assert all(piece.endswith("。") for piece in cut)


def test_empty_text_gives_no_piece() -> None:
    assert list(split_text("")) == []
