import unicodedata

import pytest

from pipeline.config.sections import TextSection
from pipeline.text.placeholders import NONE, Placeholders, normal_form


@pytest.fixture(scope="module")
def placeholders() -> Placeholders:
    return Placeholders.of(TextSection().placeholder_texts, blank=True)


@pytest.mark.parametrize(
    "text", ["NULL", "\\N", "nan", "N/A", " Ｎ／Ａ　", "ＮＵＬＬ", "なし", "ﾅｼ", "商品名", "-"]
)
def test_a_text_that_is_only_a_placeholder_counts_as_none(
    placeholders: Placeholders, text: str
) -> None:
    assert placeholders.text(text) is None


@pytest.mark.parametrize("text", ["NULLバッグ", "梨", "商品名 靴", "ﾅｼﾞ", "", None])
def test_other_texts_stay(placeholders: Placeholders, text: str | None) -> None:
    assert placeholders.text(text) == text


def test_placeholders_can_be_kept_and_chosen() -> None:
    assert Placeholders.of(["NULL"], blank=False).text("null") == "null"
    assert NONE.text("null") == "null"
    assert Placeholders.of([" ＴＢＤ "], blank=True).text("tbd") is None
    assert Placeholders.of(["", " "], blank=True).text(" ") == " "


def test_the_form_that_is_compared_is_nfkc_for_kana_and_letters() -> None:
    for text in ("ＮＵＬＬ／（１）", "ｼｮｳﾋﾝﾒｲ", "商品名"):
        assert normal_form(text) == unicodedata.normalize("NFKC", text).lower()
