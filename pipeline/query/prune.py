"""Pruning of the rows of lists for a few queries, before the search.

A group that is searched for many queries is prepared with care: equal vectors are merged, vectors
are widened to float32 and normalised. For one query all that takes longer than one product, so for
few queries the rows that can't be among the best are dropped first.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.rules import Rules, eligible_rows, with_traits
from pipeline.retrieval.vectors import error_bound, from_bytes, unit_vectors

# Up to so many queries are few.
MAX_QUERIES = 16


def is_possible(rules: Rules) -> bool:
    """Whether scores alone decide which eligible rows with the same values are the best."""
    return not rules.needs_traits and rules.max_score >= 1


def prune_rows(
    rows: pa.RecordBatch, queries: pa.RecordBatch, probes: npt.NDArray[np.int32], depth: int
) -> pa.RecordBatch:
    """Drop the rows that can't be among the best of any query.

    Args:
        rows: rows of the lists table, with the columns of TRAITS that there are.
        queries: rows of QUERIES but for `units`.
        probes: int32[queries, nprobe], the lists that each query probes.
        depth: number of candidates that a query needs beside itself.
    """
    rows = eligible_rows(rows)
    if not rows.num_rows:
        return rows
    vectors = from_bytes(rows["vector"])
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    lengths[lengths == 0] = 1
    directions = unit_vectors(from_bytes(queries["vector"]))
    # A matrix product would start threads, which take longer than a product of this shape.
    scores = [np.einsum("ij,j->i", vectors, direction) / lengths for direction in directions]
    # The error of float32 sums that the search allows for.
    margin = error_bound(vectors.shape[1])
    lists, same = rows["list"].to_numpy(), with_traits(rows)["same"]
    mask = np.zeros(rows.num_rows, dtype=bool)
    for row_scores, probed, value in zip(scores, probes, queries["same"], strict=True):
        matching = np.isin(lists, probed) & _equal(same, value)
        surplus = int(matching.sum()) - (depth + 1)
        threshold = -np.inf
        if surplus > 0:
            threshold = np.partition(row_scores[matching], surplus)[surplus] - margin
        mask |= matching & (row_scores >= threshold)
    return rows.filter(pa.array(mask))


def _equal(same: pa.Array, value: pa.Scalar) -> npt.NDArray[np.bool_]:
    if not value.is_valid:
        return np.asarray(same.is_null())
    return np.asarray(pc.fill_null(pc.equal(same, value), False))
