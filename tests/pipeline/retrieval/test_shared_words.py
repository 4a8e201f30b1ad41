"""The words that carry most of the scores of pairs, against loops in plain Python."""

import numpy as np
import pyarrow as pa

from models.fasttext.word_contributions import TitleWords
from pipeline.retrieval.shared_words import MAX_WORDS, SHOWN, ShownTitles, best_words, pack_words

# A word: its hash and its lengths.
Item = dict[str, tuple[int, tuple[float, float]]]
Shown = dict[str, tuple[str, int, int]]


def packed(items: list[Item]) -> tuple[pa.Array, pa.Array]:
    flat = [
        (word, number, lengths)
        for item in items
        for word, (number, lengths) in sorted(item.items(), key=lambda entry: entry[1][0])
    ]
    return pack_words(
        TitleWords(
            pa.array([word for word, _, _ in flat], pa.string()),
            np.array([number for _, number, _ in flat], dtype=np.uint64),
            np.cumsum([0, *map(len, items)]),
            np.array([lengths for _, _, lengths in flat], dtype=np.float32).reshape(-1, 2),
        )
    )


def expected_words(own: Item, shown: Shown, other: Item) -> list[str]:
    candidates = []
    for word, (number, (a, b)) in own.items():
        if word in shown and word in other:
            _, (c, d) = other[word]
            if a * c + b * d > 0:
                candidates.append((-(a * c + b * d), shown[word], number))
    candidates.sort(key=lambda entry: (entry[0], entry[1][0].encode(), entry[2]))
    chosen: list[tuple[str, int, int]] = []
    for _, (form, start, end), _ in candidates:
        apart = all(start >= e or end <= s for _, s, e in chosen)
        if len(chosen) < SHOWN and apart and form not in [one for one, _, _ in chosen]:
            chosen.append((form, start, end))
    return [form for form, _, _ in chosen]


def random_items(rng: np.random.Generator, count: int) -> tuple[list[Item], list[Shown]]:
    """Items whose lengths are few small numbers, so that contributions are often equal."""
    hashes = rng.integers(0, 2**64, 40, dtype=np.uint64)
    hashes[:2] = [0, 2**64 - 1]
    items: list[Item] = []
    shown: list[Shown] = []
    for _ in range(count):
        words = rng.choice(40, rng.integers(0, 12), replace=False).tolist()
        lengths = rng.choice([0.0, 0.25, 0.5, 0.75], (len(words), 2)).tolist()
        items.append(
            {f"語{w}": (int(hashes[w]), (a, b)) for w, (a, b) in zip(words, lengths, strict=True)}
        )
        starts = rng.integers(0, 15, len(words)).tolist()
        shown.append(
            {f"語{w}": (f"ゴ{w // 2}", start, start + 1 + w % 4)
             for w, start in zip(words, starts, strict=True) if w % 5}
        )  # fmt: skip
    return items, shown


def test_the_words_are_those_of_loops_over_pairs() -> None:
    rng = np.random.default_rng(3)
    items, shown = random_items(rng, 60)
    cells, tokens = packed(items)
    title_of, other_of = rng.integers(0, 60, 3000), rng.integers(0, 60, 3000)
    # The words of some neighbours are not known.
    others = cells.take(pa.array(other_of, mask=rng.random(3000) < 0.02))
    titles = ShownTitles.of(cells, tokens, shown)
    found = best_words(titles, title_of, others).to_pylist()
    expected = [
        expected_words(items[a], shown[a], items[b]) if other is not None else []
        for a, b, other in zip(title_of, other_of, others.to_pylist(), strict=True)
    ]
    assert found == expected
    assert {len(words) for words in expected} == {0, 1, 2}
    # The other pairs of a batch change nothing.
    halves = [best_words(titles, title_of[part], others.take(pa.array(np.arange(3000)[part])))
              for part in (slice(0, 1000), slice(1000, 3000))]  # fmt: skip
    assert pa.concat_arrays(halves).to_pylist() == found


def test_without_words_or_pairs_there_is_nothing() -> None:
    cells, tokens = packed([{}, {}])
    titles = ShownTitles.of(cells, tokens, [{}, {}])
    assert best_words(titles, np.array([0, 1]), cells).to_pylist() == [[], []]
    assert best_words(titles, np.array([], dtype=np.int64), cells[:0]).to_pylist() == []


def test_of_many_words_the_longest_travel() -> None:
    rng = np.random.default_rng(5)
    lengths = rng.permutation(MAX_WORDS + 20) / 100
    item: Item = {f"w{n}": (n * 7, (float(v), 0.0)) for n, v in enumerate(lengths)}
    _, tokens = packed([{"a": (1, (1.0, 1.0))}, item])
    longest = sorted(item, key=lambda word: -item[word][1][0])[:MAX_WORDS]
    assert tokens[0].as_py() == "a"
    assert tokens[1].as_py().split() == sorted(longest, key=lambda word: item[word][0])
