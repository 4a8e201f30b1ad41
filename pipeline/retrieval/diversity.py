"""Diversity: lists whose items are near to the query and not too near to each other.

Maximal marginal relevance (Carbonell and Goldstein, 1998): of the candidates the next item of a
list is the one with the greatest (1 - diversity) * score - diversity * (greatest cosine to an item
that the list has already, 0 if that is less); ties by id. The score is what candidates are ranked
by. Caps have acted before: no choice from the candidates breaks them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.neighbor_rows import flatten_lists
from pipeline.retrieval.neighbor_values import ranked_by
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import Float32, Float64, float16_rows
from pipeline.storage.list_schemas import CHOSEN, NEIGHBOR

# Values of candidates' vectors that are in float64 at a time: 8 MB.
_VALUES = 1 << 20


@dataclass(frozen=True)
class Diversity:
    """How lists are made diverse.

    Attributes:
        share: the weight of what is already in the list, from 0 up to 1.
        depth: how many candidates of a list are chosen from.
        k: how many are chosen.
    """

    share: float
    depth: int
    k: int


def diversify(
    rows: pa.RecordBatch, ids: pa.Array, vectors: pa.Array, settings: Diversity
) -> pa.RecordBatch:
    """Choose diverse lists.

    Args:
        rows: item_id and neighbors, best first.
        ids: string[n], distinct; those of all neighbours that are chosen from.
        vectors: binary[n], float16, those of these items.
        settings: how they are chosen.

    Returns:
        rows of CHOSEN, in the order of `rows`. `ranked_by` is the value that an item was chosen
        by: the ranks follow it.
    """
    candidates = pc.list_slice(rows["neighbors"], 0, settings.depth)
    row_of, neighbors = flatten_lists(candidates)
    places = np.asarray(pc.index_in(neighbors.field("similar_id"), ids)).astype(np.int64)
    scores = ranked_by(neighbors).to_numpy()
    id_ranks = np.asarray(pc.rank(ids))[places]
    halves = float16_rows(vectors)
    counts = np.bincount(row_of, minlength=rows.num_rows)
    starts = np.cumsum(counts) - counts
    chosen, values = [np.empty(0, np.int64)], [np.empty(0, np.float64)]
    dim = halves.shape[1] if len(halves) else 1
    step = max(1, _VALUES // (settings.depth * dim))
    for first in range(0, rows.num_rows, step):
        block = slice(first, min(first + step, rows.num_rows))
        # Places of the candidates of each row; the last one is repeated where there are fewer.
        width = settings.depth
        offsets = np.minimum(np.arange(width), np.maximum(counts[block] - 1, 0)[:, None])
        at = starts[block][:, None] + offsets
        is_there = np.arange(width) < counts[block][:, None]
        at = np.where(is_there, at, at[:, :1]) if len(places) else at
        if not is_there.any():
            continue
        at = np.minimum(at, len(places) - 1)
        wide = halves[places[at]].astype(np.float64)
        picked, value = _choose(scores[at], id_ranks[at], is_there, wide, settings)
        order = np.where(picked >= 0, np.take_along_axis(at, np.maximum(picked, 0), axis=1), -1)
        chosen.append(order[picked >= 0])
        values.append(value[picked >= 0])
    positions, value = np.concatenate(chosen), np.concatenate(values)
    kept = np.minimum(counts, settings.k)
    structs = pa.StructArray.from_arrays(
        [
            neighbors.field("similar_id").take(pa.array(positions)),
            neighbors.field("score").take(pa.array(positions)),
            pa.array(value.astype(np.float32)),
        ],
        fields=list(NEIGHBOR),
    )
    offsets = pa.array(np.concatenate([[0], np.cumsum(kept)]).astype(np.int32))
    lists = pa.ListArray.from_arrays(offsets, structs).cast(CHOSEN.field("neighbors").type)
    return pa.RecordBatch.from_arrays([rows["item_id"], lists], schema=CHOSEN)


def _cosines(vectors: Float64, norms: Float64, places: Int64) -> Float32:
    """The cosines of one candidate of each list with all of the list.

    They are computed in float64, in which sums of products of float16 are exact if vectors are
    about as long as 1.

    Args:
        vectors: float64[n, depth, dim].
        norms: float64[n, depth], their squared lengths.
        places: int64[n], which candidate.

    Returns:
        float32[n, depth].
    """
    rows = np.arange(len(vectors))
    products = (vectors @ vectors[rows, places][:, :, None])[:, :, 0]
    lengths = np.sqrt(norms * norms[rows, places][:, None])
    lengths[lengths == 0] = 1
    cosines: Float32 = np.clip(products / lengths, -1, 1).astype(np.float32)
    return cosines


def _choose(
    scores: Float32,
    id_ranks: npt.NDArray[np.integer],
    is_there: npt.NDArray[np.bool_],
    vectors: Float64,
    settings: Diversity,
) -> tuple[Int64, Float64]:
    """Choose the items of each list one by one.

    Args:
        scores: float32[n, depth].
        id_ranks: int[n, depth], in the order of the ids.
        is_there: bool[n, depth], which candidates there are.
        vectors: float64[n, depth, dim].
        settings: how they are chosen.

    Returns:
        int64[n, k], places of the candidates, -1 where there are no more; and float64[n, k], the
        values that they were chosen by.
    """
    count = len(scores)
    relevance = (1 - settings.share) * scores.astype(np.float64)
    is_open, nearest = is_there.copy(), np.zeros(scores.shape, dtype=np.float64)
    picked = np.full((count, settings.k), -1, dtype=np.int64)
    values = np.zeros((count, settings.k))
    rows, norms = np.arange(count), np.einsum("ncd,ncd->nc", vectors, vectors)
    steps = min(settings.k, scores.shape[1])
    for step in range(steps):
        value = np.where(is_open, relevance - settings.share * nearest, -np.inf)
        best = value.max(axis=1)
        place = np.where(value == best[:, None], id_ranks, np.iinfo(np.int64).max).argmin(axis=1)
        has_one = is_open.any(axis=1)
        picked[has_one, step] = place[has_one]
        values[:, step] = best
        is_open[rows, place] = False
        if step < steps - 1:
            nearest = np.maximum(nearest, _cosines(vectors, norms, place))
    return picked, values
