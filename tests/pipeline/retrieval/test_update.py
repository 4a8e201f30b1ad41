"""Night after night, updated neighbours are those of a full search."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.retrieval import groups, packed_batches, update
from pipeline.retrieval.arrivals import NeighborSettings
from pipeline.retrieval.list_table import assign_items, probe_pairs
from pipeline.retrieval.quantiser import Quantiser
from pipeline.retrieval.reverse_probes import (
    MOVES,
    PROBING_GROUPS,
    ReverseProbes,
    probing_groups,
    send_moves,
)
from pipeline.retrieval.rules import with_traits
from pipeline.retrieval.vectors import to_bytes, unit_vectors
from pipeline.storage.list_schemas import LISTS, NEIGHBORS
from tests.pipeline.retrieval import oracle
from tests.pipeline.retrieval.traits import columns, rules

Catalogue = dict[str, tuple[float, ...]]
Table = dict[str, list[tuple[str, float]]]
NLIST, DIM = 5, 3
# Few values, so that vectors are equal and scores tie.
VALUES = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0])
VECTORS = st.tuples(*[VALUES] * DIM)
IDS = st.sampled_from([f"{n:02d}" for n in range(30)])
# k, reserve, nprobe, modulus of `same`, kinds of rules on pairs.
Kinds = frozenset[str]
Rules = tuple[int, int, int, int, Kinds]
RULE_KINDS = ["price", "scores", "collapse", "brand", "shelf", "deny", "eligible", "asks", "differ"]
BOOST_KINDS = ["boost own", "boost match", "boost price"]
EDIT_KINDS = ["boost pairs", "boost where", "deny where"]
KINDS = st.frozensets(st.sampled_from([*RULE_KINDS, *BOOST_KINDS, *BOOST_KINDS, *EDIT_KINDS]))
# What the price of an item says of its own boost, as a value and an age do.
OWN_BOOSTS = {None: 0.0, 1.0: 0.25, 1.5: -0.1, 2.0: 0.03, 3.0: 0.4}
RULES = st.tuples(
    st.integers(1, 5),
    st.integers(0, 3),
    st.integers(0, NLIST),
    st.sampled_from([1, 1, 2, 3]),
    st.just(frozenset[str]()) | KINDS,
)
# Of an item, as rules read them: price, group, brand, shelf, eligible, asks, ids of edited pairs.
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
# The traits of each id on one night; ids that are missing have PLAIN.
TRAITS_BY_ID = st.dictionaries(IDS, TRAITS, min_size=5, max_size=30)
PLAIN: Traits = (None, None, None, None, True, True, frozenset())


@dataclass
class Shop:
    """A catalogue that changes from night to night, and the neighbours that are kept for it.

    Attributes:
        k: neighbours an item is shown with.
        reserve: neighbours that are kept beyond those.
        nprobe: lists that an item probes; 0 for all.
        max_items: items that a group may have.
        same_modulus: `same` of an item is its number modulo this; 1 for no such rule.
        kinds: the kinds of rules on pairs.
        traits: what those read of the items.
        full: whether the next night builds on nothing.
    """

    k: int
    reserve: int
    nprobe: int
    max_items: int
    same_modulus: int = 1
    kinds: Kinds = frozenset()
    traits: dict[str, Traits] = field(default_factory=dict)
    full: bool = False
    catalogue: Catalogue = field(default_factory=dict)
    neighbors: list[dict[str, Any]] = field(default_factory=list)
    pairs: set[tuple[int, int]] = field(default_factory=set)
    searched_again: int = 0

    def __post_init__(self) -> None:
        drawn = np.random.default_rng(5).standard_normal((NLIST, DIM)).astype(np.float32)
        self.quantiser = Quantiser(unit_vectors(drawn))

    def lists_table(self, catalogue: Catalogue) -> pa.RecordBatch:
        """The lists table of a catalogue, with traits."""
        ids = sorted(catalogue)
        if not ids:
            return with_traits(pa.RecordBatch.from_pylist([], schema=LISTS))
        vectors = np.array([catalogue[item] for item in ids], dtype=np.float32)
        batch = pa.record_batch({"item_id": ids, "vector": to_bytes(vectors)})
        (rows,) = assign_items(
            iter([batch]), lambda _: self.quantiser.probe(vectors, max(self.nprobe, 2))
        )
        rows = rows.take(pa.array(np.argsort(rows["list"].to_numpy(), kind="stable")))
        ids = rows["item_id"].to_pylist()
        traits = {
            "same": pa.array(self.same(ids), pa.string()),
            "eligible": pa.array(self.eligible(ids), pa.bool_()),
            "asks": pa.array(self.asks(ids), pa.bool_()),
            **self.pair_traits(ids),
        }
        for name, column in traits.items():
            rows = rows.append_column(name, column)
        return rows

    def pair_traits(self, ids: list[str]) -> dict[str, pa.Array]:
        """What the rules on pairs read; `kind` depends on the denials of all items."""
        all_ids = sorted({*self.catalogue, *ids})
        positions = pa.array([all_ids.index(item) for item in ids], pa.int64())
        return {n: c.take(positions) for n, c in columns(all_ids, self.rules(all_ids)).items()}

    def trait(self, ids: list[str], kind: str, place: int) -> list[Any]:
        """One of the traits of some items, if there is a rule of this kind."""
        traits = self.traits if kind in self.kinds else {}
        return [traits.get(item, PLAIN)[place] for item in ids]

    def eligible(self, ids: list[str]) -> list[bool]:
        """Which items may be neighbours."""
        return self.trait(ids, "eligible", 4)

    def asks(self, ids: list[str]) -> list[bool]:
        """Which items get neighbours."""
        return self.trait(ids, "asks", 5)

    def rules(self, ids: list[str]) -> oracle.Rules:
        """The rules on pairs of these items."""
        denied, boosted = self.trait(ids, "deny", 6), self.trait(ids, "boost pairs", 6)
        # A condition on the brand of the item, and one on the shelf of the neighbour.
        where = [
            (
                [b == "b" for b in self.trait(ids, kind, 2)],
                [s == "x" for s in self.trait(ids, kind, 3)],
            )
            for kind in ("boost where", "deny where")
        ]
        caps = [
            (self.trait(ids, kind, place), cap)
            for kind, place, cap in (("brand", 2, 1), ("shelf", 3, 2))
            if kind in self.kinds
        ]
        return oracle.Rules(
            ratio=(0.6, 1.7) if "price" in self.kinds else None,
            price=self.prices(ids),
            low=-0.2 if "scores" in self.kinds else -1.0,
            high=0.95 if "scores" in self.kinds else 1.0,
            group=self.trait(ids, "collapse", 1) if "collapse" in self.kinds else [],
            caps=caps,
            denied={(a, b) for a, others in zip(ids, denied, strict=True) for b in others},
            differ=[self.trait(ids, "differ", 2)] if "differ" in self.kinds else [],
            own_boosts=[OWN_BOOSTS[price] for price in self.trait(ids, "boost own", 0)]
            if "boost own" in self.kinds
            else [],
            match_boosts=[
                (self.trait(ids, "boost match", 2), 0.2),
                (self.trait(ids, "boost match", 3), -0.15),
            ]
            if "boost match" in self.kinds
            else [],
            price_boost=(0.3, 2.0) if "boost price" in self.kinds else None,
            pair_boosts={
                (a, b): 0.5 if a < b else -0.4
                for a, others in zip(ids, boosted, strict=True)
                for b in others
            },
            conditional=[(*where[0], 0.4), (*where[1], None)],
        )

    def prices(self, ids: list[str]) -> list[float | None]:
        """The price of items, if a rule or a boost reads it."""
        kind = "price" if "price" in self.kinds else "boost price"
        return self.trait(ids, kind, 0)

    def same(self, ids: list[str]) -> list[str | None]:
        """What has to be equal in an item and its neighbours."""
        modulus = self.same_modulus
        return [str(int(item) % modulus) if modulus > 1 else None for item in ids]

    def change(self, settings: "Rules") -> None:
        """Other rules from the next night on, which then builds on nothing."""
        self.k, self.reserve, self.nprobe, self.same_modulus, self.kinds = settings
        self.full = True

    def expected(self, catalogue: Catalogue, k: int) -> Table:
        """The k best of the lists probed, by brute force."""
        ranked = self.ranked(catalogue, k)
        return {item: [(other, score) for other, score, _ in best] for item, best in ranked.items()}

    def ranked(self, catalogue: Catalogue, k: int) -> dict[str, list[tuple[str, float, float]]]:
        """Like `expected`; the last value is what they are ranked by."""
        ids = sorted(catalogue)
        vectors = np.array([catalogue[item] for item in ids]).reshape(-1, DIM).astype(np.float32)
        probes = self.quantiser.probe(vectors, self.nprobe or NLIST)
        allowed = (probes[:, 0][None, None, :] == probes[:, :, None]).any(axis=1)
        same = np.array(self.same(ids), dtype=object)
        allowed &= same[:, None] == same[None, :]
        allowed &= np.array(self.eligible(ids), dtype=bool)[None, :]
        neighbors = oracle.ranked_neighbors(ids, vectors, k, allowed, self.rules(ids))
        asks = dict(zip(ids, self.asks(ids), strict=True))
        return {item: best for item, best in neighbors.items() if asks[item]}

    def item_states(self, catalogue: Catalogue) -> dict[str, Any]:
        """All that the search and the rules read of each item: a change is a move."""
        rows = self.lists_table(catalogue).to_pylist()
        for row in rows:
            del row["list"], row["probes"], row["kind"]
        # An item of an edited pair is told from all others.
        edited = {edit["similar_id"] for row in rows for edit in row["edits"] or ()}
        return {row["item_id"]: (row, row["item_id"] in edited) for row in rows}

    def night(self, catalogue: Catalogue, traits: dict[str, Traits] | None = None) -> Table:
        """Another night: the neighbours that are shown."""
        old_states = self.item_states(self.catalogue)
        self.traits = self.traits if traits is None else traits
        before, self.catalogue = self.catalogue, catalogue
        if self.full:
            before, old_states, self.neighbors, self.pairs, self.full = {}, {}, [], set(), False
        states = self.item_states(catalogue)
        new = {item: v for item, v in catalogue.items() if old_states.get(item) != states[item]}
        gone = {item: v for item, v in before.items() if old_states[item] != states.get(item)}
        now, arrivals, departures = map(self.lists_table, (catalogue, new, gone))
        for batch in probe_pairs(iter([arrivals]), NLIST, self.nprobe or NLIST):
            pairs = zip(batch["home"].to_pylist(), batch["probed"].to_pylist(), strict=True)
            self.pairs |= set(pairs)
        sizes = np.bincount(now["list"].to_numpy(), minlength=NLIST)
        plan = groups.plan_by_work(sizes, 1, self.max_items)
        sent = self._send_moves(arrivals, departures, plan)
        again, stay = self._update(now, sent, plan)
        assert not again & set(new)
        self.searched_again += len(again)
        assert len({row["item_id"] for row in stay}) == len(stay)
        assert not {row["item_id"] for row in stay} & (again | set(new))
        lists = dict(zip(now["item_id"].to_pylist(), now["list"].to_pylist(), strict=True))
        self.neighbors = stay + self._search(set(new) | again, lists)
        self.neighbors.sort(key=lambda row: row["list"])
        shown = {row["item_id"]: _pairs(row["neighbors"])[: self.k] for row in self.neighbors}
        return {item: best for item, best in shown.items() if best}

    def _update(
        self, now: pa.RecordBatch, sent: list[pa.RecordBatch], plan: groups.GroupPlan
    ) -> tuple[set[str], list[dict[str, Any]]]:
        """The items that have to be searched again, and the updated rows of the others."""

        def items(group: int) -> Iterator[pa.RecordBatch]:
            return _rows_of_lists(now, *plan.list_range(group))

        def neighbors(group: int) -> Iterator[pa.RecordBatch]:
            rows = pa.RecordBatch.from_pylist(self.neighbors, schema=NEIGHBORS)
            return _rows_of_lists(rows, *plan.list_range(group))

        reader = update.GroupReader(plan, items, neighbors)
        neighbor_settings = NeighborSettings(
            self.k, self.k + self.reserve, self.nprobe, rules(self.rules(["00"]))
        )
        again = {
            item
            for batch in update.find_incomplete(iter(sent), reader, neighbor_settings)
            for item in batch["item_id"].to_pylist()
        }
        updated = update.update_neighbors(iter(sent), reader, neighbor_settings, lambda _: None)
        return again, [row for batch in updated for row in batch.to_pylist()]

    def _send_moves(
        self, arrivals: pa.RecordBatch, departures: pa.RecordBatch, plan: groups.GroupPlan
    ) -> list[pa.RecordBatch]:
        reverse_probes = ReverseProbes.all_groups(plan)
        if self.nprobe:
            home, probed = (pa.array([p[n] for p in self.pairs], pa.int32()) for n in (0, 1))
            pairs = pa.record_batch({"home": home, "probed": probed})
            batches = probing_groups(iter([pairs]), plan)
            table = pa.Table.from_batches(batches, PROBING_GROUPS)
            probed, group = (np.asarray(column) for column in table.columns)
            reverse_probes = ReverseProbes.from_pairs(probed, group, plan)
        rows = arrivals.select(MOVES.names).to_pylist()
        rows += departures.select(["item_id", "list"]).to_pylist()
        moves = pa.RecordBatch.from_pylist(rows, schema=MOVES)
        sent = list(send_moves(iter([moves]), reverse_probes, plan))
        empty = {"key": np.arange(plan.group_count), "rows": [b""] * plan.group_count}
        table = pa.Table.from_batches(sent, packed_batches.SCHEMA)
        table = pa.concat_tables([table, pa.table(empty, schema=packed_batches.SCHEMA)])
        by_key: list[pa.RecordBatch] = table.sort_by("key").to_batches(max_chunksize=3)
        return by_key

    def _search(self, items: set[str], lists: dict[str, int]) -> list[dict[str, Any]]:
        """Rows of NEIGHBORS by brute force, as a full search gives them."""
        kept = self.k + self.reserve
        neighbors, boosted = self.ranked(self.catalogue, kept), bool(self.kinds & {*BOOST_KINDS})
        rows = []
        for item in sorted(item for item in items if self.asks([item])[0]):
            best = [
                {"similar_id": other, "score": score, "ranked_by": key if boosted else None}
                for other, score, key in neighbors.get(item, [])
            ]
            rows.append(
                {
                    "item_id": item,
                    "list": lists[item],
                    "neighbors": best,
                    "floor": best[-1] if len(best) == kept else None,
                    "probes": self.nprobe,
                }
            )
        return rows


def _rows_of_lists(rows: pa.RecordBatch, first: int, end: int) -> Iterator[pa.RecordBatch]:
    lists = rows["list"].to_numpy()
    yield rows.filter(pa.array((lists >= first) & (lists < end)))


def _pairs(neighbors: list[dict[str, Any]]) -> list[tuple[str, float]]:
    return [(n["similar_id"], n["score"]) for n in neighbors]


# What a night changes: ids that leave, vectors, traits, and sometimes the rules.
NIGHT = st.tuples(
    st.frozensets(IDS, max_size=4),
    st.dictionaries(IDS, VECTORS, max_size=5),
    st.dictionaries(IDS, TRAITS, max_size=5),
    st.one_of(st.none(), st.none(), st.none(), RULES),
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    start=RULES,
    catalogue=st.dictionaries(IDS, VECTORS, min_size=8, max_size=30),
    traits=TRAITS_BY_ID,
    nights=st.lists(NIGHT, min_size=1, max_size=3),
    max_items=st.sampled_from([2, 7, 100]),
)
def test_any_nights_under_any_rules_give_the_table_of_a_full_search(
    start: Rules, catalogue: Catalogue, traits: dict[str, Traits], nights: list[Any], max_items: int
) -> None:
    shop = Shop(1, 1, 1, max_items)
    shop.change(start)
    assert shop.night(catalogue, traits) == shop.expected(catalogue, shop.k)
    for gone, vectors, changed, rules_now in nights:
        if rules_now is not None:
            shop.change(rules_now)
        catalogue = {item: v for item, v in catalogue.items() if item not in gone} | vectors
        traits = traits | changed
        assert shop.night(catalogue, traits) == shop.expected(catalogue, shop.k)


def churn(rng: np.random.Generator, catalogue: Catalogue, vector: Callable[[], tuple[float, ...]],
          share: float) -> Catalogue:  # fmt: skip
    """Some items leave, as many arrive, some change."""
    ids = sorted(catalogue)
    count = int(share * len(ids))
    left, changed = np.split(rng.permutation(ids)[: 2 * count], 2)
    after = {item: v for item, v in catalogue.items() if item not in left}
    after |= {str(item): vector() for item in changed}
    return after | {f"{rng.integers(10**9):09d}": vector() for _ in range(count)}


@pytest.mark.parametrize(
    ("nprobe", "max_items"),
    [
        (2, 1000),
        pytest.param(3, 40, marks=pytest.mark.slow),
        pytest.param(0, 90, marks=pytest.mark.slow),
    ],
)
def test_a_few_changes_a_night_leave_most_lists_alone(nprobe: int, max_items: int) -> None:
    rng = np.random.default_rng(nprobe)

    def vector() -> tuple[float, ...]:
        return tuple(rng.standard_normal(DIM).astype(np.float16).tolist())

    shop = Shop(4, 2, nprobe, max_items)
    catalogue = {f"{n:03d}": vector() for n in range(300)}
    for _ in range(5):
        assert shop.night(catalogue) == shop.expected(catalogue, 4)
        catalogue = churn(rng, catalogue, vector, 0.03)
    assert 0 < shop.searched_again < 150


@pytest.mark.parametrize("kinds", [{"boost own"}, {"boost match"}, {"boost price"}, BOOST_KINDS])
def test_an_arrival_that_only_its_boost_brings_above_the_floor_enters(kinds: set[str]) -> None:
    rng = np.random.default_rng(7)

    def vector() -> tuple[float, ...]:
        return tuple(rng.standard_normal(DIM).astype(np.float16).tolist())

    def trait() -> Traits:
        price = [None, 1.0, 1.5, 2.0, 3.0][rng.integers(5)]
        return (price, None, ["b", "c"][rng.integers(2)], "x", True, True, frozenset())

    shop = Shop(4, 2, 2, 60, kinds=frozenset(kinds))
    catalogue = {f"{n:03d}": vector() for n in range(150)}
    traits = {item: trait() for item in catalogue}
    for _ in range(4):
        shown = shop.night(catalogue, traits)
        assert shown == shop.expected(catalogue, 4)
        catalogue = churn(rng, catalogue, vector, 0.05)
        traits = {item: traits.get(item) or trait() for item in catalogue}
    plain = Shop(4, 2, 2, 60)
    assert plain.night(shop.catalogue) != shown


def test_of_hundreds_of_equal_arrivals_the_lowest_ids_enter() -> None:
    shop = Shop(3, 1, 2, 1000)
    shop.night({f"{n:03d}": (1.0, 0.25, 0.0) for n in range(50)})
    catalogue = shop.catalogue | {f"a{n:05d}": (1.0, 0.25, 0.0) for n in range(250)}
    catalogue |= {"!first": (1.0, 0.25, 0.0)}
    shown = shop.night(catalogue)
    one = shown["005"][0][1]
    assert shown["005"] == [("!first", one), ("000", one), ("001", one)]
    assert shown["000"] == [("!first", one), ("001", one), ("002", one)]


def test_equal_items_beyond_the_floor_enter_when_others_leave() -> None:
    shop = Shop(2, 0, 1, 100)
    one = (1.0, 0.25, 0.0)
    for ids in (("00", "01"), ("00", *(f"1{n}" for n in range(5))), ("00", "12", "13", "14")):
        catalogue: Catalogue = dict.fromkeys(ids, one)
        assert shop.night(catalogue) == shop.expected(catalogue, 2)
