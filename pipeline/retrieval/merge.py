"""The merge: the top k of the candidates that several groups have for a query."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.retrieval import caps, packed_batches
from pipeline.retrieval.join import GROUP_CANDIDATES
from pipeline.retrieval.neighbor_values import neighbors_of
from pipeline.retrieval.ranking import Int64, rank_in_row, rank_order, ties_by_id
from pipeline.retrieval.rules import Rules
from pipeline.storage.list_schemas import NEIGHBORS

_ROWS_PER_BATCH = 10_000


@dataclass(frozen=True)
class MergeSettings:
    """How candidates are merged.

    Attributes:
        k: how many neighbours are kept.
        probes: how many lists were searched.
        rules: the rules; only the caps act here, and whether there are boosts.
    """

    k: int
    probes: int
    rules: Rules


def merge(batches: Iterator[pa.RecordBatch], settings: MergeSettings) -> Iterator[pa.RecordBatch]:
    """The k best candidates of each query, ties by id.

    All rows of a part are in memory. A part has some of the queries, with all their candidates.

    Args:
        batches: packed batches of GROUP_CANDIDATES, in any order.
        settings: how they are merged.

    Yields:
        batches of NEIGHBORS, one row a query, in the order of the items' lists.
    """
    unpacked = [
        packed_batches.unpack(cell, GROUP_CANDIDATES)
        for _, cell in packed_batches.iter_cells(batches)
    ]
    if not unpacked:
        return
    candidates = pa.concat_batches(unpacked)
    unpacked.clear()
    neighbors = top_k(candidates, settings)
    for start in range(0, neighbors.num_rows, _ROWS_PER_BATCH):
        yield neighbors.slice(start, _ROWS_PER_BATCH)


def top_k(candidates: pa.RecordBatch, settings: MergeSettings) -> pa.RecordBatch:
    """Merge rows of GROUP_CANDIDATES, in any order, to rows of NEIGHBORS."""
    queries = candidates["item_id"].dictionary_encode()
    codes = np.asarray(queries.indices).astype(np.int64)
    lists = np.empty(len(queries.dictionary), dtype=np.int32)
    lists[codes] = candidates["list"].to_numpy()
    by_list = np.argsort(lists, kind="stable")
    row_of_query = np.argsort(by_list)
    sizes = np.diff(candidates["similar_ids"].offsets.to_numpy())
    rows = np.repeat(row_of_query[codes], sizes)
    scores = candidates["scores"].flatten().to_numpy()
    similar_ids = candidates["similar_ids"].flatten()
    probes = np.full(len(lists), settings.probes, dtype=np.int32)
    is_open = np.zeros(len(lists), dtype=bool)
    if settings.rules.caps:
        order, is_open = _select_under_caps(candidates, row_of_query[codes], settings)
    else:
        order = rank_order(rows, scores, ties_by_id(similar_ids))
    order = order[rank_in_row(rows[order]) < settings.k]
    counts = np.bincount(rows[order], minlength=len(lists))
    cosines = None
    if settings.rules.boosts.exist:
        cosines = candidates["cosines"].flatten().to_numpy()[order]
    structs = neighbors_of(similar_ids.take(pa.array(order)), scores[order], cosines)
    ends = np.cumsum(counts)
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    last = pa.array(ends - 1, mask=counts < settings.k)
    columns = [
        queries.dictionary.take(pa.array(by_list)),
        pa.array(lists[by_list]),
        pa.ListArray.from_arrays(offsets, structs),
        structs.take(last),
        pa.array(probes, mask=is_open),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=NEIGHBORS)


def _select_under_caps(
    candidates: pa.RecordBatch, places: Int64, settings: MergeSettings
) -> tuple[Int64, npt.NDArray[np.bool_]]:
    """Select candidates under the caps, from those up to which none can be missing.

    Args:
        candidates: rows of GROUP_CANDIDATES.
        places: int64[n], the query of each row.
        settings: how they are merged.

    Returns:
        positions of the candidates, in order; and bool[queries], whether a query's list may lack
        neighbours, so that more of its candidates have to be looked at.
    """
    rows = np.repeat(places, np.diff(candidates["similar_ids"].offsets.to_numpy()))
    positions, has_cut = _candidates_up_to_cut(candidates, places, rows)
    values = np.asarray(candidates["values"].flatten()).reshape(-1, len(settings.rules.caps))
    mask = caps.top_k_mask(rows[positions], values[positions], settings.rules.caps, settings.k)
    order = positions[mask]
    counts = np.bincount(rows[order], minlength=len(has_cut))
    return order, has_cut & (counts < settings.k)


def _candidates_up_to_cut(
    candidates: pa.RecordBatch, places: Int64, rows: Int64
) -> tuple[Int64, npt.NDArray[np.bool_]]:
    """The candidates of each query that rank up to the first of its cuts, in order.

    A group's cut is the last candidate that it had room for. Up to the first cut of all groups no
    candidate of the query is missing.

    Args:
        candidates: rows of GROUP_CANDIDATES.
        places: int64[n], the query of each row.
        rows: int64[candidates], the query of each candidate.

    Returns:
        positions of the candidates; and bool[queries], whether the query has a cut.
    """
    scores = candidates["scores"].flatten().to_numpy()
    cuts = np.flatnonzero(np.asarray(candidates["cut_id"].is_valid()))
    cut_scores, cut_ids = (
        candidates[name].take(pa.array(cuts)) for name in ("cut_score", "cut_id")
    )
    all_scores = np.concatenate([scores, cut_scores.to_numpy()])
    all_rows = np.concatenate([rows, places[cuts]])
    tie_keys = ties_by_id(pa.concat_arrays([candidates["similar_ids"].flatten(), cut_ids]))
    is_cut = np.arange(len(all_rows)) >= len(rows)

    def candidate_before_cut(positions: Int64) -> Int64:
        # The cut is mostly a candidate too, which is known: it comes before itself as the cut.
        return 2 * tie_keys(positions) + is_cut[positions]

    order = rank_order(all_rows, all_scores.astype(np.float32), candidate_before_cut)
    cuts_so_far = np.cumsum(is_cut[order])
    # Subtract the cuts of the queries before.
    starts = np.flatnonzero(rank_in_row(all_rows[order]) == 0)
    start = np.repeat(starts, np.diff(starts, append=len(order)))
    cuts_before: Int64 = cuts_so_far[start] - is_cut[order][start]
    positions = order[(cuts_so_far == cuts_before) & ~is_cut[order]]
    query_count = int(places.max(initial=-1)) + 1
    return positions, np.bincount(places[cuts], minlength=query_count) > 0
