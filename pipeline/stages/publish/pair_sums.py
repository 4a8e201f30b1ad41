"""Sums over the pairs of the similar-item table, computed while it is written."""

from collections.abc import Iterator, Mapping
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.neighbor_rows import flatten_lists
from pipeline.retrieval.pins import PINNED
from pipeline.retrieval.ranking import rank_in_row
from pipeline.store.schemas import SIMILAR_ITEMS

# The histogram of the scores has this many steps from 0 to 1.
STEPS = 100
# The names of the sums; those of the histogram end with the number of a step.
PAIRS, DIGEST, OWN, ODD = "pairs", "digest", "own", "odd"
ALL, FIRST, RANK = "all ", "first ", "rank "
# The column of what a row comes from that filled a list, in tables that have it; see [fallback].
REASON = "reason"
# Lists that become pairs at a time.
_BLOCK_ROWS = 20_000
# A pair's hash has so many bits less than 64, so that the sums of a task fit into 64.
_SHIFT = np.uint64(34)
_FACTORS = tuple(
    np.uint64(factor) for factor in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
)


def pairs_of_lists(
    lists: pa.RecordBatch, schema: pa.Schema = SIMILAR_ITEMS
) -> Iterator[pa.RecordBatch]:
    """The rows of the similar-item table.

    Args:
        lists: item_id, and neighbors, best first.
        schema: of the table: SIMILAR_ITEMS, or with more columns.
    """
    for start in range(0, lists.num_rows, _BLOCK_ROWS):
        block = lists.slice(start, _BLOCK_ROWS)
        row_of, neighbors = flatten_lists(block["neighbors"])
        columns = [
            block["item_id"].take(pa.array(row_of)),
            pa.array(rank_in_row(row_of) + 1, pa.int32()),
            *(neighbors.field(name) for name in schema.names[2:]),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def digest_sums(pairs: pa.RecordBatch | pa.Table) -> dict[str, int]:
    """The number of pairs, and a digest of them that does not depend on their order.

    Args:
        pairs: rows of the similar-item table.
    """
    hashes = _hashes(pairs["item_id"]) << np.uint64(32) | _hashes(pairs["similar_id"])
    # A score that is null counts as NaN.
    ranks, scores = (np.asarray(pairs[name]) for name in ("rank", "score"))
    hashes ^= ranks.astype(np.uint64) * _FACTORS[0]
    hashes ^= scores.view(np.uint32).astype(np.uint64) * _FACTORS[1]
    if REASON in pairs.schema.names:
        hashes ^= _hashes(pc.fill_null(pairs[REASON], "")) * _FACTORS[2]
    hashes *= _FACTORS[2]
    hashes ^= hashes >> np.uint64(29)
    hashes *= _FACTORS[0]
    return {PAIRS: pairs.num_rows, DIGEST: int((hashes >> _SHIFT).sum())}


def _hashes(ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """A hash of each id, 32 bits of uint64[n]; an id that occurs more than once is hashed once."""
    whole = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    encoded = whole.dictionary_encode()
    values = encoded.dictionary.cast(pa.binary()).to_pylist()
    distinct = np.fromiter(map(crc32, values), np.uint64, len(values))
    hashes: npt.NDArray[np.uint64] = distinct[np.asarray(encoded.indices)]
    return hashes


def sums(pairs: pa.Table) -> dict[str, int]:
    """The sums over rows of the similar-item table.

    Args:
        pairs: the rows.

    Returns:
        PAIRS and DIGEST; OWN, pairs of an item with itself; ODD, scores that are no cosines, or
        that rows have which have filled a list. And of the other rows: for each step of the score
        the pairs of ALL ranks and of the FIRST; and the pairs of each RANK.
    """
    found, filled = found_and_filled(pairs)
    scores = np.asarray(found["score"]).astype(np.float64)
    is_odd = ~(np.abs(scores) <= 1)
    is_own = pc.equal(pairs["item_id"], pairs["similar_id"])
    # The score 1 belongs to the last step.
    steps = np.floor(np.where(is_odd, 0, scores) * STEPS + 1e-6).astype(np.int64)
    steps = np.minimum(steps, STEPS - 1)
    ranks = np.asarray(found["rank"])
    odd = int(is_odd.sum()) + filled.num_rows - filled["score"].null_count
    counted = {OWN: pc.sum(is_own).as_py() or 0, ODD: odd}
    for name, values in ((ALL, steps), (FIRST, steps[ranks == 1]), (RANK, ranks)):
        numbers, counts = np.unique(values, return_counts=True)
        counted |= {
            f"{name}{number}": count
            for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
        }
    return digest_sums(pairs) | counted


def found_and_filled(pairs: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The neighbours among rows of the similar-item table, and the rows that have filled lists."""
    if REASON not in pairs.schema.names:
        return pairs, pairs.slice(0, 0)
    is_found = pc.equal(pc.fill_null(pairs[REASON], PINNED), PINNED)
    return pairs.filter(is_found), pairs.filter(pc.invert(is_found))


def rows_by_rank(sums: Mapping[str, int]) -> list[int]:
    """How many pairs have each rank, from 1 on.

    Args:
        sums: of `sums` over all rows.
    """
    ranks = [int(name.removeprefix(RANK)) for name in sums if name.startswith(RANK)]
    return [sums[f"{RANK}{rank}"] for rank in sorted(ranks)]
