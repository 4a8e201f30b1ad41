"""Exact search in the lists of a group: the kernel of the join, and the oracle of its recall."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.queries import Candidates, Queries
from pipeline.retrieval.ranking import (
    Int64,
    concat_ranges,
    group_by_list,
    kth_score_bound,
    rank_in_row,
    rank_order,
)
from pipeline.retrieval.rules import NO_RULES, BlockedPairs, Rules, Traits
from pipeline.retrieval.vectors import (
    Float32,
    Float64,
    cosines,
    float16_rows,
    squared_norms,
    unit_vectors,
)

# Scores that are computed at a time, in memory that is used again and again: 8 MB.
_PRODUCT = 1 << 21
# Vectors of queries that are searched for at a time, in float32: 32 MB.
_QUERY_VALUES = 1 << 23

# Candidates that queries may be given together.
_CANDIDATES = 1 << 21

# Where so many times more candidates than are wanted score nearly the same, they are cut at once.
_CROWDED = 8

# float32[n, dim], and the squares of their lengths.
Scored = tuple[Float32, Float64]


def query_block_size(dim: int, k: int) -> int:
    """How many queries of this dimension are searched for at a time, each for k candidates."""
    return min(max(256, _QUERY_VALUES // max(dim, 1)), max(64, _CANDIDATES // k))


class ExactIndex:
    """The items of some lists, held for the queries that stream past.

    Items of one list with one vector form a class that is scored once. Of each class the k + 1
    lowest ids stand for all: no others can be among the k best of any query.

    Attributes:
        ids: the items' ids in ascending order by code point, string[n].
        distances: how many pairs of a query and a class have been scored.
    """

    def __init__(
        self,
        lists: Int64,
        ids: pa.Array,
        vectors: pa.Array,
        k: int,
        rules: Rules = NO_RULES,
        traits: Traits | None = None,
    ) -> None:
        """Take a group's items.

        Args:
            lists: int64[n], the list of each item.
            ids: string[n], distinct.
            vectors: binary[n], float16.
            k: how many candidates a query will be given.
            rules: what holds for pairs.
            traits: what the rules read of the items; None if they read nothing.
        """
        self._rules = rules
        # A query may find itself: one more is kept until it is taken out.
        self._wanted = k + 1
        by_id = np.asarray(pc.sort_indices(ids))
        self.ids = ids.take(pa.array(by_id))
        kinds = None if traits is None else traits.kind
        self._members, self._starts = equal_classes(lists, vectors, by_id, self._wanted, kinds)
        self._sizes = np.diff(self._starts, append=len(self._members))
        self._first = self._members[self._starts]
        stand_ins = by_id[self._first]
        self._traits = traits and traits.take(stand_ins)
        self._class_of = np.full(len(by_id), -1, dtype=np.int64)
        self._class_of[self._first] = np.arange(len(self._first))
        self._vectors = float16_rows(vectors)[stand_ins].astype(np.float32)
        self._squares = squared_norms(self._vectors)
        self._unit = unit_vectors(self._vectors)
        numbers, starts = np.unique(lists[stand_ins], return_index=True)
        ends = np.append(starts[1:], len(stand_ins))
        self._lists = {
            number: slice(start, end)
            for number, start, end in zip(
                numbers.tolist(), starts.tolist(), ends.tolist(), strict=True
            )
        }
        longest = max((place.stop - place.start for place in self._lists.values()), default=0)
        self._product = np.empty(max(_PRODUCT, longest), dtype=np.float32)
        self._reached = np.empty(self._product.size, dtype=bool)
        self._margin = np.float32((self._vectors.shape[1] + 8) * 2.0**-22)
        self._least = np.float32(max(-2.0, rules.min_score - float(self._margin)))
        # Above the first a candidate may be one too many, above the second it is.
        self._doubtful = np.float32(rules.max_score - self._margin if rules.max_score < 1 else 2)
        self._most = np.float32(rules.max_score + self._margin)
        self.distances = 0

    def search(self, queries: Queries, floor: Float32 | None = None) -> Candidates:
        """The k items nearest to each query by cosine, ties by id; a query never finds itself.

        Args:
            queries: what is looked for, and where.
            floor: float32[n], a cosine that k other items are known to reach; what is below it
                may be left out.
        """
        total = len(queries.ids)
        if floor is None:
            floor = np.full(total, -np.inf, dtype=np.float32)
        size = query_block_size(queries.vectors.shape[1], self._wanted)
        size = -(-total // max(-(-total // size), 1))  # blocks of about one size
        blocks = [
            self._search_block(queries.block(i, min(i + size, total)), floor[i : i + size])
            for i in range(0, total, max(size, 1))
        ]
        return Candidates(
            counts=np.concatenate([np.empty(0, np.int64), *(b.counts for b in blocks)]),
            items=np.concatenate([np.empty(0, np.int64), *(b.items for b in blocks)]),
            scores=np.concatenate([np.empty(0, np.float32), *(b.scores for b in blocks)]),
        )

    def _search_block(self, queries: Queries, floor: Float32) -> Candidates:
        distinct, of_query = queries.distinct()
        floor = np.minimum.reduceat(floor, np.flatnonzero(np.diff(of_query, prepend=-1)))
        mine = (distinct.vectors, squared_norms(distinct.vectors))
        rows, found = self._near(distinct, mine, floor - self._margin, self._bars(distinct))
        best, scores = self._best_of(mine, rows, found)
        rows, items, scores = self._with_members(rows[best], found[best], scores)
        if len(distinct.ids) < len(queries.ids):
            rows, taken = _repeated(rows, of_query)
            items, scores = items[taken], scores[taken]
        own = np.asarray(pc.fill_null(pc.index_in(queries.ids, self.ids), -1))
        kept = items != own[rows]
        rows, items, scores = rows[kept], items[kept], scores[kept]
        kept = rank_in_row(rows) < self._wanted - 1
        counts = np.bincount(rows[kept], minlength=len(queries.ids))
        return Candidates(counts, items[kept], scores[kept])

    def _best_of(self, queries: Scored, rows: Int64, found: Int64) -> tuple[Int64, Float32]:
        """Which pairs of a query and a class are its best, in order, and their cosines."""
        scores = cosines(queries, (self._vectors, self._squares), rows, found)
        order = rank_order(rows, scores, lambda some: self._first[found[some]])
        order = order[self._rules.scores(scores[order])]
        order = order[rank_in_row(rows[order]) < self._wanted]
        return order, scores[order]

    def _bars(self, queries: Queries) -> BlockedPairs | None:
        if self._traits is None or queries.traits is None:
            return None
        mine, items = queries.traits.denied_pairs(self.ids)
        # What somebody denies is in a class of its own.
        denied = (mine, self._class_of[items])
        return BlockedPairs(self._rules, queries.traits, self._traits, denied)

    def _near(
        self, queries: Queries, mine: Scored, least: Float32, bars: BlockedPairs | None
    ) -> tuple[Int64, Int64]:
        """Rows and classes of every score that could be among the best of its row.

        A float32 dot product of unit vectors is off by at most about dim * 2**-24, and so is the
        k-th best: what is further below it than twice that can't belong to the k best.
        """
        found: list[tuple[Int64, Int64, Float32]] = []
        directions = unit_vectors(queries.vectors)
        nearest = np.diff(queries.rows, prepend=-1) != 0
        # The nearest list of each query says how near a candidate has to be in the others.
        for of_round in (nearest, ~nearest):
            for number, asking in group_by_list(queries.lists[of_round], queries.rows[of_round]):
                place = self._lists.get(number)
                if place is None:
                    continue
                rows_at_once = max(1, self._product.size // (place.stop - place.start))
                for i in range(0, len(asking), rows_at_once):
                    some = asking[i : i + rows_at_once]
                    above = self._above(directions[some], some, place, least, bars)
                    if len(above[0]) > _CROWDED * self._wanted * len(some):
                        best, _ = self._best_of(mine, above[0], above[1])
                        above = (above[0][best], above[1][best], above[2][best])
                    found.append(above)
        if not found:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        rows, items, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = rank_order(rows, scores, items.__getitem__)
        rows, items, scores = rows[order], items[order], scores[order]
        sure = np.flatnonzero(scores <= self._doubtful)
        last = sure[rank_in_row(rows[sure]) == self._wanted - 1]
        least[rows[last]] = scores[last] - self._margin
        kept = scores >= least[rows]
        return rows[kept], items[kept]

    def _above(
        self,
        directions: Float32,
        rows: Int64,
        place: slice,
        least: Float32,
        bars: BlockedPairs | None,
    ) -> tuple[Int64, Int64, Float32]:
        """Rows, classes and scores of one list that reach `least`, which is raised where unset."""
        count = place.stop - place.start
        product = self._product[: len(rows) * count].reshape(len(rows), count)
        np.matmul(directions, self._unit[place].T, out=product)
        self.distances += product.size
        if bars is not None:
            bars.apply(product, rows, place)
        if self._rules.max_score < 1:
            product[product > self._most] = -np.inf
        unknown = least[rows] == -np.inf
        if count > self._wanted and unknown.any():
            some = product if unknown.all() else product[unknown]
            if self._rules.max_score < 1:
                some = np.where(some > self._doubtful, np.float32(-np.inf), some)
            least[rows[unknown]] = kth_score_bound(some, self._wanted) - self._margin
        reached = self._reached[: product.size].reshape(product.shape)
        np.greater_equal(product, np.maximum(least[rows], self._least)[:, None], out=reached)
        flat = np.flatnonzero(reached)
        near, column = np.divmod(flat, count)
        return rows[near], column + place.start, product.ravel()[flat]

    def _with_members(
        self, rows: Int64, found: Int64, scores: Float32
    ) -> tuple[Int64, Int64, Float32]:
        """The items of the classes found, best first, ties by id."""
        sizes = self._sizes[found]
        if not len(found) or sizes.max() == 1:
            return rows, self._first[found], scores
        items = self._members[concat_ranges(self._starts[found], sizes)]
        rows, scores = np.repeat(rows, sizes), np.repeat(scores, sizes)
        order = rank_order(rows, scores, items.__getitem__)
        order = order[rank_in_row(rows[order]) < self._wanted]
        return rows[order], items[order], scores[order]


def equal_classes(
    lists: Int64, vectors: pa.Array, by_id: Int64, most: int, kinds: Int64 | None = None
) -> tuple[Int64, Int64]:
    """Items of one list with one vector, list by list.

    Args:
        lists: int64[n], the list of each item.
        vectors: binary[n].
        by_id: int64[n], the items in the order of their ids.
        most: how many of a class are kept, the lowest ids.
        kinds: int64[n], has to be one in a class too.

    Returns:
        positions in `by_id`, class by class, ascending in each; and where each class starts.
    """
    codes = np.asarray(vectors.dictionary_encode().indices)[by_id]
    keys = [codes, lists[by_id]] if kinds is None else [kinds[by_id], codes, lists[by_id]]
    members = np.lexsort(keys)
    new = np.zeros(len(members), dtype=bool)
    new[:1] = True
    for key in keys:
        new[1:] |= np.diff(key[members]) != 0
    kept = rank_in_row(np.cumsum(new)) < most
    return members[kept], np.flatnonzero(new[kept])


def _repeated(rows: Int64, of_query: Int64) -> tuple[Int64, Int64]:
    """For each query the candidates of the distinct query that it is: its number, and theirs."""
    counts = np.bincount(rows, minlength=of_query[-1] + 1)
    starts = np.cumsum(counts) - counts
    sizes = counts[of_query]
    return np.repeat(np.arange(len(of_query)), sizes), concat_ranges(starts[of_query], sizes)
