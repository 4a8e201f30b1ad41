import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.retrieval import packed_batches, routing
from pipeline.retrieval.groups import GroupPlan, plan_by_rows, plan_by_work
from pipeline.retrieval.join import GROUP_CANDIDATES, ReadGroup, join
from pipeline.retrieval.loaded_group import items_of_group
from pipeline.retrieval.merge import MergeSettings, merge
from pipeline.retrieval.routing import QUERIES, ProbeLists, Router
from pipeline.retrieval.vectors import from_bytes, to_bytes
from tests.pipeline.retrieval import oracle, traits

Table = dict[str, list[tuple[str, float]]]


class Shop:
    """Items in random lists, and the lists that each probes.

    Attributes:
        depth: candidates that a group has for a query, if there are caps.
        most_candidates: that a group has given for a query in the last join.
    """

    depth, most_candidates = 10_000, 0

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

    def row_reader(self, groups: GroupPlan, rows: int) -> ReadGroup:
        """Read a group's rows in the order of the lists table: by list, equal ones together."""
        table = self.rows().sort_by([(name, "ascending") for name in ("list", "hash", "item_id")])

        def read(group: int) -> Iterator[pa.RecordBatch]:
            first, end = groups.list_range(group)
            in_lists = (pc.field("list") >= first) & (pc.field("list") < end)
            return iter(table.filter(in_lists).to_batches(max_chunksize=rows))

        return read

    def item_reader(self, groups: GroupPlan, k: int, rows: int = 10_000) -> ReadGroup:
        """Read the items of a group."""
        read = self.row_reader(groups, rows)
        return lambda group: items_of_group(read(group), groups, group, k)

    def router(self, groups: GroupPlan) -> Router:
        """Where the queries go."""
        all_are_queries = bool(self.query.all())
        nprobe = self.probes.shape[1]
        return Router(groups, self._probe_known_vectors(), nprobe, self.parts, all_are_queries)

    def routed(self, groups: GroupPlan, rows: int = 10_000) -> tuple[pa.Table, list[int]]:
        """The packed queries, sorted as Spark sorts them, and the numbers that were counted."""
        counts = [0, 0, 0]

        def count(*more: int) -> None:
            counts[:] = [a + b for a, b in zip(counts, more, strict=True)]

        sent = []
        for start in range(0, len(self.ids), rows):
            is_query = pa.array(self.query[start : start + rows])
            queries = self.rows().slice(start, rows).filter(is_query).combine_chunks()
            sent += list(self.router(groups).send(iter(queries.to_batches()), count))
        table = pa.Table.from_batches(sent, schema=packed_batches.SCHEMA)
        assert counts[2] == sum(batch.nbytes for batch in sent)
        return table.sort_by("key"), counts

    def join(self, groups: GroupPlan, k: int, rows: int) -> Table:
        """Route, join and merge; the neighbours of queries that need no more candidates."""
        table, _ = self.routed(groups, rows)
        empty = pa.table(
            {"key": np.arange(groups.group_count), "rows": [b""] * groups.group_count},
            schema=packed_batches.SCHEMA,
        )
        table = pa.concat_tables([table, empty]).sort_by("key")
        done: list[int] = []
        sent = iter(table.to_batches(max_chunksize=rows))
        read, router = self.row_reader(groups, rows), self.router(groups)

        def local_queries(group: int) -> Iterator[pa.RecordBatch]:
            if self.query.all():
                yield from router.local_queries(read(group), group, lambda *_: None)

        rules = traits.rules(self.rules)
        depth = k if not rules.caps else self.depth
        joined_batches = list(
            join(
                sent,
                self.item_reader(groups, depth, rows),
                local_queries,
                k,
                depth,
                rules,
                done.append,
            )
        )
        assert len(done) == groups.group_count
        cells = [cell for _, cell in packed_batches.iter_cells(iter(joined_batches))]
        found = [packed_batches.unpack(cell, GROUP_CANDIDATES)["similar_ids"] for cell in cells]
        self.most_candidates = max(pc.max(pc.list_value_length(ids)).as_py() for ids in found)
        joined = pa.Table.from_batches(joined_batches, schema=packed_batches.SCHEMA)
        merged: Table = {}
        for part in range(self.parts.group_count):
            of_part = joined.filter(pc.field("key") == part).to_batches()
            merged |= as_table(merge(iter(of_part), MergeSettings(k, 3, rules)))
        return merged

    def _probe_known_vectors(self) -> ProbeLists:
        """Probe the lists that are set for each vector."""
        probes_of = {
            vector.tobytes(): probes
            for vector, probes in zip(self.vectors, self.probes, strict=True)
        }
        return lambda rows: np.array(
            [probes_of[v.tobytes()] for v in from_bytes(rows["vector"])], dtype=np.int32
        )

    def expected(self, k: int) -> Table:
        same = np.array([str(value) for value in self.same])
        allowed = (self.lists[None, None, :] == self.probes[:, :, None]).any(axis=1)
        allowed &= self.eligible[None, :] & (same[None, :] == same[:, None])
        neighbors = oracle.neighbors(self.ids, self.vectors, k, allowed, self.rules)
        queries = {item for item, is_query in zip(self.ids, self.query, strict=True) if is_query}
        return {item: best for item, best in neighbors.items() if item in queries}


def as_table(batches: Iterable[pa.RecordBatch]) -> Table:
    return {
        row["item_id"]: [(n["similar_id"], n["score"]) for n in row["neighbors"]]
        for batch in batches
        for row in batch.to_pylist()
        if row["neighbors"] and row["probes"] is not None
    }


@pytest.mark.parametrize(
    ("rows", "max_items"),
    [(1, 40), (7, 3), (7, 1000), (64, 3), (64, 40), (10_000, 3), (10_000, 1000)],
)
def test_the_join_finds_the_best_of_the_probed_lists_whatever_groups_and_batches(
    rows: int, max_items: int
) -> None:
    shop = Shop(300, nlist=6, nprobe=3, seed=3, duplicates=60)
    groups = plan_by_work(shop.sizes, cores=1, max_items=max_items)
    assert shop.join(groups, 4, rows) == shop.expected(4)


def test_the_number_of_units_routed_at_a_time_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop(200, nlist=6, nprobe=3, seed=4, duplicates=60)
    groups = plan_by_work(shop.sizes, cores=1, max_items=9)
    assert groups.unit_count.max() > 3
    for max_units in (1, 7, 100):
        monkeypatch.setattr(routing, "_MAX_UNITS", max_units)
        assert shop.join(groups, 4, 50) == shop.expected(4)


def test_a_query_travels_once_to_each_group_with_a_list_that_it_probes() -> None:
    shop = Shop(200, nlist=8, nprobe=4, seed=5)
    groups = GroupPlan(np.arange(8), np.ones(8, dtype=np.int64), np.arange(8) // 4)
    table, (queries, copies, _) = shop.routed(groups)
    # A query need not travel to its own group.
    expected = sum(
        len({*(probes // 4).tolist()} - {own // 4})
        for probes, own in zip(shop.probes, shop.lists, strict=True)
    )
    assert (queries, copies) == (200, expected)
    sent = [
        packed_batches.unpack(cell, QUERIES)
        for _, cell in packed_batches.iter_cells(iter(table.to_batches()))
    ]
    assert sum(rows.num_rows for rows in sent) == expected


def test_only_queries_get_neighbours_and_only_eligible_items_are_neighbours() -> None:
    shop = Shop(250, nlist=5, nprobe=3, seed=6, duplicates=100)
    rng = np.random.default_rng(6)
    shop.eligible, shop.query = rng.random(250) < 0.6, rng.random(250) < 0.3
    groups = plan_by_work(shop.sizes, cores=1, max_items=60)
    assert shop.join(groups, 10, 50) == shop.expected(10)


def test_hard_equality_acts_before_the_k_best_are_cut() -> None:
    shop = Shop(250, nlist=4, nprobe=3, seed=7, duplicates=100)
    rng = np.random.default_rng(7)
    shop.same = [[None, "ja", "en", "日本"][n] for n in rng.integers(4, size=250)]
    shop.same[11] = "alone"
    shop.eligible = rng.random(250) < 0.8
    groups = plan_by_work(shop.sizes, cores=1, max_items=60)
    assert shop.join(groups, 10, 50) == shop.expected(10)
    assert "alone" not in {shop.same[shop.ids.index(item)] for item in shop.join(groups, 10, 50)}


def test_queries_that_probe_empty_lists_have_no_neighbours() -> None:
    shop = Shop(2, nlist=2, nprobe=1, seed=8)
    shop.lists, shop.probes = np.array([0, 0]), np.array([[1], [1]])
    one = np.ones(2, dtype=np.int64)
    for group in ([0, 0], [0, 1]):
        assert shop.join(GroupPlan(np.arange(2), one, np.array(group)), 3, 10) == {}


def test_memory_for_equal_items_does_not_grow_with_their_number() -> None:
    shop = Shop(5000, nlist=1, nprobe=1, seed=9)
    shop.vectors[:] = shop.vectors[0]
    shop.hashes[:] = 0
    groups = plan_by_work(shop.sizes, cores=1, max_items=10_000)
    assert sum(rows.num_rows for rows in shop.item_reader(groups, 3, 500)(0)) <= 4 * 5000 / 500
    table = shop.join(groups, 3, 500)
    assert table["4999"] == [(other, table["4999"][0][1]) for other in ("0000", "0001", "0002")]
    assert [other for other, _ in table["0001"]] == ["0000", "0002", "0003"]


def test_vectors_survive_conversion_to_bytes() -> None:
    vectors = oracle.vectors(50, 5, seed=4)
    column = to_bytes(vectors)
    assert column.to_pylist() == [row.astype("<f2").tobytes() for row in vectors]
    assert np.array_equal(from_bytes(column), vectors)
    assert np.array_equal(from_bytes(column[10:20]), vectors[10:20])
    assert np.array_equal(from_bytes(pa.chunked_array([column[:3], column[3:]])), vectors)
    assert from_bytes(pa.array([], pa.binary())).shape == (0, 0)


def random_rules(shop: Shop, rng: np.random.Generator, kinds: set[str]) -> oracle.Rules:
    """Rules of these kinds, with values that many items share or lack."""
    n = len(shop.ids)

    def draw(values: list[str | None]) -> list[str | None]:
        return [values[i] for i in rng.integers(len(values), size=n)]

    groups: list[str | None] = [None, *(f"g{i}" for i in range(n // 8))]
    brands: list[str | None] = [None, "茶", "b", "c", "d"]
    rules = oracle.Rules()
    if "price" in kinds:
        rules.ratio = (0.5, 2.0)
        rules.price = [[None, 0.0, 100.0, 190.0, 200.0, 410.0][i] for i in rng.integers(6, size=n)]
    if "scores" in kinds:
        rules.low, rules.high = 0.1, 0.93
    if "collapse" in kinds:
        rules.group = draw(groups)
    if "brand" in kinds:
        rules.caps.append((draw(brands), 2))
    if "category" in kinds:
        rules.caps.append((draw(["x", "y", None]), 3))
    if "differ" in kinds:
        rules.differ = [draw(brands), draw(["x", None, "y", "z"])]
    if "boost own" in kinds:
        rules.own_boosts = rng.choice([0.0, 0.3, -0.2, 0.05], size=n).tolist()
    if "boost match" in kinds:
        rules.match_boosts = [(draw(brands), 0.25), (draw(["x", "y", None]), -0.1)]
    if "boost price" in kinds:
        rules.price_boost = (0.4, 1.5)
        rules.price = rules.price or rng.choice([0.0, 100.0, 190.0, 205.0, 410.0], size=n).tolist()
    if "deny" in kinds:
        pairs = rng.integers(n, size=(6 * n, 2))
        rules.denied = {(shop.ids[a], shop.ids[b]) for a, b in pairs}
    if "boost pairs" in kinds:
        pairs = rng.integers(n, size=(8 * n, 2))
        boosts = rng.choice([0.6, -0.5, 0.1], size=len(pairs)).tolist()
        named = [(shop.ids[a], shop.ids[b]) for a, b in pairs]
        rules.pair_boosts = dict(zip(named, boosts, strict=True))
    for kind, added in (("boost where", 0.3), ("deny where", None), ("bury where", -0.4)):
        if kind in kinds:
            sides = rng.random((2, n)) < 0.4
            rules.conditional.append((sides[0].tolist(), sides[1].tolist(), added))
    return rules


BOOSTS = ["boost own", "boost match", "boost price"]
EDITS = ["boost pairs", "boost where", "deny where", "bury where"]
KINDS = ["price", "scores", "collapse", "brand", "category", "deny", "differ", *BOOSTS, *EDITS]


@pytest.mark.parametrize(
    "which",
    [*([kind] for kind in KINDS), ["collapse", "brand"], ["price", "deny", "scores"],
     ["collapse", "brand", "category"], ["differ", "collapse"], BOOSTS, ["scores", *BOOSTS],
     ["brand", *BOOSTS], EDITS, ["deny", "scores", "collapse", *EDITS], KINDS],
    ids="+".join,
)  # fmt: skip
@pytest.mark.parametrize("max_items", [30, 1000])
def test_rules_act_before_the_k_best_are_cut(which: list[str], max_items: int) -> None:
    shop = Shop(240, nlist=5, nprobe=3, seed=len(which), duplicates=70)
    rng = np.random.default_rng(17)
    shop.rules = random_rules(shop, rng, set(which))
    shop.eligible = rng.random(240) < 0.8
    shop.same = [[None, "ja"][i] for i in rng.integers(2, size=240)]
    groups = plan_by_work(shop.sizes, cores=1, max_items=max_items)
    expected = shop.expected(6)
    assert shop.join(groups, 6, 50) == expected
    shop.rules = dataclasses.replace(shop.rules, **vars(oracle.Rules()))
    assert shop.expected(6) != expected


def test_queries_that_need_more_candidates_under_caps_are_told_from_complete_ones() -> None:
    shop = Shop(240, nlist=5, nprobe=3, seed=2, duplicates=70)
    shop.rules = random_rules(shop, np.random.default_rng(2), {"collapse"})
    shop.rules.caps = [([["a", "b", "c"][n % 3] for n in range(240)], 1)]
    groups, expected = plan_by_work(shop.sizes, cores=1, max_items=60), shop.expected(3)
    complete_counts = []
    for shop.depth in (3, 5, 40, 240):
        complete = shop.join(groups, 3, 50)
        assert complete == {item: expected[item] for item in complete}
        complete_counts.append(len(complete))
    assert complete_counts == sorted(complete_counts)
    assert 0 < complete_counts[0] < complete_counts[-1] == len(expected)


def test_under_one_cap_a_group_gives_no_more_than_the_list_holds() -> None:
    shop = Shop(240, nlist=1, nprobe=1, seed=3, duplicates=0)
    shop.rules = random_rules(shop, np.random.default_rng(3), set())
    shop.rules.caps = [([f"b{n % 40}" for n in range(240)], 2)]
    shop.depth = 12
    groups, expected = plan_by_work(shop.sizes, cores=1, max_items=60), shop.expected(6)
    # Each of the groups has more candidates than it looks at, and six that the cap lets pass.
    assert groups.group_count > 3
    assert shop.join(groups, 6, 50) == expected
    assert shop.most_candidates == 6
    shop.rules.caps *= 2
    assert shop.join(groups, 6, 50) == expected
    assert shop.most_candidates > 6
