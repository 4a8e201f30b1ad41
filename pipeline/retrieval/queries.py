"""What a group of lists is searched for (queries), and what the search returns (candidates)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.retrieval.ranking import Int64, concat_ranges
from pipeline.retrieval.rules import Traits
from pipeline.retrieval.vectors import Float32


class NearPairs(NamedTuple):
    """Pairs of a query and a class of equal items that could be among the best of the query.

    Attributes:
        rows: int64[n], the queries.
        classes: int64[n].
        scores: float32[n], by a matrix product.
        is_certain: bool[n], whether the pair's cosine is within the rules' bounds for certain.
    """

    rows: Int64
    classes: Int64
    scores: Float32
    is_certain: npt.NDArray[np.bool_]

    def take(self, positions: Int64) -> "NearPairs":
        """Some of the pairs."""
        return NearPairs(
            self.rows[positions],
            self.classes[positions],
            self.scores[positions],
            self.is_certain[positions],
        )


@dataclass(frozen=True)
class Candidates:
    """The best items for some queries, in the order of the queries, each query's best first.

    Attributes:
        counts: int64[queries], how many candidates each query has.
        items: int64[sum of counts], positions in the `ids` of the index that was searched.
        scores: float32[sum of counts], what they are ranked by: cosines, with the boosts if there
            are any.
        cosines: float32[sum of counts].
    """

    counts: Int64
    items: Int64
    scores: Float32
    cosines: Float32

    def filter(self, mask: npt.NDArray[np.bool_]) -> "Candidates":
        """Some of the candidates.

        Args:
            mask: bool[sum of counts].
        """
        rows = np.repeat(np.arange(len(self.counts)), self.counts)
        counts = np.bincount(rows[mask], minlength=len(self.counts))
        return Candidates(counts, self.items[mask], self.scores[mask], self.cosines[mask])


@dataclass(frozen=True)
class Queries:
    """Queries and the lists that each of them probes.

    Attributes:
        ids: string[n].
        vectors: float32[n, dim], values that float16 holds.
        probe_rows: int64[probes], the query of each probe, ascending.
        probe_lists: int64[probes], the list that is probed; each query's nearest list first.
        traits: what the rules on pairs read of the queries; None if there are no such rules.
    """

    ids: pa.Array
    vectors: Float32
    probe_rows: Int64
    probe_lists: Int64
    traits: Traits | None = None

    def block(self, start: int, end: int) -> "Queries":
        """The queries from position `start` up to `end`."""
        first, last = np.searchsorted(self.probe_rows, [start, end])
        return Queries(
            self.ids[start:end],
            self.vectors[start:end],
            self.probe_rows[first:last] - start,
            self.probe_lists[first:last],
            self.traits and self.traits.take(np.arange(start, min(end, len(self.ids)))),
        )

    def distinct(self) -> "tuple[Queries, Int64]":
        """Merge runs of queries that have the same vector, lists and traits.

        Returns:
            the distinct queries; and int64[n], which of them each query is.
        """
        is_new = np.ones(len(self.vectors), dtype=bool)
        sizes = np.bincount(self.probe_rows, minlength=len(is_new))
        starts = np.cumsum(sizes) - sizes
        is_new[1:] = (self.vectors[1:] != self.vectors[:-1]).any(axis=1)
        is_new[1:] |= sizes[1:] != sizes[:-1]
        repeats = np.flatnonzero(~is_new)
        own, previous = (
            concat_ranges(starts[row], sizes[repeats]) for row in (repeats, repeats - 1)
        )
        differs = self.probe_lists[own] != self.probe_lists[previous]
        is_new[np.repeat(repeats, sizes[repeats])[differs]] = True
        if self.traits is not None:
            is_new |= self.traits.differs_from_previous()
        distinct_of = np.cumsum(is_new) - 1
        if is_new.all():
            return self, distinct_of
        is_kept = is_new[self.probe_rows]
        rows = distinct_of[self.probe_rows[is_kept]]
        ids = self.ids.filter(pa.array(is_new))
        traits = self.traits and self.traits.take(np.flatnonzero(is_new))
        vectors, lists = self.vectors[is_new], self.probe_lists[is_kept]
        return Queries(ids, vectors, rows, lists, traits), distinct_of


def repeat_for_equal_queries(rows: Int64, distinct_of: Int64) -> tuple[Int64, Int64]:
    """Give each query the candidates of the distinct query that it is equal to.

    Args:
        rows: int64[m], the distinct query of each candidate, ascending.
        distinct_of: int64[n], the distinct query of each query.

    Returns:
        int64 and int64: the query of each candidate, and the candidate's position in `rows`.
    """
    counts = np.bincount(rows, minlength=distinct_of[-1] + 1)
    starts = np.cumsum(counts) - counts
    sizes = counts[distinct_of]
    return np.repeat(np.arange(len(distinct_of)), sizes), concat_ranges(starts[distinct_of], sizes)
