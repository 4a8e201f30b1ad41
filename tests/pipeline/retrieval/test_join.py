import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.retrieval import packed_batches
from pipeline.retrieval import routing as route_module
from pipeline.retrieval.groups import GroupPlan, plan_by_rows, plan_by_work
from pipeline.retrieval.join import ReadGroup, join
from pipeline.retrieval.loaded_group import items_of_group
from pipeline.retrieval.merge import MergeSettings, merge
from pipeline.retrieval.routing import QUERIES, ProbeLists, Router
from pipeline.retrieval.vectors import from_bytes, from_lists, to_bytes
from tests.pipeline.retrieval import oracle, traits

Table = dict[str, list[tuple[str, float]]]


class Shop:
    """Items in random lists, and the lists that each probes.

    Attributes:
        depth: candidates that a group looks at where there are caps.
    """

    depth = 10_000

    def __init__(self, n: int, nlist: int, nprobe: int, seed: int, duplicates: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.ids = [f"{number * 7919 % n:04d}" for number in range(n)]
        self.vectors = oracle.vectors(n, 8, seed=seed, duplicates=duplicates)
        self.lists = rng.integers(nlist, size=n)
        self.probes = np.array([rng.permutation(nlist)[:nprobe] for _ in self.lists])
        # Equal vectors probe the same lists.
        _, first, same = np.unique(self.vectors, axis=0, return_index=True, return_inverse=True)
        self.probes = self.probes[first[same.ravel()]]
        self.eligible = np.ones(n, dtype=bool)
        self.query = np.ones(n, dtype=bool)
        self.same: list[str | None] = [None] * n
        self.rules = oracle.Rules()
        self.nlist = nlist
        self.sizes = np.bincount(self.lists, minlength=nlist)
        self.parts = plan_by_rows(self.sizes, 3)
        # Equal vectors have one hash, as they have where Spark gives it.
        _, self.hashes = np.unique(self.vectors, axis=0, return_inverse=True)

    def rows(self) -> pa.Table:
        return pa.table(
            {
                "item_id": self.ids,
                "list": pa.array(self.lists, pa.int32()),
                "vector": to_bytes(self.vectors),
                "hash": pa.array(self.hashes.ravel().astype(np.int64) * 0x9E3779B97F4A7C),
                "eligible": self.eligible,
                "same": pa.array(self.same, pa.string()),
                **traits.columns(self.ids, self.rules),
            }
        )

    def reading(self, groups: GroupPlan, rows: int) -> ReadGroup:
        """Reads the rows of a group as the lists table has them: by list, equal ones together."""
        table = self.rows().sort_by([(name, "ascending") for name in ("list", "hash", "item_id")])

        def read(group: int) -> Iterator[pa.RecordBatch]:
            first, last = groups.lists(group)
            mine = table.filter((pc.field("list") >= first) & (pc.field("list") < last))
            return iter(mine.to_batches(max_chunksize=rows))

        return read

    def items(self, groups: GroupPlan, k: int, rows: int = 10_000) -> ReadGroup:
        """Reads the items of a group."""
        read = self.reading(groups, rows)
        return lambda group: items_of_group(read(group), groups, group, k)

    def routes(self, groups: GroupPlan) -> Router:
        """Where the queries go."""
        everyone = bool(self.query.all())
        return Router(groups, self._given(), self.probes.shape[1], self.parts, everyone)

    def routed(self, groups: GroupPlan, rows: int = 10_000) -> tuple[pa.Table, list[int]]:
        """What comes out of routing, sorted as Spark would, and the queries and travels."""
        counts = [0, 0, 0]

        def count(*more: int) -> None:
            counts[:] = [a + b for a, b in zip(counts, more, strict=True)]

        sent = []
        for start in range(0, len(self.ids), rows):
            some = self.rows().slice(start, rows).filter(pa.array(self.query[start : start + rows]))
            part = some.combine_chunks().to_batches()
            sent += list(self.routes(groups).send(iter(part), count))
        table = pa.Table.from_batches(sent, schema=packed_batches.SCHEMA)
        assert counts[2] == sum(batch.nbytes for batch in sent)
        return table.sort_by("key"), counts

    def join(self, groups: GroupPlan, k: int, rows: int) -> Table:
        """Routed, joined and merged: the lists that are known to be right."""
        table, _ = self.routed(groups, rows)
        every = {"key": np.arange(groups.groups), "rows": [b""] * groups.groups}
        table = pa.concat_tables([table, pa.table(every, schema=packed_batches.SCHEMA)]).sort_by(
            "key"
        )
        done: list[int] = []
        sent = iter(table.to_batches(max_chunksize=rows))
        read, routes = self.reading(groups, rows), self.routes(groups)

        def at_home(group: int) -> Iterator[pa.RecordBatch]:
            if self.query.all():
                yield from routes.of_group(read(group), group, lambda *_: None)

        wanted = traits.rules(self.rules)
        depth = k if not wanted.caps else self.depth
        found = list(
            join(sent, self.items(groups, depth, rows), at_home, depth, wanted, done.append)
        )
        assert len(done) == groups.groups
        joined = pa.Table.from_batches(found, schema=packed_batches.SCHEMA)
        merged: Table = {}
        for part in range(self.parts.groups):
            mine = joined.filter(pc.field("key") == part).to_batches()
            merged |= as_table(merge(iter(mine), MergeSettings(k, 3, wanted)))
        return merged

    def _given(self) -> ProbeLists:
        """The lists that the items probe, by their vectors."""
        known = {
            vector.tobytes(): probes
            for vector, probes in zip(self.vectors, self.probes, strict=True)
        }
        return lambda rows: np.array(
            [known[v.tobytes()] for v in from_bytes(rows["vector"])], dtype=np.int32
        )

    def expected(self, k: int) -> Table:
        same = np.array([str(value) for value in self.same])
        allowed = (self.lists[None, None, :] == self.probes[:, :, None]).any(axis=1)
        allowed &= self.eligible[None, :] & (same[None, :] == same[:, None])
        found = oracle.neighbors(self.ids, self.vectors, k, allowed, self.rules)
        asking = {item for item, wants in zip(self.ids, self.query, strict=True) if wants}
        return {item: best for item, best in found.items() if item in asking}


def as_table(batches: Iterable[pa.RecordBatch]) -> Table:
    return {
        row["item_id"]: [(n["similar_id"], n["score"]) for n in row["neighbors"]]
        for batch in batches
        for row in batch.to_pylist()
        if row["neighbors"] and row["probes"] is not None
    }


@pytest.mark.parametrize("rows", [1, 7, 64, 10_000])
@pytest.mark.parametrize("most", [3, 40, 1000])
def test_the_join_finds_the_best_of_the_probed_lists_whatever_groups_and_batches(
    rows: int, most: int
) -> None:
    shop = Shop(300, nlist=6, nprobe=3, seed=3, duplicates=60)
    groups = plan_by_work(shop.sizes, cores=1, most=most)
    assert shop.join(groups, 4, rows) == shop.expected(4)


def test_how_many_units_are_worked_on_at_a_time_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop(200, nlist=6, nprobe=3, seed=4, duplicates=60)
    groups = plan_by_work(shop.sizes, cores=1, most=9)
    assert groups.parts.max() > 3
    for most in (1, 7, 100):
        monkeypatch.setattr(route_module, "_MOST_UNITS", most)
        assert shop.join(groups, 4, 50) == shop.expected(4)


def test_a_query_travels_once_to_each_group_with_a_list_that_it_probes() -> None:
    shop = Shop(200, nlist=8, nprobe=4, seed=5)
    groups = GroupPlan(np.arange(8), np.ones(8, dtype=np.int64), np.arange(8) // 4)
    table, (queries, travels, _) = shop.routed(groups)
    # It needs not travel to its own.
    expected = sum(
        len({*(probes // 4).tolist()} - {mine // 4})
        for probes, mine in zip(shop.probes, shop.lists, strict=True)
    )
    assert (queries, travels) == (200, expected)
    sent = [
        packed_batches.unpack(cell, QUERIES)
        for _, cell in packed_batches.iter_cells(iter(table.to_batches()))
    ]
    assert sum(rows.num_rows for rows in sent) == expected


def test_only_the_items_that_ask_get_neighbours_and_only_eligible_ones_are_given() -> None:
    shop = Shop(250, nlist=5, nprobe=3, seed=6, duplicates=100)
    rng = np.random.default_rng(6)
    shop.eligible, shop.query = rng.random(250) < 0.6, rng.random(250) < 0.3
    groups = plan_by_work(shop.sizes, cores=1, most=60)
    assert shop.join(groups, 10, 50) == shop.expected(10)


def test_hard_equality_acts_before_the_k_best_are_cut() -> None:
    shop = Shop(250, nlist=4, nprobe=3, seed=7, duplicates=100)
    rng = np.random.default_rng(7)
    shop.same = [[None, "ja", "en", "日本"][n] for n in rng.integers(4, size=250)]
    shop.same[11] = "alone"
    shop.eligible = rng.random(250) < 0.8
    groups = plan_by_work(shop.sizes, cores=1, most=60)
    assert shop.join(groups, 10, 50) == shop.expected(10)
    assert "alone" not in {shop.same[shop.ids.index(item)] for item in shop.join(groups, 10, 50)}


def test_queries_of_an_empty_list_find_nothing() -> None:
    shop = Shop(2, nlist=2, nprobe=1, seed=8)
    shop.lists, shop.probes = np.array([0, 0]), np.array([[1], [1]])
    one = np.ones(2, dtype=np.int64)
    for group in ([0, 0], [0, 1]):
        assert shop.join(GroupPlan(np.arange(2), one, np.array(group)), 3, 10) == {}


def test_what_is_held_of_equal_items_does_not_grow_with_their_number() -> None:
    shop = Shop(5000, nlist=1, nprobe=1, seed=9)
    shop.vectors[:] = shop.vectors[0]
    shop.hashes[:] = 0
    groups = plan_by_work(shop.sizes, cores=1, most=10_000)
    assert sum(rows.num_rows for rows in shop.items(groups, 3, 500)(0)) <= 4 * 5000 / 500
    table = shop.join(groups, 3, 500)
    assert table["4999"] == [(other, table["4999"][0][1]) for other in ("0000", "0001", "0002")]
    assert [other for other, _ in table["0001"]] == ["0000", "0002", "0003"]


def test_vectors_survive_the_way_through_bytes_and_lists() -> None:
    vectors = oracle.vectors(50, 5, seed=4)
    halves = to_bytes(vectors)
    assert halves.to_pylist() == [row.astype("<f2").tobytes() for row in vectors]
    assert np.array_equal(from_bytes(halves), vectors)
    assert np.array_equal(from_bytes(halves[10:20]), vectors[10:20])
    assert np.array_equal(from_bytes(pa.chunked_array([halves[:3], halves[3:]])), vectors)
    lists = pa.array(vectors.tolist(), pa.list_(pa.float32()))
    assert np.array_equal(from_lists(lists[7:9]), vectors[7:9])
    assert from_bytes(pa.array([], pa.binary())).shape == (0, 0)


def random_rules(shop: Shop, rng: np.random.Generator, which: set[str]) -> oracle.Rules:
    """Rules of these kinds, with values that many items share, or that are missing."""
    n = len(shop.ids)

    def drawn(values: list[str | None]) -> list[str | None]:
        return [values[i] for i in rng.integers(len(values), size=n)]

    groups: list[str | None] = [None, *(f"g{i}" for i in range(n // 8))]
    brands: list[str | None] = [None, "茶", "b", "c", "d"]
    made = oracle.Rules()
    if "price" in which:
        made.ratio = (0.5, 2.0)
        made.price = [[None, 0.0, 100.0, 190.0, 200.0, 410.0][i] for i in rng.integers(6, size=n)]
    if "scores" in which:
        made.low, made.high = 0.1, 0.93
    if "collapse" in which:
        made.group = drawn(groups)
    if "brand" in which:
        made.caps.append((drawn(brands), 2))
    if "category" in which:
        made.caps.append((drawn(["x", "y", None]), 3))
    if "deny" in which:
        pairs = rng.integers(n, size=(6 * n, 2))
        made.denied = {(shop.ids[a], shop.ids[b]) for a, b in pairs}
    return made


KINDS = ["price", "scores", "collapse", "brand", "category", "deny"]


@pytest.mark.parametrize(
    "which",
    [*([kind] for kind in KINDS), ["collapse", "brand"], ["price", "deny", "scores"],
     ["collapse", "brand", "category"], KINDS],
    ids="+".join,
)  # fmt: skip
@pytest.mark.parametrize("most", [30, 1000])
def test_rules_act_before_the_k_best_are_cut(which: list[str], most: int) -> None:
    shop = Shop(240, nlist=5, nprobe=3, seed=len(which), duplicates=70)
    rng = np.random.default_rng(17)
    shop.rules = random_rules(shop, rng, set(which))
    shop.eligible = rng.random(240) < 0.8
    shop.same = [[None, "ja"][i] for i in rng.integers(2, size=240)]
    groups = plan_by_work(shop.sizes, cores=1, most=most)
    expected = shop.expected(6)
    assert shop.join(groups, 6, 50) == expected
    without = dataclasses.replace(shop.rules, **vars(oracle.Rules()))
    shop.rules = without
    assert shop.expected(6) != expected


def test_lists_that_caps_leave_open_are_told_from_those_that_are_right() -> None:
    shop = Shop(240, nlist=5, nprobe=3, seed=2, duplicates=70)
    shop.rules = random_rules(shop, np.random.default_rng(2), {"collapse"})
    shop.rules.caps = [([["a", "b", "c"][n % 3] for n in range(240)], 1)]
    groups, expected = plan_by_work(shop.sizes, cores=1, most=60), shop.expected(3)
    known = []
    for shop.depth in (3, 5, 40, 240):
        right = shop.join(groups, 3, 50)
        assert right == {item: expected[item] for item in right}
        known.append(len(right))
    assert known == sorted(known)
    assert 0 < known[0] < known[-1] == len(expected)
