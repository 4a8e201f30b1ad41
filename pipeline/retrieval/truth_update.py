"""Bring the true neighbours of queries up to date by the items that departed and that arrived.

More true neighbours are kept than are asked for. No item that ranks before the last kept neighbour
that stays is missing among those that stay, so an arrival that ranks before it is a true neighbour
too. What ranks after it is not known: a query with too few neighbours has to be searched again.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.ranking import Int64, rank_in_row, rank_order, ties_by_id

Bools = npt.NDArray[np.bool_]


def update_truth(
    rows: pa.RecordBatch,
    departures: pa.Array,
    arrivals: pa.RecordBatch,
    query_count: int,
    counts: tuple[int, int],
) -> tuple[pa.RecordBatch, Bools]:
    """The true neighbours among the items that stay and the arrivals; without caps.

    Args:
        rows: of exact_search.TRUTH, the kept neighbours of each query.
        departures: string[n], ids of items that are gone or have another vector.
        arrivals: rows of TRUTH, the best arrivals of each query; as many as are kept, if there are
            so many.
        query_count: how many queries there are.
        counts: how many neighbours a query has to have, and how many are kept.

    Returns:
        rows of TRUTH, by query and rank; and which queries have enough: bool[query_count].
    """
    wanted, capacity = counts
    staying = rows.filter(pc.invert(pc.is_in(rows["similar_id"], departures)))
    both = pa.concat_batches([staying, arrivals])
    queries = both["query"].to_numpy().astype(np.int64)
    order = rank_order(queries, both["score"].to_numpy(), ties_by_id(both["similar_id"]))
    order = _up_to_the_last(order, queries, order < staying.num_rows, query_count)
    order = order[rank_in_row(queries[order]) < capacity]
    has_enough = np.bincount(queries[order], minlength=query_count) >= wanted
    return both.take(pa.array(order)), has_enough


def _up_to_the_last(order: Int64, queries: Int64, stays: Bools, query_count: int) -> Int64:
    """The part of an order that ranks up to the last neighbour of each query that stays.

    Args:
        order: int64[n], rows in the order of query and rank.
        queries: int64[n], the query of each row, not ordered.
        stays: bool[n], whether it is a neighbour that stays; ordered.
        query_count: how many queries there are.
    """
    places = np.arange(len(order))
    last = np.full(query_count, -1, dtype=np.int64)
    np.maximum.at(last, queries[order[stays]], places[stays])
    return order[places <= last[queries[order]]]
