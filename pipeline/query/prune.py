"""Few queries need few of the rows that their lists hold: the others are put aside at once.

A group that is searched for many queries is prepared with care: its equal vectors are found, its
vectors widened and brought to length 1. For one query all that takes longer than one product.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.rules import Rules, eligible_rows, with_traits
from pipeline.retrieval.vectors import from_bytes, unit_vectors

# So many queries count as few.
FEW = 16


def possible(rules: Rules) -> bool:
    """Whether scores alone say which of the eligible and same are the best."""
    return not rules.of_traits and rules.max_score >= 1


def nearest(
    rows: pa.RecordBatch, asked: pa.RecordBatch, probed: npt.NDArray[np.bool_], depth: int
) -> pa.RecordBatch:
    """The rows that can be among the best of any of a few queries, and those near them.

    Args:
        rows: of the lists table, and the columns of TRAITS that there are.
        asked: rows of QUERIES but for `units`.
        probed: bool[queries, lists], which lists each query probes.
        depth: candidates of a query that are looked at, beside itself.
    """
    rows = eligible_rows(rows)
    if not rows.num_rows:
        return rows
    vectors = from_bytes(rows["vector"])
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    lengths[lengths == 0] = 1
    directions = unit_vectors(from_bytes(asked["vector"]))
    # A product of this shape is not worth the threads of a matrix product.
    scores = [np.einsum("ij,j->i", vectors, one) / lengths for one in directions]
    # What float32 may be off by, as the search has it.
    margin = np.float32((vectors.shape[1] + 8) * 2.0**-22)
    lists, same = rows["list"].to_numpy(), with_traits(rows)["same"]
    kept = np.zeros(rows.num_rows, dtype=bool)
    for mine, known, wanted in zip(scores, probed, asked["same"], strict=True):
        inside = known[lists] & _equal(same, wanted)
        at = int(inside.sum()) - (depth + 1)
        least = np.partition(mine[inside], at)[at] - margin if at > 0 else -np.inf
        kept |= inside & (mine >= least)
    return rows.filter(pa.array(kept))


def _equal(same: pa.Array, wanted: pa.Scalar) -> npt.NDArray[np.bool_]:
    if not wanted.is_valid:
        return np.asarray(same.is_null())
    return np.asarray(pc.fill_null(pc.equal(same, wanted), False))
