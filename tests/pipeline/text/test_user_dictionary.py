from pathlib import Path

from pipeline.text.tokenize import TextSettings, Tokenizer
from pipeline.text.user_dictionary import Headword, unused_headwords, warning
from tests.pipeline.user_dictionary import build_user_dictionary


def _settings(path: Path) -> TextSettings:
    return TextSettings(dictionary="small", user_dictionaries=(str(path),))


def test_headwords_that_no_text_can_match_are_told_with_the_form_that_would(tmp_path: Path) -> None:
    words = {
        "ｱﾂﾃﾞ似者": "アツデ似者",
        "似者ＭＡＸ改": "似者max改",
        "似者MAX版": "似者max版",
        "似者—屋": "似者-屋",
        "似者2リットル缶": "似者2l缶",
        "似者屋本舗": "似者屋本舗",
    }
    settings = _settings(build_user_dictionary(tmp_path, *words))
    unused = {word.written: word.form for word in unused_headwords(settings)}
    assert unused == {word: form for word, form in words.items() if word != form}
    tokenizer = Tokenizer(settings)
    for word in words:
        matches = len(tokenizer.tokens(word)) == 1
        assert matches == (word not in unused), word


def test_the_forms_that_are_told_match(tmp_path: Path) -> None:
    forms = ("アツデ似者", "似者max改", "似者-屋", "似者2l缶")
    settings = _settings(build_user_dictionary(tmp_path, *forms))
    assert unused_headwords(settings) == []
    tokenizer = Tokenizer(settings)
    assert [tokenizer.tokens(text) for text in ("ｱﾂﾃﾞ似者", "似者ＭＡＸ改", "似者—屋")] == [
        ["アツデ似者"],
        ["似者max改"],
        ["似者-屋"],
    ]


def test_a_headword_may_be_shown_in_another_form_than_it_is_looked_up(tmp_path: Path) -> None:
    built = build_user_dictionary(tmp_path, "似者max改", shown="似者ＭＡＸ改")
    assert unused_headwords(_settings(built)) == []


def test_a_headword_that_is_only_a_part_of_others_is_not_told(tmp_path: Path) -> None:
    built = build_user_dictionary(tmp_path, "似者屋本舗", parts=["似者本店"])
    assert unused_headwords(_settings(built)) == []


def test_a_warning_names_ten_headwords_at_most() -> None:
    words = [Headword(f"Ａ{number}", f"a{number}") for number in range(12)]
    assert "1 headword matches no text" in warning(words[:1])
    assert "12 headwords match no text" in warning(words)
    assert warning(words[:1]).endswith("again: Ａ0 as a0")
    assert warning(words).endswith("Ａ9 as a9, and 2 more")
