import random

import pyarrow as pa
import pytest

from pipeline.text.promotional_phrases import (
    PhraseRemover,
    Title,
    bracketed_segments,
    learn,
    pattern,
)

KINDS = ("靴", "鞄", "皿", "傘", "帯")


def title(number: int, *bracketed: str) -> Title:
    """A made-up title: its bracketed texts, and two words of its own."""
    inside = [segment.split() for segment in bracketed]
    own = [KINDS[number % 5], f"w{number}"]
    return Title([token for segment in inside for token in segment] + own, inside)


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("【送料無料】赤い靴 ≪あす楽≫(黒)「赤」", ["送料無料", "あす楽"]),
        ("★楽しいお買い物祭★靴", ["楽しいお買い物祭"]),
        ("【開いたまま 靴】】 [] ()", ["開いたまま 靴"]),
        ("[[a]]", ["a"]),
        ("靴 5<6", []),
    ],
)
def test_segments_are_the_texts_in_brackets(text: str, segments: list[str]) -> None:
    assert bracketed_segments(text) == segments


def test_a_phrase_of_many_titles_of_all_kinds_is_learned_whatever_its_numbers() -> None:
    titles = [title(n, f"全品 ポイント {n % 7} {n % 7}倍") for n in range(40)]
    titles += [title(n) for n in range(40, 400)]
    assert learn(titles) == {("全品", "ポイント", "0", "0倍")}


def test_a_phrase_that_tells_the_kind_of_an_item_is_not_learned() -> None:
    titles = [title(5 * n, "月刊 雑誌") for n in range(40)]
    titles += [title(n) for n in range(40, 400)]
    assert learn(titles) == frozenset()


def test_rare_phrases_and_single_words_are_not_learned() -> None:
    titles = [title(n, "送料") for n in range(40)]
    titles += [title(n, "数量 限定") for n in range(40, 49)]
    titles += [title(n) for n in range(49, 400)]
    assert learn(titles) == frozenset()


@pytest.mark.parametrize(
    "segment", ["500ml 500 ml", "5 5個 セット", "2023 年", "3 3枚 組", "bluray blu ray", "t シャツ"]
)
def test_frequent_sizes_counts_years_and_formats_are_not_learned(segment: str) -> None:
    titles = [title(n, segment) for n in range(80)]
    titles += [title(n) for n in range(80, 400)]
    assert learn(titles) == frozenset()


def test_brackets_of_names_of_works_are_no_segments() -> None:
    assert bracketed_segments("『鬼滅の刃』マグカップ 「進撃の巨人」 《怪獣》") == []


def test_no_titles_have_no_phrases() -> None:
    assert learn([]) == frozenset()


@pytest.mark.parametrize(
    ("tokens", "remaining"),
    [
        ("送料 無料 赤い 靴", "赤い 靴"),
        ("赤い 靴 ポイント 10 倍 送料 無料", "赤い 靴"),
        ("送料 赤い 無料 靴", "送料 赤い 無料 靴"),
        ("ポイント 2 倍 祭 靴", "靴"),
        ("送料 無料", "送料 無料"),
        ("送料 無料 送料 無料 ポイント 2.5 倍 靴 送料 無料", "靴"),
        ("ポイント 2.5x 倍 特送料 無料", "ポイント 2.5x 倍 特送料 無料"),
        ("5.5%off(a) a.0", "a.0"),
        ("", ""),
    ],
)
def test_phrases_are_removed_the_longest_first(tokens: str, remaining: str) -> None:
    phrases = [("送料", "無料"), ("ポイント", "0", "倍"), ("ポイント", "0", "倍", "祭"),
               ("0%off(a)",)]  # fmt: skip
    assert PhraseRemover(phrases).remove_from(pa.array([tokens])).to_pylist() == [remaining]


def test_without_phrases_no_token_is_removed() -> None:
    assert PhraseRemover([]).remove_from(pa.array(["靴 送料"])).to_pylist() == ["靴 送料"]


def test_removal_equals_a_walk_along_the_tokens() -> None:
    rng = random.Random(3)  # noqa: S311 - not for secrets
    words = ["a", "0", "b.", "3", "4.5", "c"]
    phrases = {tuple(rng.choices(["a", "0", "b."], k=rng.randint(2, 4))) for _ in range(12)}

    def by_walking(tokens: list[str]) -> list[str]:
        patterns, remaining, position = pattern(tokens), [], 0
        while position < len(tokens):
            matches = [p for p in phrases if patterns[position : position + len(p)] == p]
            if not matches:
                remaining.append(tokens[position])
            position += max(map(len, matches), default=1)
        return remaining or tokens

    titles = [rng.choices(words, k=rng.randint(0, 12)) for _ in range(3000)]
    result = PhraseRemover(phrases).remove_from(pa.array(map(" ".join, titles))).to_pylist()
    assert result == [" ".join(by_walking(title)) for title in titles]
    assert sum(len(title.split()) for title in result) < sum(map(len, titles)) * 0.9


def test_a_pattern_has_no_numbers() -> None:
    assert pattern(["10", "2.5mg", "靴"]) == ("0", "0mg", "靴")
