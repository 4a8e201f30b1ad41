import numpy as np
import pyarrow as pa
import pytest

from pipeline.retrieval import recall
from pipeline.retrieval.recall import measure_recall, wilson_interval
from pipeline.retrieval.rules import NO_RULES, Traits
from pipeline.retrieval.vectors import to_bytes
from tests.pipeline.retrieval import oracle, traits


def test_recall_counts_the_true_neighbours_that_were_found() -> None:
    exact = [
        [("a", 0.9), ("b", 0.8), ("c", 0.7), ("d", 0.6)],
        [("a", 0.5), ("b", 0.5), ("c", 0.5), ("d", 0.5)],
    ]
    # What ties with the last is as good as it; what is better and not true counts for nothing.
    found = [[("a", 0.9), ("c", 0.7), ("x", 0.65), ("e", 0.5)], [("e", 0.5), ("b", 0.5)]]
    measured = measure_recall(found, exact, 4)
    assert measured.value == pytest.approx((2 / 4 + 2 / 4) / 2)
    assert measured.low < measured.value < measured.high
    assert measured.queries == 2


def test_items_that_can_have_no_neighbour_are_not_measured() -> None:
    assert measure_recall([[], [("a", 0.9)]], [[], [("a", 0.9)]], 1).queries == 1
    assert measure_recall([[]], [[]], 1).queries == 0


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I: 81 of 263 and 0 of 20.
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_exact_search_by_blocks_holds_the_true_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = oracle.vectors(400, 8, seed=8)
    ids = [f"{n:03d}" for n in range(400)]
    languages: list[str | None] = [None if n % 5 == 0 else ["ja", "en"][n % 2] for n in range(400)]
    monkeypatch.setattr(recall, "_BLOCK_ROWS", 120)
    nothing: list[str | None] = [None] * 400
    for same in (nothing, languages):
        table = pa.table(
            {
                "item_id": ids,
                "list": pa.array(range(400), pa.int32()),
                "vector": to_bytes(vectors),
                "same": pa.array(same, pa.string()),
            }
        )
        batches = iter(table.to_batches(max_chunksize=50))
        of = Traits.of(table.slice(0, 9).to_batches()[0])
        wanted = pa.array(same[:9], pa.string())
        asked = recall.TruthQueries(pa.array(ids[:9]), vectors[:9], wanted, of)
        (found,) = recall.exact_search(batches, asked, 5, NO_RULES)
        best: dict[str, list[tuple[str, float]]] = {}
        for row in found.to_pylist():
            best.setdefault(ids[row["query"]], []).append((row["similar_id"], row["score"]))
            assert row["list"] == ids.index(row["similar_id"])
        allowed = np.array([[mine == other for other in same] for mine in same])
        expected = oracle.neighbors(ids, vectors, 5, allowed)
        assert best == {item: expected[item] for item in ids[:9]}


def test_exact_search_under_caps_gives_the_first_of_the_true_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = [f"{n:03d}" for n in range(400)]
    # Many scores tie; of one brand there are more than are looked at.
    vectors = oracle.vectors(400, 4, seed=9, duplicates=150)
    brands: list[str | None] = ["b" if n % 9 else None for n in range(400)]
    groups: list[str | None] = [f"g{n % 60}" if n % 4 else None for n in range(400)]
    rules = oracle.Rules(group=groups, caps=[(brands, 2)])
    nothing = pa.nulls(400, pa.string())
    table = pa.table(
        {
            "item_id": ids,
            "list": pa.array(range(400), pa.int32()),
            "vector": to_bytes(vectors),
            "same": nothing,
            **traits.columns(ids, rules),
        }
    )
    some = table.slice(0, 20).to_batches()[0]
    asked = recall.TruthQueries(some["item_id"], vectors[:20], some["same"], Traits.of(some))
    monkeypatch.setattr(recall, "_BLOCK_ROWS", 70)
    expected = oracle.neighbors(ids, vectors, 6, np.ones((400, 400), dtype=bool), rules)
    known = []
    for depth in (1, 2, 100):
        monkeypatch.setattr(recall, "_DEPTH", depth)
        halves = (table.slice(0, 150), table.slice(150))
        found = [
            next(recall.exact_search(iter(half.to_batches()), asked, 6, traits.rules(rules)))
            for half in halves
        ]
        best: dict[str, list[tuple[str, float]]] = {item: [] for item in ids[:20]}
        for row in recall.merge_truth(pa.concat_batches(found), 6, traits.rules(rules)).to_pylist():
            best[ids[row["query"]]].append((row["similar_id"], row["score"]))
        assert all(mine == expected[item][: len(mine)] for item, mine in best.items())
        known.append(sum(map(len, best.values())))
    assert known == sorted(known)
    assert 0 < known[0] < known[-1]
    assert best == {item: expected[item] for item in ids[:20]}


def test_probes_are_chosen_so_that_the_pilot_sample_reaches_the_target_with_a_margin() -> None:
    rng = np.random.default_rng(1)
    depths = [rng.geometric(0.3, size=10) - 1 for _ in range(2000)]
    for target in (0.5, 0.9, 0.99):
        nprobe = recall.nprobe_for_recall(depths, 100, target)
        shares = [np.array([np.mean(d < p) for d in depths]) for p in (nprobe, nprobe - 1)]
        low = [s.mean() - 1.645 * s.std() / np.sqrt(2000) for s in shares]
        assert low[0] >= target > low[1]
        # A geometric law: the share within p lists is 1 - 0.7 ** p.
        assert abs(nprobe - np.log(1 - target) / np.log(0.7)) <= 1.5
    alone = recall.nprobe_for_recall(depths, 100, 0.9, 0)
    within = [np.mean([np.mean(d < p) for d in depths]) for p in (alone - 1, alone)]
    assert within[0] < 0.9 <= within[1]
    assert recall.nprobe_for_recall(depths, 7, 1.0) == 7
    assert recall.nprobe_for_recall([np.array([], dtype=np.int64)], 7, 0.9) == 1
