"""A group of lists as a task holds it: its items, and what its lists are called."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.queries import Candidates, Queries
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rules import Rules, Traits, eligible_rows, with_traits
from pipeline.retrieval.search import ExactIndex, equal_classes, query_block_size
from pipeline.retrieval.vectors import float16_rows, from_bytes, hash_vectors
from pipeline.storage.clustered_tables import TRAITS

NOTHING = Candidates(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
_TRAITS = ("same", "kind", "price", "variant", "capped")
_ROWS = pa.schema(
    [
        ("item_id", pa.string()),
        ("vector", pa.binary()),
        *[TRAITS.field(name) for name in _TRAITS],
        ("unit", pa.int32()),
    ]
)


def items_of_group(
    items: Iterator[pa.RecordBatch], plan: GroupPlan, group: int, k: int
) -> Iterator[pa.RecordBatch]:
    """The items that a group has, with their units; none that could be no query's neighbour.

    Args:
        items: rows of the group's lists: item_id string, list int, vector binary (float16), and
            columns of TRAITS where there are such rules.
        plan: the groups.
        group: which one.
        k: how many candidates a query will be given.
    """
    for batch in items:
        some = eligible_rows(batch)
        if not some.num_rows:
            continue
        rows = with_traits(some)
        units = units_of_rows(rows, plan)
        columns = [rows[name] for name in ("item_id", "vector", *_TRAITS)]
        found = pa.RecordBatch.from_arrays(
            [*columns, pa.array(units.astype(np.int32))], schema=_ROWS
        )
        mine = plan.group[units] == group
        if not mine.all():
            found = found.filter(pa.array(mine))
        if found.num_rows:
            yield found.take(pa.array(keep_lowest_ids(found, found["unit"].to_numpy(), k + 1)))


def units_of_rows(rows: pa.RecordBatch, plan: GroupPlan) -> Int64:
    """The unit that each item is in: int64[n].

    Args:
        rows: columns list int, vector binary (float16).
        plan: the groups.
    """
    lists = rows["list"].to_numpy().astype(np.int64)
    units: Int64 = plan.first[lists]
    split = np.flatnonzero(plan.parts[lists] > 1)
    if len(split):
        units[split] = plan.units(lists[split], hash_vectors(rows["vector"].take(pa.array(split))))
    return units


def keep_lowest_ids(rows: pa.RecordBatch, lists: Int64, most: int) -> Int64:
    """Positions of the rows, but of many that are equal to rules of the lowest ids only.

    The others can't be among the best of any query: what is held of equal items does not grow with
    their number.

    Args:
        rows: columns item_id, vector, same and kind; equal vectors stand together.
        lists: int64[n], the list of each.
        most: how many of one list, vector, `same` and kind are kept.
    """
    values = float16_rows(rows["vector"]).view(np.uint16)
    new = np.ones(len(values), dtype=bool)
    new[1:] = (values[1:] != values[:-1]).any(axis=1)
    run = np.cumsum(new) - 1
    many = np.bincount(run)[run] > most
    if not many.any():
        return np.arange(len(values))
    crowded = np.flatnonzero(many)
    some = rows.take(pa.array(crowded))
    same = some["same"].dictionary_encode(null_encoding="encode")
    of = lists[crowded] * np.int64(len(same.dictionary)) + np.asarray(same.indices)
    by_id = np.asarray(pc.sort_indices(some["item_id"]))
    kinds = np.asarray(pc.fill_null(some["kind"], 0)).astype(np.int64)
    members, _ = equal_classes(of, some["vector"], by_id, most, kinds)
    return np.sort(np.concatenate([np.flatnonzero(~many), crowded[by_id[members]]]))


class LoadedGroup:
    """A group that is searched: a unit's items with one value of `same` make one list.

    Attributes:
        rules: what holds for pairs.
        block: how many queries are best searched for at a time.
        depth: how many candidates a query is given, at most.
        capped: int64[n, caps], the values that caps count, in the order of `ids`.
    """

    def __init__(self, items: Iterator[pa.RecordBatch], k: int, rules: Rules) -> None:
        """Take a group's items, as `of_group` gives them."""
        self._group: ExactIndex | None = None
        self.rules = rules
        self.depth = k
        self.capped = np.empty((0, len(rules.caps)), dtype=np.int64)
        self._values = pa.array([], pa.string())
        self.block = 1
        batches = list(items)
        if not batches:
            return
        rows = pa.concat_batches(batches)
        batches.clear()
        same = rows["same"].dictionary_encode(null_encoding="encode")
        self._values = same.dictionary
        lists = self._lists(rows["unit"].to_numpy(), np.asarray(same.indices))
        traits = Traits.of(rows) if rules.of_kinds else None
        self._group = ExactIndex(lists, rows["item_id"], rows["vector"], k, rules, traits)
        if rules.caps:
            capped = rows["capped"].take(pc.index_in(self.ids, rows["item_id"]))
            self.capped = np.asarray(capped.flatten()).reshape(len(capped), -1)
        self.block = query_block_size(len(rows["vector"][0].as_buffer()) // 2, k)

    @property
    def distances(self) -> int:
        """Pairs scored so far."""
        return self._group.distances if self._group else 0

    @property
    def ids(self) -> pa.Array:
        """What the items of candidates are positions in: string[n]."""
        return self._group.ids if self._group else pa.array([], pa.string())

    def _lists(self, units: "np.ndarray", values: "np.ndarray") -> Int64:
        # A value that no item has belongs to no list.
        lists = units.astype(np.int64) * len(self._values) + values
        return np.where(values < 0, -1, lists)

    def search(self, asked: pa.RecordBatch) -> Candidates:
        """The k best of each query in the units that it probes.

        Args:
            asked: rows of QUERIES.
        """
        if self._group is None:
            return Candidates(np.zeros(len(asked), np.int64), NOTHING.items, NOTHING.scores)
        ids, units = asked["item_id"], asked["units"]
        rows = np.repeat(np.arange(len(ids)), np.diff(units.offsets.to_numpy()))
        known = pc.fill_null(pc.index_in(asked["same"], self._values), -1)
        lists = self._lists(units.flatten().to_numpy(), np.asarray(known)[rows])
        traits = Traits.of(asked) if self.rules.of_traits else None
        queries = Queries(ids, from_bytes(asked["vector"]), rows, lists, traits)
        return self._group.search(queries)
