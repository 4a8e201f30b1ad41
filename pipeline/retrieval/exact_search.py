"""Exact search: the true neighbours of a sample of queries, by comparing them with every item."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import caps, packed_batches
from pipeline.retrieval.queries import Queries
from pipeline.retrieval.ranking import Int64, rank_in_row, rank_order, ties_by_id
from pipeline.retrieval.rules import Rules, Traits, with_traits
from pipeline.retrieval.search import ExactIndex
from pipeline.retrieval.vectors import (
    Float32,
    error_bound,
    from_bytes,
    lengths,
    squared_norms,
    unit_vectors,
)

# Items that the queries are compared with at a time.
_BLOCK_ROWS = 4_096
# So few queries are first compared with the items as they come: to index the items takes longer.
_FEW_QUERIES = 64
# Candidates of a query that are looked at for each neighbour, if caps may exclude some of them;
# the second number for the few queries that the first one is too low for.
FACTORS = (4, 16)

# A true neighbour of a query (its number), and the list that it is in. Only with caps: the values
# that they count, and at a query's first row its cut, the candidate up to which none is missing.
TRUTH = pa.schema(
    [
        ("query", pa.int32()),
        ("similar_id", pa.string()),
        ("score", pa.float32()),
        ("list", pa.int32()),
        ("values", pa.list_(pa.int64())),
        ("cut_score", pa.float32()),
        ("cut_id", pa.string()),
    ]
)


@dataclass(frozen=True)
class TruthQueries:
    """Queries whose true neighbours are searched.

    Attributes:
        ids: string[n].
        vectors: float32[n, dim].
        same: string[n], the value of `same` that a neighbour has to have.
        traits: what the rules on pairs read.
    """

    ids: pa.Array
    vectors: Float32
    same: pa.Array
    traits: Traits


class _Cuts:
    """The cut of each query: the candidate up to which none is missing, by score and then id.

    Attributes:
        scores: float32[queries], those of the cuts; minus infinity where there is none.
    """

    def __init__(self, query_count: int) -> None:
        self.scores = np.full(query_count, -np.inf, dtype=np.float32)
        self._ids = np.full(query_count, None, dtype=object)

    def lower(self, queries: Int64, scores: Float32, ids: pa.Array) -> None:
        """Note a cut of each query, unless a better candidate is its cut already.

        Args:
            queries: int64[n], each once.
            scores: float32[n].
            ids: string[n].
        """
        is_first = self.includes(queries, scores, ids)
        queries = queries[is_first]
        self.scores[queries] = scores[is_first]
        self._ids[queries] = _as_objects(ids)[is_first]

    def includes(self, queries: Int64, scores: Float32, ids: pa.Array) -> npt.NDArray[np.bool_]:
        """Whether candidates rank up to the cuts of their queries: bool[n].

        Args:
            queries: int64[n].
            scores: float32[n].
            ids: string[n].
        """
        cuts = self.scores[queries]
        is_included: npt.NDArray[np.bool_] = scores > cuts
        tied = np.flatnonzero((scores == cuts) & np.isfinite(cuts))
        tied_ids = _as_objects(ids.take(pa.array(tied)))
        is_included[tied] = tied_ids <= self._ids[queries[tied]]
        return is_included

    def add_columns(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Ordered rows of TRUTH; the first of each query has the query's cut."""
        queries = rows["query"].to_numpy()
        queries = np.where(rank_in_row(queries) == 0, queries, -1)
        has_cut = (queries >= 0) & np.isfinite(self.scores[queries])
        cuts = (self.scores[queries], self._ids[queries])
        for name, values in zip(("cut_score", "cut_id"), cuts, strict=True):
            field = TRUTH.field(name)
            column = pa.array(values, field.type, mask=~has_cut)
            rows = rows.set_column(TRUTH.get_field_index(name), field, column)
        return rows


def exact_search(
    batches: Iterator[pa.RecordBatch],
    truth_queries: TruthQueries,
    k: int,
    rules: Rules,
    factor: int = FACTORS[-1],
) -> Iterator[pa.RecordBatch]:
    """The best items for a few queries in a stream of items.

    Args:
        batches: columns item_id string, list int, vector binary (float16), and those of TRAITS.
        truth_queries: the queries.
        k: neighbours of a query, at most.
        rules: the rules on pairs.
        factor: how many candidates are looked at for each neighbour, if there are caps.

    Yields:
        one batch of TRUTH, ordered by query and rank. With caps `merge_truth` selects from them,
        and there may be more than k rows a query.
    """
    depth, kept = k * factor if rules.caps else k, rows_kept(k, rules, factor)
    same_values = truth_queries.same.dictionary_encode(null_encoding="encode")
    query_count = len(truth_queries.ids)
    # An item with one value of `same` is in the list of that value, which queries with it probe.
    queries = Queries(
        truth_queries.ids,
        truth_queries.vectors,
        np.arange(query_count),
        np.asarray(same_values.indices).astype(np.int64),
        truth_queries.traits if rules.needs_traits else None,
    )
    floor = np.full(query_count, -np.inf, dtype=np.float32)
    cuts, is_few = _Cuts(query_count), query_count <= _FEW_QUERIES and not rules.boosts.exist
    nearest = pa.RecordBatch.from_pylist([], schema=TRUTH)
    for block in _blocks(batches):
        rows = block
        if is_few and np.isfinite(floor).all():
            rows = _rows_above(block, queries.vectors, floor)
        if not rows.num_rows:
            continue
        candidates = _search_block(rows, queries, same_values.dictionary, floor, depth, rules, cuts)
        nearest = _best_rows(pa.concat_batches([nearest, candidates]), kept, rules)
        numbers, scores = nearest["query"].to_numpy(), nearest["score"].to_numpy()
        is_last = rank_in_row(numbers) == kept - 1
        floor[numbers[is_last]] = scores[is_last]
        if rules.caps:
            ids = nearest["similar_id"].filter(pa.array(is_last))
            cuts.lower(numbers[is_last].astype(np.int64), scores[is_last], ids)
            # What ranks after the cut is never used.
            floor = np.maximum(floor, cuts.scores)
            nearest = nearest.filter(pa.array(scores >= cuts.scores[numbers]))
    yield cuts.add_columns(nearest)


def _rows_above(rows: pa.RecordBatch, queries: Float32, floor: Float32) -> pa.RecordBatch:
    """The items of a block whose cosine with some query may reach the query's floor.

    Args:
        rows: with the column vector.
        queries: float32[n, dim].
        floor: float32[n].
    """
    vectors = from_bytes(rows["vector"])
    products = unit_vectors(queries) @ vectors.T
    products /= lengths(squared_norms(vectors)).astype(np.float32)
    least = floor - error_bound(queries.shape[1])
    return rows.filter(pa.array((products >= least[:, None]).any(axis=0)))


def rows_kept(k: int, rules: Rules, factor: int) -> int:
    """How many rows of a query one search gives, at most; arguments as for `exact_search`."""
    return caps.rows_needed(rules.caps, k, k * factor)


def _search_block(
    rows: pa.RecordBatch,
    queries: Queries,
    same_values: pa.Array,
    floor: Float32,
    depth: int,
    rules: Rules,
    cuts: _Cuts,
) -> pa.RecordBatch:
    """The best items of one block for each query, as rows of TRUTH without cuts."""
    block = with_traits(rows)
    same = pc.fill_null(pc.index_in(block["same"], same_values), -1)
    lists = np.asarray(same).astype(np.int64)
    traits = Traits.from_rows(block, rules) if rules.needs_kinds else None
    index = ExactIndex(lists, block["item_id"], block["vector"], depth, rules, traits)
    candidates = index.search(queries, floor)
    items = pc.index_in(index.ids, block["item_id"]).take(pa.array(candidates.items))
    numbers = np.repeat(np.arange(len(candidates.counts)), candidates.counts)
    if rules.caps:
        full = np.flatnonzero(candidates.counts == depth)
        last = np.cumsum(candidates.counts)[full] - 1
        last_ids = block["item_id"].take(items.take(pa.array(last)))
        cuts.lower(full, candidates.scores[last], last_ids)
    no_ids = pa.nulls(len(items), pa.string())
    columns = [
        pa.array(numbers.astype(np.int32)),
        block["item_id"].take(items),
        pa.array(candidates.scores),
        block["list"].take(items),
        block["capped"].take(items),
        no_ids.cast(pa.float32()),
        no_ids,
    ]
    return pa.RecordBatch.from_arrays(columns, schema=TRUTH)


def _best_rows(rows: pa.RecordBatch, depth: int, rules: Rules) -> pa.RecordBatch:
    """The `depth` best rows of TRUTH of each query, in order, without those caps never select."""
    rows = rows.take(pa.array(_rank_truth(rows)))
    queries = rows["query"].to_numpy().astype(np.int64)
    if rules.caps:
        capped = caps.CappedItems.of(_capped_values(rows, rules), rules.caps)
        mask = capped.selectable_mask(queries)
        rows, queries = rows.filter(pa.array(mask)), queries[mask]
    return rows.filter(pa.array(rank_in_row(queries) < depth))


def merge_truth(rows: pa.RecordBatch, k: int, rules: Rules) -> pa.RecordBatch:
    """The k true neighbours of each query, in order, from the results of several searches.

    If caps exclude more candidates than were looked at, the rows are the first of the true
    neighbours, up to the query's cut; only the first row of such a query has a cut.

    Args:
        rows: of TRUTH, all rows of each query.
        k: neighbours of a query, at most.
        rules: the rules; only the caps act here.
    """
    rows = rows.take(pa.array(_rank_truth(rows)))
    queries = rows["query"].to_numpy().astype(np.int64)
    if not rules.caps:
        return rows.filter(pa.array(rank_in_row(queries) < k))
    cuts = _Cuts(int(queries.max(initial=-1)) + 1)
    with_cut = rows.filter(rows["cut_id"].is_valid())
    cut_of, scores = with_cut["query"].to_numpy().astype(np.int64), with_cut["cut_score"].to_numpy()
    order = rank_order(cut_of, scores, ties_by_id(with_cut["cut_id"]))
    first = order[rank_in_row(cut_of[order]) == 0]
    cuts.lower(cut_of[first], scores[first], with_cut["cut_id"].take(pa.array(first)))
    is_known = cuts.includes(queries, rows["score"].to_numpy(), rows["similar_id"])
    rows, queries = rows.filter(pa.array(is_known)), queries[is_known]
    mask = caps.top_k_mask(queries, _capped_values(rows, rules), rules.caps, k)
    counts = np.bincount(queries[mask], minlength=len(cuts.scores))
    cuts.scores[counts == k] = -np.inf
    return cuts.add_columns(rows.filter(pa.array(mask)))


def _as_objects(ids: pa.Array) -> npt.NDArray[np.object_]:
    objects: npt.NDArray[np.object_] = ids.to_numpy(zero_copy_only=False)
    return objects


def _capped_values(rows: pa.RecordBatch, rules: Rules) -> Int64:
    return np.asarray(rows["values"].flatten()).reshape(-1, len(rules.caps))


def _rank_truth(rows: pa.RecordBatch) -> Int64:
    """The order of rows of TRUTH by query and rank."""
    queries = rows["query"].to_numpy().astype(np.int64)
    return rank_order(queries, rows["score"].to_numpy(), ties_by_id(rows["similar_id"]))


def _blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in packed_batches.coalesce(batches):
        for start in range(0, batch.num_rows, _BLOCK_ROWS):
            yield batch.slice(start, _BLOCK_ROWS)
