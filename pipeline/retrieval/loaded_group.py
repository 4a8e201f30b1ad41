"""A group of lists as a task loads it, and the search in it for batches of queries."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import caps
from pipeline.retrieval.equal_items import keep_lowest_ids
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.queries import Candidates, Queries
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rules import Rules, Traits, eligible_rows, with_traits
from pipeline.retrieval.search import ExactIndex, query_block_size
from pipeline.retrieval.vectors import from_bytes, hash_vectors
from pipeline.storage.list_schemas import ITEM_TRAITS, TRAITS

_GROUP_ITEMS = pa.schema(
    [
        ("item_id", pa.string()),
        ("vector", pa.binary()),
        *[TRAITS.field(name) for name in ITEM_TRAITS],
        ("unit", pa.int32()),
    ]
)


def items_of_group(
    rows: Iterator[pa.RecordBatch], plan: GroupPlan, group: int, k: int
) -> Iterator[pa.RecordBatch]:
    """Select the items of a group that could be some query's neighbour, with their units.

    Args:
        rows: the rows of the group's lists: item_id string, list int, vector binary (float16), and
            columns of TRAITS if there are rules that read them.
        plan: the groups.
        group: which group.
        k: how many candidates a query gets, at most.
    """
    for batch in rows:
        eligible = eligible_rows(batch)
        if not eligible.num_rows:
            continue
        eligible = with_traits(eligible)
        units = units_of_rows(eligible, plan)
        columns = [eligible[name] for name in ("item_id", "vector", *ITEM_TRAITS)]
        columns.append(pa.array(units.astype(np.int32)))
        items = pa.RecordBatch.from_arrays(columns, schema=_GROUP_ITEMS)
        is_in_group = plan.group_of_unit[units] == group
        if not is_in_group.all():
            items = items.filter(pa.array(is_in_group))
        if items.num_rows:
            positions = keep_lowest_ids(items, items["unit"].to_numpy(), k + 1)
            yield items.take(pa.array(positions))


def rows_in_group(rows: pa.RecordBatch, plan: GroupPlan, group: int) -> pa.RecordBatch:
    """The rows whose unit is in a group; arguments as for `units_of_rows`."""
    is_in_group = plan.group_of_unit[units_of_rows(rows, plan)] == group
    return rows if is_in_group.all() else rows.filter(pa.array(is_in_group))


def units_of_rows(rows: pa.RecordBatch, plan: GroupPlan) -> Int64:
    """The unit that each item is in, if split lists are split by vector: int64[n].

    Equal vectors stay together, so that one of them stands for all in a search.

    Args:
        rows: columns list int, vector binary (float16).
        plan: the groups.
    """
    lists = rows["list"].to_numpy().astype(np.int64)
    units: Int64 = plan.first_unit[lists]
    split = np.flatnonzero(plan.unit_count[lists] > 1)
    if len(split):
        hashes = hash_vectors(rows["vector"].take(pa.array(split)))
        units[split] = plan.unit_of(lists[split], hashes)
    return units


def groups_by_id(rows: pa.RecordBatch, plan: GroupPlan) -> Int64:
    """The group of each item in a plan that parts split lists by the items' ids: int64[n].

    So a part never has much more than its share, though all vectors of a list be equal; but equal
    vectors do not stay together.

    Args:
        rows: columns list int, item_id string.
        plan: the groups.
    """
    lists = rows["list"].to_numpy().astype(np.int64)
    units: Int64 = plan.first_unit[lists]
    split = np.flatnonzero(plan.unit_count[lists] > 1)
    if len(split):
        import pandas as pd  # importing it takes half a second, and most plans split no list

        ids = rows["item_id"].take(pa.array(split)).to_numpy(zero_copy_only=False)
        hashes = pd.util.hash_array(ids, categorize=False) >> np.uint64(1)
        units[split] = plan.unit_of(lists[split], hashes.astype(np.int64))
    groups: Int64 = plan.group_of_unit[units]
    return groups


class LoadedGroup:
    """A group in memory. In its index, items of one unit with one value of `same` form a list.

    Attributes:
        rules: the rules on pairs.
        block: how many queries are best searched for at a time.
        depth: how many candidates a query gets, at most.
        kept: how many of those that caps could select are enough for its list, whatever follows.
        capped: int64[n, caps], the values of each item that caps count, in the order of `ids`.
        capped_items: what tells these items apart under the caps.
    """

    def __init__(self, items: Iterator[pa.RecordBatch], k: int, depth: int, rules: Rules) -> None:
        """Load a group.

        Args:
            items: batches of `items_of_group`.
            k: how many neighbours a list may hold.
            depth: how many candidates a query gets, at most.
            rules: the rules on pairs.
        """
        self._index: ExactIndex | None = None
        self.rules = rules
        self.depth = depth
        # Where no number is known to be enough it is one that is never reached.
        self.kept = caps.rows_needed(rules.caps, k, depth + 1)
        self.capped = np.empty((0, len(rules.caps)), dtype=np.int64)
        self.capped_items = caps.CappedItems(np.empty(0, np.int64), np.empty(0, np.int64))
        self._same_values = pa.array([], pa.string())
        self.block = 1
        batches = list(items)
        if not batches:
            return
        rows = pa.concat_batches(batches)
        batches.clear()
        same = rows["same"].dictionary_encode(null_encoding="encode")
        self._same_values = same.dictionary
        lists = self._index_lists(rows["unit"].to_numpy(), np.asarray(same.indices))
        traits = Traits.from_rows(rows, rules) if rules.needs_kinds else None
        self._index = ExactIndex(lists, rows["item_id"], rows["vector"], depth, rules, traits)
        if rules.caps:
            capped = rows["capped"].take(pc.index_in(self.ids, rows["item_id"]))
            self.capped = np.asarray(capped.flatten()).reshape(len(capped), -1)
            self.capped_items = caps.CappedItems.of(self.capped, rules.caps)
        self.block = query_block_size(len(rows["vector"][0].as_buffer()) // 2, depth)

    @property
    def distances(self) -> int:
        """How many pairs have been scored."""
        return self._index.distances if self._index else 0

    @property
    def ids(self) -> pa.Array:
        """string[n], the ids that candidates' `items` are positions in."""
        return self._index.ids if self._index else pa.array([], pa.string())

    def _index_lists(self, units: "np.ndarray", same_codes: "np.ndarray") -> Int64:
        """The index's list of each pair of a unit and a code of `same`; -1, no list, for -1."""
        lists = units.astype(np.int64) * len(self._same_values) + same_codes
        return np.where(same_codes < 0, -1, lists)

    def search(self, queries: pa.RecordBatch) -> Candidates:
        """The k best items of each query in the units that it probes.

        Args:
            queries: rows of QUERIES.
        """
        if self._index is None:
            none, no_scores = np.zeros(len(queries), np.int64), np.empty(0, np.float32)
            return Candidates(none, np.empty(0, np.int64), no_scores, no_scores)
        ids, units = queries["item_id"], queries["units"]
        rows = np.repeat(np.arange(len(ids)), np.diff(units.offsets.to_numpy()))
        same = pc.fill_null(pc.index_in(queries["same"], self._same_values), -1)
        lists = self._index_lists(units.flatten().to_numpy(), np.asarray(same)[rows])
        traits = Traits.from_rows(queries, self.rules) if self.rules.needs_traits else None
        vectors = from_bytes(queries["vector"])
        return self._index.search(Queries(ids, vectors, rows, lists, traits))
