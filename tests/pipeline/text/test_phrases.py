import pytest

from pipeline.text.phrases import Promotions, Title, learn, pattern, segments

KINDS = ("靴", "鞄", "皿", "傘", "帯")


def title(number: int, *bracketed: str) -> Title:
    """A made-up title: what is bracketed stands before two words of its own."""
    inside = [segment.split() for segment in bracketed]
    own = [KINDS[number % 5], f"w{number}"]
    return Title([token for segment in inside for token in segment] + own, inside)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("【送料無料】赤い靴 ≪あす楽≫(黒)「赤」", ["送料無料", "あす楽"]),
        ("★楽しいお買い物祭★靴", ["楽しいお買い物祭"]),
        ("【開いたまま 靴】】 [] ()", ["開いたまま 靴"]),
        ("[[a]]", ["a"]),
        ("靴 5<6", []),
    ],
)
def test_segments_are_what_stands_in_brackets(text: str, found: list[str]) -> None:
    assert segments(text) == found


def test_a_phrase_of_many_titles_of_all_kinds_is_learned_whatever_its_numbers() -> None:
    titles = [title(n, f"ポイント {n % 7} 倍") for n in range(40)]
    titles += [title(n) for n in range(40, 400)]
    assert learn(titles) == {("ポイント", "0", "倍")}


def test_a_phrase_that_says_what_a_thing_is_stays() -> None:
    titles = [title(5 * n, "月刊 雑誌") for n in range(40)]
    titles += [title(n) for n in range(40, 400)]
    assert learn(titles) == frozenset()


def test_what_is_rare_or_a_single_word_stays() -> None:
    titles = [title(n, "送料") for n in range(40)]
    titles += [title(n, "数量 限定") for n in range(40, 49)]
    titles += [title(n) for n in range(49, 400)]
    assert learn(titles) == frozenset()


def test_no_titles_have_no_phrases() -> None:
    assert learn([]) == frozenset()


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [
        ("送料 無料 赤い 靴", "赤い 靴"),
        ("赤い 靴 ポイント 10 倍 送料 無料", "赤い 靴"),
        ("送料 赤い 無料 靴", "送料 赤い 無料 靴"),
        ("ポイント 2 倍 祭 靴", "靴"),
        ("送料 無料", "送料 無料"),
        ("", ""),
    ],
)
def test_tokens_of_phrases_are_left_out_the_longest_first(tokens: str, kept: str) -> None:
    phrases = [("送料", "無料"), ("ポイント", "0", "倍"), ("ポイント", "0", "倍", "祭")]
    assert Promotions(phrases).without(tokens.split()) == kept.split()


def test_without_phrases_all_tokens_stay() -> None:
    assert Promotions([]).without(["靴"]) == ["靴"]


def test_a_pattern_has_no_numbers() -> None:
    assert pattern(["10", "2.5mg", "靴"]) == ("0", "0mg", "靴")
