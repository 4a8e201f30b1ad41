"""Reason codes: why a row is in quarantine, and why an item has fewer than k neighbours.

The tables `quarantine` and `short_lists` hold the codes; commands, the run's page and the
documentation say what each means.
"""

from typing import NamedTuple

# Why a row of the catalogue is in the table quarantine.
UNREADABLE_ROW = "unreadable_row"
SEVERAL_OBJECTS = "several_objects"
DUPLICATE_KEY = "duplicate_key"
TOO_MANY_CELLS = "too_many_cells"
UNCLOSED_QUOTE = "unclosed_quote"
NO_ITEM_ID = "no_item_id"
GARBLED_ITEM_ID = "garbled_item_id"
NO_TEXT = "no_text"
DUPLICATE_ITEM_ID = "duplicate_item_id"

# Why an item has fewer neighbours than were asked for: the table short_lists.
NO_TOKENS = "no_tokens"
NO_VECTOR = "no_vector"
FEW_ITEMS = "few_items"
FEW_ELIGIBLE = "few_eligible"
RULES = "rules"
FEW_IN_LISTS = "few_in_lists"
# The code of an item that rules.query gives no list: it is in neither table; query, inspect
# and export show it.
NOT_ASKED = "not_asked"

WITHOUT_VECTOR = (NO_TOKENS, NO_VECTOR)


class Meaning(NamedTuple):
    """What a reason means, in English and Japanese."""

    en: str
    ja: str


QUARANTINE = {
    UNREADABLE_ROW: Meaning("the row can't be read", "行を読み取れない"),
    SEVERAL_OBJECTS: Meaning(
        "the line holds more than one JSON object; write one a line",
        "1 行に複数の JSON オブジェクトがある",
    ),
    DUPLICATE_KEY: Meaning("the line has a key twice", "同じキーが 1 行に 2 回ある"),
    TOO_MANY_CELLS: Meaning("the row has more cells than the header", "セルの数が見出し行より多い"),
    UNCLOSED_QUOTE: Meaning(
        "a quotation mark is opened and never closed in this line or before it",
        "この行かそれより前の行に、閉じていない引用符がある",
    ),
    NO_ITEM_ID: Meaning("the row has no id", "ID がない"),
    GARBLED_ITEM_ID: Meaning(
        "the id holds characters that the encoding does not have", "ID に文字化けがある"
    ),
    NO_TEXT: Meaning("the row has neither title nor description", "商品名も説明文もない"),
    DUPLICATE_ITEM_ID: Meaning(
        "another row with the same id was kept, the one with the longest text",
        "ID が重複し、テキストが最も長い別の行を採用",
    ),
}
SHORT_LISTS = {
    NO_TOKENS: Meaning("the text holds no word", "商品名にも説明文にも単語がない"),
    NO_VECTOR: Meaning("the model knows none of its words", "モデルで扱える単語がない"),
    FEW_ITEMS: Meaning("the catalogue has no more items", "カタログの商品数が足りない"),
    FEW_ELIGIBLE: Meaning(
        "all items that are eligible and share what rules.same asks for are shown already",
        "rules.eligible と rules.same を満たす商品は、すべて表示している",
    ),
    RULES: Meaning(
        "the other items that were looked at break a rule", "調べたほかの候補はルールを満たさない"
    ),
    FEW_IN_LISTS: Meaning(
        "the lists that were searched hold no other items", "検索した範囲にほかの候補がない"
    ),
    NOT_ASKED: Meaning(
        "rules.query gives such an item no list",
        "rules.query の条件に合わないため、類似商品を出さない",
    ),
}


def explain(reason: str) -> str:
    """The code of a short list's reason and its meaning in English, as commands print them."""
    return f"{reason}, {SHORT_LISTS[reason].en}"


def page_texts() -> dict[str, dict[str, str]]:
    """Code and meaning of every reason: language -> code -> text."""
    meanings = QUARANTINE | SHORT_LISTS
    return {
        "en": {code: f"{code}: {meaning.en}" for code, meaning in meanings.items()},
        "ja": {code: f"{code}：{meaning.ja}" for code, meaning in meanings.items()},
    }
