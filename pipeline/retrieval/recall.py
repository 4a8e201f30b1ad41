"""Recall: the share of the true neighbours that a table holds, with its interval."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import caps, packed_batches
from pipeline.retrieval.queries import Queries
from pipeline.retrieval.ranking import Int64, rank_in_row, rank_order
from pipeline.retrieval.rules import Rules, Traits, with_traits
from pipeline.retrieval.search import ExactIndex
from pipeline.retrieval.vectors import Float32

# Ids and scores of an item's neighbours, best first.
Neighbors = Sequence[tuple[str, float]]
# Score and id of a candidate.
Cut = tuple[float, str]

# Items that the queries are compared with at a time.
_BLOCK_ROWS = 4_096
# Standard errors, for a one-sided 95%.
CONFIDENCE = 1.645

# Candidates of a query that are kept for each neighbour, where caps leave some out.
_DEPTH = 16

# A true neighbour of a query (its number), and the list that it is in; where there are caps, the
# values that they count, and the last candidate up to which none is missing.
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
    """Queries whose true neighbours are wanted.

    Attributes:
        ids: string[n].
        vectors: float32[n, dim].
        same: string[n], what `same` of a neighbour has to be.
        traits: what the rules on pairs read.
    """

    ids: pa.Array
    vectors: Float32
    same: pa.Array
    traits: Traits


@dataclass(frozen=True)
class Recall:
    """Recall of a table, measured on some of its items.

    Attributes:
        value: mean over the items measured.
        low, high: 95% interval (Wilson's score interval, each item one trial).
        queries: items measured.
        k: neighbours an item.
    """

    value: float
    low: float
    high: float
    queries: int
    k: int


def exact_search(
    batches: Iterator[pa.RecordBatch], asked: TruthQueries, k: int, rules: Rules
) -> Iterator[pa.RecordBatch]:
    """The nearest items of a few queries in a stream of items, by comparing them with each.

    Args:
        batches: columns item_id string, list int, vector binary (float16), and of TRAITS.
        asked: the queries.
        k: neighbours a query, at most.
        rules: what holds for pairs.

    Yields:
        one batch of TRUTH, ordered by query and rank: where there are caps, more than k, from
        which `best_truth` takes those that they let in.
    """
    depth = k * _DEPTH if rules.caps else k
    values = asked.same.dictionary_encode(null_encoding="encode")
    wanted = np.asarray(values.indices).astype(np.int64)
    traits = asked.traits if rules.of_traits else None
    queries = Queries(asked.ids, asked.vectors, np.arange(len(asked.ids)), wanted, traits)
    floor = np.full(len(asked.ids), -np.inf, dtype=np.float32)
    cuts: dict[int, Cut] = {}
    nearest = pa.RecordBatch.from_pylist([], schema=TRUTH)
    for rows in _blocks(batches):
        block = with_traits(rows)
        same = pc.fill_null(pc.index_in(block["same"], values.dictionary), -1)
        of = np.asarray(same).astype(np.int64)
        kinds = Traits.of(block) if rules.of_kinds else None
        group = ExactIndex(of, block["item_id"], block["vector"], depth, rules, kinds)
        found = group.search(queries, floor)
        items = pc.index_in(group.ids, block["item_id"]).take(pa.array(found.items))
        numbers = np.repeat(np.arange(len(found.counts)), found.counts)
        if rules.caps:
            full = np.flatnonzero(found.counts == depth)
            last = np.cumsum(found.counts)[full] - 1
            _cut(cuts, full, found.scores[last], block["item_id"].take(items.take(pa.array(last))))
        none = pa.nulls(len(items), pa.string())
        columns = [
            pa.array(numbers.astype(np.int32)),
            block["item_id"].take(items),
            pa.array(found.scores),
            block["list"].take(items),
            block["capped"].take(items),
            none.cast(pa.float32()),
            none,
        ]
        added = pa.RecordBatch.from_arrays(columns, schema=TRUTH)
        nearest = _nearest(pa.concat_batches([nearest, added]), depth, rules)
        numbers, scores = nearest["query"].to_numpy(), nearest["score"].to_numpy()
        last = rank_in_row(numbers) == depth - 1
        floor[numbers[last]] = scores[last]
        if rules.caps:
            ids = nearest["similar_id"].filter(pa.array(last))
            _cut(cuts, numbers[last], scores[last], ids)
    mine = [cuts.get(query, (None, None)) for query in nearest["query"].to_pylist()]
    for place, name in enumerate(("cut_score", "cut_id")):
        column = pa.array([cut[place] for cut in mine], TRUTH.field(name).type)
        nearest = nearest.set_column(TRUTH.get_field_index(name), TRUTH.field(name), column)
    yield nearest


def _cut(
    cuts: dict[int, Cut], queries: npt.NDArray[np.integer], scores: Float32, ids: pa.Array
) -> None:
    """Note where what is known of queries ends, if that is before what was noted."""
    for query, score, item in zip(queries.tolist(), scores.tolist(), ids.to_pylist(), strict=True):
        known = cuts.get(query)
        if known is None or (-score, item) < (-known[0], known[1]):
            cuts[query] = (score, item)


def _nearest(found: pa.RecordBatch, most: int, rules: Rules) -> pa.RecordBatch:
    """So many of the best rows of TRUTH of each query, in order; none that can't be taken."""
    found = found.take(pa.array(_in_order(found)))
    rows = found["query"].to_numpy().astype(np.int64)
    if rules.caps:
        needed = caps.selectable_mask(rows, _values(found, rules), rules.caps)
        found, rows = found.filter(pa.array(needed)), rows[needed]
    return found.filter(pa.array(rank_in_row(rows) < most))


def merge_truth(found: pa.RecordBatch, k: int, rules: Rules) -> pa.RecordBatch:
    """The k true neighbours of each query, in order, of what several searches found.

    Where caps leave out more than was looked at, those up to there: they are the first of the
    true ones.
    """
    found = found.take(pa.array(_in_order(found)))
    rows = found["query"].to_numpy().astype(np.int64)
    if not rules.caps:
        return found.filter(pa.array(rank_in_row(rows) < k))
    cuts: dict[int, Cut] = {}
    cut = found.filter(found["cut_id"].is_valid())
    _cut(cuts, cut["query"].to_numpy(), cut["cut_score"].to_numpy(), cut["cut_id"])
    mine = zip(rows.tolist(), found["score"].to_pylist(), found["similar_id"].to_pylist(),
               strict=True)  # fmt: skip
    known = np.array([_before(score, item, cuts.get(query)) for query, score, item in mine], bool)
    found, rows = found.filter(pa.array(known)), rows[known]
    taken = caps.top_k_mask(rows, _values(found, rules), rules.caps, k)
    return found.filter(pa.array(taken))


def _before(score: float, item: str, cut: Cut | None) -> bool:
    return cut is None or (-score, item) <= (-cut[0], cut[1])


def _values(found: pa.RecordBatch, rules: Rules) -> Int64:
    return np.asarray(found["values"].flatten()).reshape(-1, len(rules.caps))


def _in_order(found: pa.RecordBatch) -> Int64:
    """The order of rows of TRUTH by query and rank."""
    rows, ids = found["query"].to_numpy().astype(np.int64), found["similar_id"]

    def by_id(some: Int64) -> Int64:
        return np.asarray(pc.rank(ids.take(pa.array(some)), tiebreaker="dense"))

    return rank_order(rows, found["score"].to_numpy(), by_id)


def _blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for whole in packed_batches.coalesce(batches):
        for start in range(0, whole.num_rows, _BLOCK_ROWS):
            yield whole.slice(start, _BLOCK_ROWS)


def measure_recall(found: Sequence[Neighbors], exact: Sequence[Neighbors], k: int) -> Recall:
    """Recall; an item that ties with the last true neighbour counts as one.

    Args:
        found: id and score of each measured item's neighbours in the table, best first.
        exact: the same by exact search.
        k: neighbours an item.
    """
    shares = [
        _hits(mine, true) / len(true) for mine, true in zip(found, exact, strict=True) if true
    ]
    if not shares:
        return Recall(1.0, 0.0, 1.0, 0, k)
    value = float(np.mean(shares))
    low, high = wilson_interval(value, len(shares))
    return Recall(value, low, high, len(shares), k)


def _hits(mine: Neighbors, true: Neighbors) -> int:
    ids, last = {item for item, _ in true}, true[-1][1]
    hits = sum(item in ids or score == last for item, score in mine)
    return min(hits, len(true))


def wilson_interval(share: float, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22:209)."""
    square = z * z / trials
    centre = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def nprobe_for_recall(
    depths: list[Int64], nlist: int, target: float, errors: float = CONFIDENCE
) -> int:
    """How many lists a query has to probe for a recall, by a sample of the queries.

    The recall that is aimed at is higher than the target by so many standard errors of the sample's
    mean: as it is, that of all queries is not below the target with a confidence of 95%.

    Args:
        depths: for each query of the sample, which of its nearest lists (0 is the nearest) each
            of its true neighbours is in.
        nlist: number of lists.
        target: share of the true neighbours wanted.
        errors: standard errors; none for the recall of the sample itself.
    """
    some = [depth for depth in depths if len(depth)]
    if not some:
        return 1
    sizes = np.array([len(depth) for depth in some])
    owner, flat = np.repeat(np.arange(len(some)), sizes), np.concatenate(some)
    margin = errors / math.sqrt(len(some))
    for nprobe in range(1, nlist):
        shares = np.bincount(owner[flat < nprobe], minlength=len(some)) / sizes
        if shares.mean() - margin * shares.std() >= target:
            return nprobe
    return nlist
