"""What is asked of a group of lists, and what it answers."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.retrieval.ranking import Int64, concat_ranges
from pipeline.retrieval.rules import Traits
from pipeline.retrieval.vectors import Float32


@dataclass(frozen=True)
class Candidates:
    """The best items of some queries, in the order of the queries, each query's best first.

    Attributes:
        counts: int64[n queries], candidates of each query.
        items: int64[sum of counts], positions in the group's `ids`.
        scores: float32[sum of counts], cosines.
    """

    counts: Int64
    items: Int64
    scores: Float32


@dataclass(frozen=True)
class Queries:
    """Queries and the lists that each probes.

    Attributes:
        ids: string[n].
        vectors: float32[n, dim], values that float16 holds.
        rows: int64[pairs], the query of each pair of a query and a list, ascending.
        lists: int64[pairs], the list, nearest first.
        traits: what the rules on pairs read; None where there are no such rules.
    """

    ids: pa.Array
    vectors: Float32
    rows: Int64
    lists: Int64
    traits: Traits | None = None

    def block(self, start: int, end: int) -> "Queries":
        """The queries from start up to end."""
        first, last = np.searchsorted(self.rows, [start, end])
        return Queries(
            self.ids[start:end],
            self.vectors[start:end],
            self.rows[first:last] - start,
            self.lists[first:last],
            self.traits and self.traits.take(np.arange(start, min(end, len(self.ids)))),
        )

    def distinct(self) -> "tuple[Queries, Int64]":
        """Runs of queries with one vector and the same lists as one, and which each query is."""
        new = np.ones(len(self.vectors), dtype=bool)
        sizes = np.bincount(self.rows, minlength=len(new))
        starts = np.cumsum(sizes) - sizes
        new[1:] = (self.vectors[1:] != self.vectors[:-1]).any(axis=1) | (sizes[1:] != sizes[:-1])
        alike = np.flatnonzero(~new)
        mine, before = (concat_ranges(starts[q], sizes[alike]) for q in (alike, alike - 1))
        differs = self.lists[mine] != self.lists[before]
        new[np.repeat(alike, sizes[alike])[differs]] = True
        if self.traits is not None:
            new |= self.traits.differ()
        of_query = np.cumsum(new) - 1
        if new.all():
            return self, of_query
        kept = new[self.rows]
        rows = of_query[self.rows[kept]]
        ids = self.ids.filter(pa.array(new))
        traits = self.traits and self.traits.take(np.flatnonzero(new))
        return Queries(ids, self.vectors[new], rows, self.lists[kept], traits), of_query
