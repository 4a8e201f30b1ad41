"""The texts of the reason codes."""

from pipeline.store import reason_codes


def test_the_page_has_every_code_in_both_languages() -> None:
    texts = reason_codes.page_texts()
    codes = {*reason_codes.QUARANTINE, *reason_codes.SHORT_LISTS}
    assert {language: set(by_code) for language, by_code in texts.items()} == {
        "en": codes,
        "ja": codes,
    }
    assert texts["ja"][reason_codes.NO_ITEM_ID] == "no_item_id：ID がない"
