"""The texts of the reason codes."""

from pipeline.store import reasons


def test_the_page_has_every_code_in_both_languages() -> None:
    texts = reasons.page_texts()
    codes = {*reasons.QUARANTINE, *reasons.SHORT_LISTS}
    assert {language: set(by_code) for language, by_code in texts.items()} == {
        "en": codes,
        "ja": codes,
    }
    assert texts["ja"][reasons.NO_ITEM_ID] == "no_item_id：ID がない"
