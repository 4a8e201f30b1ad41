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


def test_every_form_of_a_placeholder_begins_with_one_of_the_first_characters(
    placeholders: Placeholders,
) -> None:
    wide = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
    for text in placeholders.texts:
        for form in (text, text.upper(), text.translate(wide), text.title(), f"\u3000{text}"):
            assert placeholders.text(form) is None
            assert form[0] in placeholders.first_characters
    assert not {"梨", "靴", "A", "1"} & placeholders.first_characters


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
