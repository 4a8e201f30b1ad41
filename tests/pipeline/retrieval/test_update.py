"""Night after night, neighbours brought up to date are those of a search from the ground."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.retrieval import groups, packed_batches, quantiser, update
from pipeline.retrieval.arrivals import NeighborSettings
from pipeline.retrieval.list_table import assign_items, probe_pairs
from pipeline.retrieval.reverse_probes import MOVES, ReverseProbes, send_moves
from pipeline.retrieval.rules import with_traits
from pipeline.retrieval.vectors import to_bytes, unit_vectors
from pipeline.storage.clustered_tables import LISTS, NEIGHBORS
from tests.pipeline.retrieval import oracle
from tests.pipeline.retrieval.traits import columns, rules

Catalogue = dict[str, tuple[float, ...]]
Table = dict[str, list[tuple[str, float]]]
NLIST, DIM = 5, 3
# Few values, so that vectors are equal and scores tie.
VALUES = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0])
VECTORS = st.tuples(*[VALUES] * DIM)
IDS = st.sampled_from([f"{n:02d}" for n in range(30)])
# k, reserve, nprobe, sames, rules on pairs.
Kinds = frozenset[str]
Rules = tuple[int, int, int, int, Kinds]
KINDS = st.frozensets(
    st.sampled_from(["price", "scores", "collapse", "brand", "shelf", "deny", "eligible", "asks"])
)
RULES = st.tuples(
    st.integers(1, 5),
    st.integers(0, 3),
    st.integers(0, NLIST),
    st.sampled_from([1, 1, 2, 3]),
    st.just(frozenset[str]()) | KINDS,
)
# Of an item, as rules read them: price, group, brand, shelf, eligible, asks, and whom it denies.
Traits = tuple[float | None, str | None, str | None, str | None, bool, bool, frozenset[str]]
TRAITS = st.tuples(
    st.sampled_from([None, 1.0, 1.5, 2.0, 3.0]),
    st.sampled_from([None, "g", "h", "i"]),
    st.sampled_from([None, "b", "c"]),
    st.sampled_from([None, "x", "y"]),
    st.sampled_from([True, True, False]),
    st.sampled_from([True, True, False]),
    st.frozensets(IDS, max_size=2),
)
# Of each id on one night; ids that are not in it have PLAIN.
TRAITED = st.dictionaries(IDS, TRAITS, min_size=5, max_size=30)
PLAIN: Traits = (None, None, None, None, True, True, frozenset())


@dataclass
class Shop:
    """A catalogue, night after night.

    Attributes:
        k, reserve: neighbours wanted, and kept beyond.
        nprobe: lists that an item probes; 0 for all.
        most: items that a group may have.
        sames: items are neighbours only if their numbers leave the same rest by it.
        kinds: the rules on pairs.
        traits: what those read of the items.
        full: whether the next night builds on nothing.
    """

    k: int
    reserve: int
    nprobe: int
    most: int
    sames: int = 1
    kinds: Kinds = frozenset()
    traits: dict[str, Traits] = field(default_factory=dict)
    full: bool = False
    catalogue: Catalogue = field(default_factory=dict)
    kept: list[dict[str, Any]] = field(default_factory=list)
    pairs: set[tuple[int, int]] = field(default_factory=set)
    asked_again: int = 0

    def __post_init__(self) -> None:
        drawn = np.random.default_rng(5).standard_normal((NLIST, DIM)).astype(np.float32)
        self.centroids = unit_vectors(drawn)

    def listed(self, catalogue: Catalogue) -> pa.RecordBatch:
        """The lists table of a catalogue."""
        ids = sorted(catalogue)
        if not ids:
            return with_traits(pa.RecordBatch.from_pylist([], schema=LISTS))
        vectors = np.array([catalogue[item] for item in ids], dtype=np.float32)
        rows = pa.record_batch({"item_id": ids, "vector": to_bytes(vectors)})
        (found,) = assign_items(
            iter([rows]), lambda _: quantiser.probe(vectors, self.centroids, max(self.nprobe, 2))
        )
        found = found.take(pa.array(np.argsort(found["list"].to_numpy(), kind="stable")))
        ids = found["item_id"].to_pylist()
        given = {
            "same": pa.array(self.same(ids), pa.string()),
            "eligible": pa.array(self.eligible(ids), pa.bool_()),
            "asks": pa.array(self.asks(ids), pa.bool_()),
            **self.of_pairs(ids),
        }
        for name, column in given.items():
            found = found.append_column(name, column)
        return found

    def of_pairs(self, ids: list[str]) -> dict[str, pa.Array]:
        """What the rules on pairs read: whom others deny, all items tell."""
        every = sorted({*self.catalogue, *ids})
        places = pa.array([every.index(item) for item in ids], pa.int64())
        return {n: c.take(places) for n, c in columns(every, self.rules(every)).items()}

    def of(self, ids: list[str], kind: str, place: int) -> list[Any]:
        """One of the traits of some items, if there is such a rule."""
        traits = self.traits if kind in self.kinds else {}
        return [traits.get(item, PLAIN)[place] for item in ids]

    def eligible(self, ids: list[str]) -> list[bool]:
        """Which are candidates."""
        return self.of(ids, "eligible", 4)

    def asks(self, ids: list[str]) -> list[bool]:
        """Which get a list."""
        return self.of(ids, "asks", 5)

    def rules(self, ids: list[str]) -> oracle.Rules:
        """The rules on pairs of these items."""
        denied = self.of(ids, "deny", 6)
        caps = [
            (self.of(ids, kind, place), most)
            for kind, place, most in (("brand", 2, 1), ("shelf", 3, 2))
            if kind in self.kinds
        ]
        return oracle.Rules(
            ratio=(0.6, 1.7) if "price" in self.kinds else None,
            price=self.of(ids, "price", 0),
            low=-0.2 if "scores" in self.kinds else -1.0,
            high=0.95 if "scores" in self.kinds else 1.0,
            group=self.of(ids, "collapse", 1) if "collapse" in self.kinds else [],
            caps=caps,
            denied={(a, b) for a, others in zip(ids, denied, strict=True) for b in others},
        )

    def same(self, ids: list[str]) -> list[str | None]:
        """What has to be equal."""
        return [str(int(item) % self.sames) if self.sames > 1 else None for item in ids]

    def change(self, given: "Rules") -> None:
        """Other rules from the next night on, which then builds on nothing."""
        self.k, self.reserve, self.nprobe, self.sames, self.kinds = given
        self.full = True

    def defined(self, catalogue: Catalogue, most: int) -> Table:
        """The best of the lists probed, by brute force."""
        ids = sorted(catalogue)
        vectors = np.array([catalogue[item] for item in ids]).reshape(-1, DIM).astype(np.float32)
        probes = quantiser.probe(vectors, self.centroids, self.nprobe or NLIST)
        allowed = (probes[:, 0][None, None, :] == probes[:, :, None]).any(axis=1)
        same = np.array(self.same(ids), dtype=object)
        allowed &= same[:, None] == same[None, :]
        allowed &= np.array(self.eligible(ids), dtype=bool)[None, :]
        found = oracle.neighbors(ids, vectors, most, allowed, self.rules(ids))
        asks = dict(zip(ids, self.asks(ids), strict=True))
        return {item: best for item, best in found.items() if asks[item]}

    def seen(self, catalogue: Catalogue) -> dict[str, Any]:
        """What tells an item of one night from the same of another."""
        now = self.listed(catalogue).to_pylist()
        for row in now:
            del row["list"], row["probes"], row["kind"]
        # Somebody else's denial tells it from others too.
        denied = {other for row in now for other in row["denied"] or ()}
        return {row["item_id"]: (row, row["item_id"] in denied) for row in now}

    def night(self, catalogue: Catalogue, traits: dict[str, Traits] | None = None) -> Table:
        """Another night: the neighbours that are shown."""
        seen = self.seen(self.catalogue)
        self.traits = self.traits if traits is None else traits
        before, self.catalogue = self.catalogue, catalogue
        if self.full:
            before, seen, self.kept, self.pairs, self.full = {}, {}, [], set(), False
        sees = self.seen(catalogue)
        new = {item: v for item, v in catalogue.items() if seen.get(item) != sees[item]}
        gone = {item: v for item, v in before.items() if seen[item] != sees.get(item)}
        now, came, left = (self.listed(some) for some in (catalogue, new, gone))
        width = self.nprobe or NLIST
        for batch in probe_pairs(iter([came]), NLIST, width):
            pairs = zip(batch["home"].to_pylist(), batch["probed"].to_pylist(), strict=True)
            self.pairs |= set(pairs)
        sizes = np.bincount(now["list"].to_numpy(), minlength=NLIST)
        plan = groups.plan_by_work(sizes, 1, self.most)
        sent = self._sent(came, left, plan)

        def items(group: int) -> Iterator[pa.RecordBatch]:
            return _lists(now, *plan.lists(group))

        def kept(group: int) -> Iterator[pa.RecordBatch]:
            rows = pa.RecordBatch.from_pylist(self.kept, schema=NEIGHBORS)
            return _lists(rows, *plan.lists(group))

        wanted = NeighborSettings(
            self.k, self.k + self.reserve, self.nprobe, rules(self.rules(["00"]))
        )
        again = {
            item
            for batch in update.find_incomplete(iter(sent), plan, items, kept, wanted)
            for item in batch["item_id"].to_pylist()
        }
        assert not again & set(new)
        self.asked_again += len(again)
        stay = [
            row
            for batch in update.update_neighbors(
                iter(sent), plan, items, kept, wanted, lambda _: None
            )
            for row in batch.to_pylist()
        ]
        assert len({row["item_id"] for row in stay}) == len(stay)
        assert not {row["item_id"] for row in stay} & (again | set(new))
        lists = dict(zip(now["item_id"].to_pylist(), now["list"].to_pylist(), strict=True))
        self.kept = stay + self._asked(set(new) | again, lists)
        self.kept.sort(key=lambda row: row["list"])
        shown = {row["item_id"]: _pairs(row["neighbors"])[: self.k] for row in self.kept}
        return {item: best for item, best in shown.items() if best}

    def _sent(
        self, came: pa.RecordBatch, left: pa.RecordBatch, plan: groups.GroupPlan
    ) -> list[pa.RecordBatch]:
        home, probed = (np.array([p[n] for p in sorted(self.pairs)], np.int64) for n in (0, 1))
        reach = (
            ReverseProbes.of(home, probed, NLIST)
            if self.nprobe
            else ReverseProbes.everywhere(NLIST)
        )
        rows = came.select(MOVES.names).to_pylist()
        rows += left.select(["item_id", "list"]).to_pylist()
        moves = pa.RecordBatch.from_pylist(rows, schema=MOVES)
        sent = list(send_moves(iter([moves]), reach, plan))
        every = {"key": np.arange(plan.groups), "rows": [b""] * plan.groups}
        table = pa.Table.from_batches(sent, packed_batches.SCHEMA)
        table = pa.concat_tables([table, pa.table(every, schema=packed_batches.SCHEMA)])
        batches: list[pa.RecordBatch] = table.sort_by("key").to_batches(max_chunksize=3)
        return batches

    def _asked(self, items: set[str], lists: dict[str, int]) -> list[dict[str, Any]]:
        most = self.k + self.reserve
        found = self.defined(self.catalogue, most)
        asking = [item for item in items if self.asks([item])[0]]
        return [
            {
                "item_id": item,
                "list": lists[item],
                "neighbors": [{"similar_id": o, "score": s} for o, s in found.get(item, [])],
                "floor": {"similar_id": found[item][-1][0], "score": found[item][-1][1]}
                if len(found.get(item, [])) == most
                else None,
                "probes": self.nprobe,
            }
            for item in sorted(asking)
        ]


def _lists(rows: pa.RecordBatch, first: int, last: int) -> Iterator[pa.RecordBatch]:
    lists = rows["list"].to_numpy()
    yield rows.filter(pa.array((lists >= first) & (lists < last)))


def _pairs(neighbors: list[dict[str, Any]]) -> list[tuple[str, float]]:
    return [(n["similar_id"], n["score"]) for n in neighbors]


# What a night changes: who leaves, vectors, traits, and the rules now and then.
NIGHT = st.tuples(
    st.frozensets(IDS, max_size=4),
    st.dictionaries(IDS, VECTORS, max_size=5),
    st.dictionaries(IDS, TRAITS, max_size=5),
    st.one_of(st.none(), st.none(), st.none(), RULES),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    start=RULES,
    catalogue=st.dictionaries(IDS, VECTORS, min_size=8, max_size=30),
    traits=TRAITED,
    nights=st.lists(NIGHT, min_size=1, max_size=3),
    most=st.sampled_from([2, 7, 100]),
)
def test_any_nights_under_any_rules_give_the_table_that_is_defined(
    start: Rules, catalogue: Catalogue, traits: dict[str, Traits], nights: list[Any], most: int
) -> None:
    shop = Shop(1, 1, 1, most)
    shop.change(start)
    assert shop.night(catalogue, traits) == shop.defined(catalogue, shop.k)
    for gone, vectors, changed, rules_now in nights:
        if rules_now is not None:
            shop.change(rules_now)
        catalogue = {item: v for item, v in catalogue.items() if item not in gone} | vectors
        traits = traits | changed
        assert shop.night(catalogue, traits) == shop.defined(catalogue, shop.k)


def churn(rng: np.random.Generator, catalogue: Catalogue, vector: Callable[[], tuple[float, ...]],
          share: float) -> Catalogue:  # fmt: skip
    """Some items leave, as many come, some change."""
    ids = sorted(catalogue)
    count = int(share * len(ids))
    left, changed = np.split(rng.permutation(ids)[: 2 * count], 2)
    after = {item: v for item, v in catalogue.items() if item not in left}
    after |= {str(item): vector() for item in changed}
    return after | {f"{rng.integers(10**9):09d}": vector() for _ in range(count)}


@pytest.mark.parametrize(("nprobe", "most"), [(2, 1000), (3, 40), (0, 90)])
def test_a_few_changes_a_night_leave_most_lists_alone(nprobe: int, most: int) -> None:
    rng = np.random.default_rng(nprobe)

    def vector() -> tuple[float, ...]:
        return tuple(rng.standard_normal(DIM).astype(np.float16).tolist())

    shop = Shop(4, 2, nprobe, most)
    catalogue = {f"{n:03d}": vector() for n in range(300)}
    for _ in range(5):
        assert shop.night(catalogue) == shop.defined(catalogue, 4)
        catalogue = churn(rng, catalogue, vector, 0.03)
    assert 0 < shop.asked_again < 150


def test_of_hundreds_of_equal_items_that_come_the_first_by_id_are_taken_in() -> None:
    shop = Shop(3, 1, 2, 1000)
    shop.night({f"{n:03d}": (1.0, 0.25, 0.0) for n in range(50)})
    catalogue = shop.catalogue | {f"a{n:05d}": (1.0, 0.25, 0.0) for n in range(600)}
    catalogue |= {"!first": (1.0, 0.25, 0.0)}
    shown = shop.night(catalogue)
    one = shown["005"][0][1]
    assert shown["005"] == [("!first", one), ("000", one), ("001", one)]
    assert shown["000"] == [("!first", one), ("001", one), ("002", one)]


def test_equal_items_that_found_no_room_come_in_when_others_leave() -> None:
    shop = Shop(2, 0, 1, 100)
    one = (1.0, 0.25, 0.0)
    for ids in (("00", "01"), ("00", *(f"1{n}" for n in range(5))), ("00", "12", "13", "14")):
        catalogue: Catalogue = dict.fromkeys(ids, one)
        assert shop.night(catalogue) == shop.defined(catalogue, 2)
