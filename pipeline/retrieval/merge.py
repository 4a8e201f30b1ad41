"""The merge: the best of what several groups found for a query."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import caps, packed_batches
from pipeline.retrieval.join import FOUND
from pipeline.retrieval.ranking import Int64, rank_in_row, rank_order
from pipeline.retrieval.rules import Rules
from pipeline.storage.clustered_tables import NEIGHBOR, NEIGHBORS

_ROWS_A_BATCH = 10_000


@dataclass(frozen=True)
class MergeSettings:
    """What is made of the candidates.

    Attributes:
        k: how many are kept.
        probes: how many lists were searched.
        rules: of which the caps act here.
    """

    k: int
    probes: int
    rules: Rules


def merge(batches: Iterator[pa.RecordBatch], wanted: MergeSettings) -> Iterator[pa.RecordBatch]:
    """The k best candidates of each query, ties by id.

    All rows of a part are held; it holds some of the queries, with all that was found for them.

    Args:
        batches: of join's parcels, in any order.
        wanted: what is made of them.

    Yields:
        batches of NEIGHBORS, one row a query, in the order of the items' lists.
    """
    some = [packed_batches.unpack(cell, FOUND) for _, cell in packed_batches.iter_cells(batches)]
    if not some:
        return
    found = pa.concat_batches(some)
    some.clear()
    whole = top_k(found, wanted)
    for start in range(0, whole.num_rows, _ROWS_A_BATCH):
        yield whole.slice(start, _ROWS_A_BATCH)


def top_k(found: pa.RecordBatch, wanted: MergeSettings) -> pa.RecordBatch:
    """Rows of FOUND, in any order, as rows of NEIGHBORS."""
    queries = found["item_id"].dictionary_encode()
    mine = np.asarray(queries.indices).astype(np.int64)
    lists = np.empty(len(queries.dictionary), dtype=np.int32)
    lists[mine] = found["list"].to_numpy()
    in_order = np.argsort(lists, kind="stable")
    place = np.argsort(in_order)
    sizes = np.diff(found["similar_ids"].offsets.to_numpy())
    rows = np.repeat(place[mine], sizes)
    scores, similar = found["scores"].flatten().to_numpy(), found["similar_ids"].flatten()

    def by_id(some: Int64) -> Int64:
        return np.asarray(pc.rank(similar.take(pa.array(some)), tiebreaker="dense"))

    probes = np.full(len(lists), wanted.probes, dtype=np.int32)
    open_ = np.zeros(len(lists), dtype=bool)
    if wanted.rules.caps:
        order, open_ = _capped(found, place[mine], wanted)
    else:
        order = rank_order(rows, scores, by_id)
    order = order[rank_in_row(rows[order]) < wanted.k]
    counts = np.bincount(rows[order], minlength=len(lists))
    structs = pa.StructArray.from_arrays(
        [similar.take(pa.array(order)), pa.array(scores[order])], fields=list(NEIGHBOR)
    )
    ends = np.cumsum(counts)
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    last = pa.array(ends - 1, mask=counts < wanted.k)
    columns = [
        queries.dictionary.take(pa.array(in_order)),
        pa.array(lists[in_order]),
        pa.ListArray.from_arrays(offsets, structs),
        structs.take(last),
        pa.array(probes, mask=open_),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=NEIGHBORS)


def _capped(
    found: pa.RecordBatch, places: Int64, wanted: MergeSettings
) -> tuple[Int64, npt.NDArray[np.bool_]]:
    """The candidates that the caps let in, of those that are known to be all there are so far.

    Args:
        found: rows of FOUND.
        places: int64[n], the query of each row.
        wanted: what is made of them.

    Returns:
        those candidates, in order; and for each query whether more have to be looked at.
    """
    sizes = np.diff(found["similar_ids"].offsets.to_numpy())
    rows = np.repeat(places, sizes)
    similar, scores = found["similar_ids"].flatten(), found["scores"].flatten().to_numpy()
    # The first of its cuts bounds what is known of a query: it is a candidate that was found,
    # unless it was not needed.
    cut = np.flatnonzero(np.asarray(found["cut_id"].is_valid()))
    cut_ids = found["cut_id"].take(pa.array(cut))
    all_scores = np.concatenate([scores, found["cut_score"].take(pa.array(cut)).to_numpy()])
    all_rows = np.concatenate([rows, places[cut]])
    ids = pa.concat_arrays([similar, cut_ids])
    # At one place a candidate comes before the cut.
    is_cut = np.arange(len(all_rows)) >= len(rows)

    def by_id(some: Int64) -> Int64:
        rank = np.asarray(pc.rank(ids.take(pa.array(some)), tiebreaker="dense")).astype(np.int64)
        return 2 * rank + is_cut[some]

    everything = rank_order(all_rows, all_scores.astype(np.float32), by_id)
    cuts = np.cumsum(is_cut[everything])
    # Cuts of the queries before do not count.
    starts = np.flatnonzero(rank_in_row(all_rows[everything]) == 0)
    first = np.repeat(starts, np.diff(starts, append=len(everything)))
    before: Int64 = cuts[first] - is_cut[everything][first]
    order = everything[(cuts == before) & ~is_cut[everything]]
    values = np.asarray(found["values"].flatten()).reshape(-1, len(wanted.rules.caps))
    taken = caps.top_k_mask(rows[order], values[order], wanted.rules.caps, wanted.k)
    order = order[taken]
    queries = int(places.max(initial=-1)) + 1
    counts = np.bincount(rows[order], minlength=queries)
    bounded = np.bincount(places[cut], minlength=queries) > 0
    return order, bounded & (counts < wanted.k)
