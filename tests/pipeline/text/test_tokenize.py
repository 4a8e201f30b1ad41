import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.text import tokenize
from pipeline.text.tokenize import TextSettings, Tokenizer
from tests.pipeline.user_dictionary import build_user_dictionary


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(TextSettings())


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("赤い靴を履いた", ["赤い", "靴", "履く"]),
        ("コンピュータとコンピューター", ["コンピューター", "コンピューター"]),
        ("引越し", ["引っ越し"]),
        ("ＸＺ－１０００Ｂ用ケース", ["xz1000b", "xz", "1000", "b", "用", "ケース"]),
        ("天然水 500ml×24本", ["天然水", "500ml", "500", "ml", "24", "24本"]),
        ("SUMMER サマー", ["summer", "サマー"]),
        ("Chocolate Sandwich Cookies", ["chocolate", "sandwich", "cookies"]),
        ("無地Tシャツ", ["無地", "tシャツ"]),
        ("五百円", ["500", "円"]),
        ("5.5合炊き 三枚組", ["5.5", "5.5合", "炊く", "3", "3枚", "組"]),
        ("第3XZ、3本", ["第", "3xz", "3", "xz", "3", "3本"]),
        ("第3巻 3 本 第3枚", ["第", "3", "巻", "3", "本", "第", "3", "枚"]),
        ("を", ["を"]),
        ("!!!", ["!", "!", "!"]),
        ("<br>&nbsp;", []),
        ("", []),
        (None, []),
    ],
)
def test_tokens_of(tokenizer: Tokenizer, text: str | None, tokens: list[str]) -> None:
    assert tokenizer.tokens(text) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("真𩸽の開き 5枚", ["真", "𩸽", "開き", "5", "5枚"]),
        ("𠮷野家 𠮟る", ["𠮷", "野家", "𠮟"]),
        ("무선이어폰 빨강 XL 새", ["무선", "선이", "이어", "어폰", "빨강", "xl", "새"]),
        ("เสื้อยืด X100", ["เสื้", "สื้อ", "อยื", "ยืด", "x100", "x", "100"]),
        ("བོད་ཡིག 5", ["བོད", "ཡིག", "5"]),
        ("قميص، أسود؟ 5", ["قميص", "أسود", "5"]),
        ("מַחְשֵׁב 5", ["מַחְשֵׁב", "5"]),
        ("नीली शर्ट। 5", ["नीली", "शर्ट", "5"]),
        ("ქართული 靴", ["ქართული", "靴"]),
        ("日本語の무선です", ["日本語", "무선"]),
        ("ー★々♥(^o^)(株) 靴", ["靴"]),
        ("犬がＴャツを着て", ["犬", "t", "着る"]),
        ("ˈ靴", ["靴"]),
    ],
)
def test_words_in_scripts_that_sudachi_does_not_know_stay(
    tokenizer: Tokenizer, text: str, tokens: list[str]
) -> None:
    assert tokenizer.tokens(text) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ('<img src="data:image/png;base64,iVBOR', []),
        ('靴 {"brand": "X"} .a{color:red}', ["靴"]),
    ],
)
def test_markup_and_code_make_no_tokens(tokenizer: Tokenizer, text: str, tokens: list[str]) -> None:
    assert tokenizer.tokens(text) == tokens


def test_no_token_holds_white_space(tokenizer: Tokenizer) -> None:
    # These entries of the dictionary have white space in their normalised form.
    for text in ("ＡＣＤＣ", "ニューヨーク・タイムズ", "a b", "Ｘ　Ｙ", "ローリングストーンズ"):
        assert all(token.split() == [token] for token in tokenizer.tokens(text))


def test_two_megabytes_are_tokenised_whole(tokenizer: Tokenizer) -> None:
    sentence = "吾輩は猫である。"
    once = tokenizer.tokens(sentence)
    assert tokenizer.tokens(sentence * 80_000) == once * 80_000


def test_a_long_text_without_sentence_ends_is_tokenised_too(tokenizer: Tokenizer) -> None:
    assert "".join(tokenizer.tokens("猫" * 200_000)).count("猫") == 200_000


@pytest.mark.parametrize(
    ("settings", "text", "tokens"),
    [
        (TextSettings(split_mode="A"), "選挙管理委員会", ["選挙", "管理", "委員", "会"]),
        (TextSettings(split_mode="C"), "選挙管理委員会", ["選挙管理委員会"]),
        (TextSettings(word_form="surface"), "引越し", ["引越し"]),
        (TextSettings(word_form="dictionary"), "走った", ["走る"]),
        (TextSettings(dictionary="small"), "赤い靴", ["赤い", "靴"]),
    ],
)
def test_settings_decide_units_and_forms(
    settings: TextSettings, text: str, tokens: list[str]
) -> None:
    assert Tokenizer(settings).tokens(text) == tokens


@pytest.fixture(scope="module")
def user_dictionary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user dictionary that holds one word that no other has."""
    return build_user_dictionary(tmp_path_factory.mktemp("dictionary"), "似者屋本舗")


def test_a_user_dictionary_adds_words(tokenizer: Tokenizer, user_dictionary: Path) -> None:
    settings = TextSettings(dictionary="small", user_dictionaries=(str(user_dictionary),))
    assert tokenizer.tokens("似者屋本舗の靴") != ["似者屋本舗", "靴"]
    assert Tokenizer(settings).tokens("似者屋本舗の靴") == ["似者屋本舗", "靴"]


def test_the_fingerprint_changes_with_every_setting(user_dictionary: Path) -> None:
    base = TextSettings()
    others = [
        replace(base, split_mode="A"),
        replace(base, word_form="surface"),
        replace(base, dictionary="small"),
        replace(base, user_dictionaries=(str(user_dictionary),)),
    ]
    assert len({settings.fingerprint() for settings in [base, *others]}) == 5
    assert base.fingerprint() == TextSettings().fingerprint()


def test_the_fingerprint_depends_on_a_user_dictionarys_content_not_its_path(
    user_dictionary: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved.dic"
    moved.write_bytes(user_dictionary.read_bytes())
    one = TextSettings(user_dictionaries=(str(user_dictionary),))
    assert one.fingerprint() == TextSettings(user_dictionaries=(str(moved),)).fingerprint()


def test_settings_travel_to_executors() -> None:
    assert len(pickle.dumps(TextSettings())) < 1000


def test_a_small_memory_of_words_gives_the_same_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["第3回 赤い靴 5足", "赤い靴と青い靴 10本", "コンピューター一人用 第1話"]
    expected = [Tokenizer(TextSettings()).tokens(text) for text in texts]
    monkeypatch.setattr(tokenize, "_MAX_ENTRIES", 2)
    small = Tokenizer(TextSettings())
    # Twice, so that most words are looked up again after they were forgotten.
    assert [small.tokens(text) for text in texts * 2] == expected * 2
    assert len(small._entries) <= 2
