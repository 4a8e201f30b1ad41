"""Exact search in the lists of a group: the kernel of the join, and the oracle of its recall."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.equal_items import EqualClasses
from pipeline.retrieval.queries import Candidates, NearPairs, Queries, repeat_for_equal_queries
from pipeline.retrieval.ranking import (
    Int64,
    group_by_list,
    kth_score_bound,
    rank_in_row,
    rank_order,
)
from pipeline.retrieval.rules import NO_RULES, Rules, Traits
from pipeline.retrieval.score_mask import EXCLUDED, CosineBounds, ScoreMask
from pipeline.retrieval.vectors import (
    Float32,
    Float64,
    cosines,
    error_bound,
    float16_rows,
    squared_norms,
    unit_vectors,
)

# Scores that are computed at a time, in a buffer that is used again and again: 8 MB.
_PRODUCT = 1 << 21
# Values of the query vectors that are searched for at a time, in float32: 32 MB.
_QUERY_VALUES = 1 << 23
# Candidates that the queries of a block may have together.
_CANDIDATES = 1 << 21
# If this many times more candidates than are needed pass a list's bound, they are cut at once.
_CROWDED = 8

# Below the score of every pair that is not excluded, and above that of every other.
_LOWEST = np.float32(-EXCLUDED / 2)

# float32[n, dim] and their squared norms, float64[n].
VectorsAndNorms = tuple[Float32, Float64]


def query_block_size(dim: int, k: int) -> int:
    """How many queries are searched for at a time.

    Args:
        dim: dimensions of a query.
        k: candidates of a query.
    """
    return min(max(256, _QUERY_VALUES // max(dim, 1)), max(64, _CANDIDATES // k))


class ExactIndex:
    """The items of some lists in memory, searched exactly for blocks of queries.

    Items of one list with equal vectors form a class, which is scored once (equal_items.py). Each
    class keeps the k + 1 lowest ids: no other item of it can be among the k best of any query.

    Scores are computed twice. A matrix product in float32 finds every class that could be among
    the best. For unit vectors its error is at most about dim * 2**-24, and so is that of the k-th
    best score: what is further below that than twice the error can't belong to the k best. The
    margin used is four times the error. The classes that are left are scored again pair by pair
    (`cosines`), and those scores decide.

    Where there are boosts, "score" is the cosine with the boosts, in both: the bound of a list is
    one of boosted scores. The least and the greatest cosine that rules allow are compared with
    cosines, before the boosts are added.

    Attributes:
        ids: string[n], the items' ids in ascending order by code point.
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
        """Build the index.

        Args:
            lists: int64[n], the list of each item.
            ids: string[n], distinct.
            vectors: binary[n], float16.
            k: how many candidates a query gets, at most.
            rules: the rules on pairs.
            traits: what the rules read of the items; None if they read nothing.
        """
        self._rules = rules
        # One more than k, because a query may find itself, which is taken out at the end.
        self._depth = k + 1
        by_id = np.asarray(pc.sort_indices(ids))
        self.ids = ids.take(pa.array(by_id))
        kinds = None if traits is None else traits.kind
        self._classes = EqualClasses(lists, vectors, by_id, self._depth, kinds)
        representatives = by_id[self._classes.first]
        self._traits = traits and traits.take(representatives)
        self._vectors = float16_rows(vectors)[representatives].astype(np.float32)
        self._norms = squared_norms(self._vectors)
        self._unit = unit_vectors(self._vectors, self._norms)
        self._lists = _list_slices(lists[representatives])
        longest = max((part.stop - part.start for part in self._lists.values()), default=0)
        self._product = np.empty(max(_PRODUCT, longest), dtype=np.float32)
        self._scratch = np.empty(self._product.size if rules.needs_traits else 0, np.float32)
        self._mask = np.empty(self._product.size, dtype=bool)
        cosine_margin = float(error_bound(self._vectors.shape[1]))
        self._margin = np.float32(cosine_margin + rules.boosts.margin)
        self._bounds = CosineBounds.of(rules, cosine_margin)
        self.distances = 0

    def search(self, queries: Queries, floor: Float32 | None = None) -> Candidates:
        """The k best items of each query by cosine, ties by id; a query never finds itself.

        Args:
            queries: the queries and the lists they probe.
            floor: float32[n], a score that k other items are known to reach; candidates below it
                may be left out.
        """
        total = len(queries.ids)
        if floor is None:
            floor = np.full(total, -np.inf, dtype=np.float32)
        size = query_block_size(queries.vectors.shape[1], self._depth)
        size = -(-total // max(-(-total // size), 1))  # blocks of about one size
        blocks = [
            self._search_block(queries.block(i, min(i + size, total)), floor[i : i + size])
            for i in range(0, total, max(size, 1))
        ]
        return Candidates(
            counts=np.concatenate([np.empty(0, np.int64), *(b.counts for b in blocks)]),
            items=np.concatenate([np.empty(0, np.int64), *(b.items for b in blocks)]),
            scores=np.concatenate([np.empty(0, np.float32), *(b.scores for b in blocks)]),
            cosines=np.concatenate([np.empty(0, np.float32), *(b.cosines for b in blocks)]),
        )

    def _search_block(self, queries: Queries, floor: Float32) -> Candidates:
        distinct, distinct_of = queries.distinct()
        floor = np.minimum.reduceat(floor, np.flatnonzero(np.diff(distinct_of, prepend=-1)))
        vectors = (distinct.vectors, squared_norms(distinct.vectors))
        mask = self._score_mask(distinct)
        rows, classes = self._near_classes(distinct, vectors, floor - self._margin, mask)
        best, cosine, score = self._best(vectors, rows, classes, mask)
        rows, items, positions = self._classes.expand(rows[best], classes[best], score)
        if len(distinct.ids) < len(queries.ids):
            rows, sources = repeat_for_equal_queries(rows, distinct_of)
            items, positions = items[sources], positions[sources]
        own = np.asarray(pc.fill_null(pc.index_in(queries.ids, self.ids), -1))
        is_other = items != own[rows]
        rows, items, positions = rows[is_other], items[is_other], positions[is_other]
        is_top = rank_in_row(rows) < self._depth - 1
        counts = np.bincount(rows[is_top], minlength=len(queries.ids))
        positions = positions[is_top]
        return Candidates(counts, items[is_top], score[positions], cosine[positions])

    def _best(
        self, queries: VectorsAndNorms, rows: Int64, classes: Int64, mask: ScoreMask | None
    ) -> tuple[Int64, Float32, Float32]:
        """Which pairs of a query and a class are the query's best, in order.

        Returns:
            positions of the pairs, and their cosines and scores.
        """
        cosine = cosines(queries, (self._vectors, self._norms), rows, classes)
        score = cosine
        if mask is not None and self._rules.boosts.exist:
            score = mask.ranked_by(cosine, rows, classes)
        order = rank_order(rows, score, lambda tied: self._classes.first[classes[tied]])
        order = order[self._rules.score_mask(cosine[order])]
        order = order[rank_in_row(rows[order]) < self._depth]
        return order, cosine[order], score[order]

    def _score_mask(self, queries: Queries) -> ScoreMask | None:
        if self._traits is None or queries.traits is None:
            return None
        edited = queries.traits.edited_pairs(self.ids)
        # An item of an edited pair has a kind of its own, so it is alone in its class.
        edited = edited.with_columns(self._classes.of_first[edited.columns])
        return ScoreMask(self._rules, queries.traits, self._traits, edited)

    def _near_classes(
        self,
        queries: Queries,
        vectors: VectorsAndNorms,
        min_scores: Float32,
        mask: ScoreMask | None,
    ) -> tuple[Int64, Int64]:
        """The pairs of a query and a class that could be among the best of the query.

        Args:
            queries: the queries.
            vectors: those of the queries.
            min_scores: float32[n], changed in place: a bound that is raised as scores are known.
            mask: the rules on pairs; None if there are none.
        """
        pairs: list[NearPairs] = []
        directions = unit_vectors(queries.vectors)
        is_nearest = np.diff(queries.probe_rows, prepend=-1) != 0
        # The nearest list of each query comes first: it sets the bound for the other lists.
        for in_round in (is_nearest, ~is_nearest):
            for number, probing in group_by_list(
                queries.probe_lists[in_round], queries.probe_rows[in_round]
            ):
                columns = self._lists.get(number)
                if columns is None:
                    continue
                rows_at_once = max(1, self._product.size // (columns.stop - columns.start))
                for i in range(0, len(probing), rows_at_once):
                    rows = probing[i : i + rows_at_once]
                    near = self._score_list(directions[rows], rows, columns, min_scores, mask)
                    if self._is_crowded(near, rows):
                        near = self._above_kth(near, min_scores)
                    if self._is_crowded(near, rows):
                        best, _, _ = self._best(vectors, near.rows, near.classes, mask)
                        near = near.take(best)
                    pairs.append(near)
        if not pairs:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        near = self._above_kth(
            NearPairs(*map(np.concatenate, zip(*pairs, strict=True))), min_scores
        )
        return near.rows, near.classes

    def _is_crowded(self, near: NearPairs, rows: Int64) -> bool:
        return len(near.rows) > _CROWDED * self._depth * len(rows)

    def _above_kth(self, near: NearPairs, min_scores: Float32) -> NearPairs:
        """The pairs that are not below the k-th best of their query by more than the margin.

        Args:
            near: all pairs of a query with one list, or with all lists.
            min_scores: float32[queries], changed in place: see `_near_classes`.
        """
        near = near.take(rank_order(near.rows, near.scores, near.classes.__getitem__))
        certain = np.flatnonzero(near.is_certain)
        kth = certain[rank_in_row(near.rows[certain]) == self._depth - 1]
        rows, bounds = near.rows[kth], near.scores[kth] - self._margin
        min_scores[rows] = np.maximum(min_scores[rows], bounds)
        return near.take(np.flatnonzero(near.scores >= min_scores[near.rows]))

    def _score_list(
        self,
        directions: Float32,
        rows: Int64,
        columns: slice,
        min_scores: Float32,
        mask: ScoreMask | None,
    ) -> NearPairs:
        """The pairs of queries and classes of one list that reach the bounds.

        Args:
            directions: float32[n, dim], unit vectors of the queries.
            rows: int64[n], the queries.
            columns: the classes of the list.
            min_scores: the bound of every query; it is set here where it is minus infinity.
            mask: the rules on pairs; None if there are none.
        """
        count = columns.stop - columns.start
        product = self._product[: len(rows) * count].reshape(len(rows), count)
        np.matmul(directions, self._unit[columns].T, out=product)
        self.distances += product.size
        if mask is not None:
            scratch = self._scratch[: product.size].reshape(product.shape)
            mask.apply(product, rows, columns, scratch)
        uncertain = self._bounds.apply(product)
        if mask is not None and self._rules.boosts.exist:
            mask.add_boosts(product, rows, columns, scratch)
        is_unset = min_scores[rows] < _LOWEST
        if count > self._depth and is_unset.any():
            certain = product
            if len(uncertain):
                certain = product.copy()
                certain.reshape(-1)[uncertain] = -np.inf
            unset = certain if is_unset.all() else certain[is_unset]
            min_scores[rows[is_unset]] = kth_score_bound(unset, self._depth) - self._margin
        reaches = self._mask[: product.size].reshape(product.shape)
        # What is excluded never reaches a bound, not even where there is none.
        bounds = np.maximum(min_scores[rows], _LOWEST)
        np.greater_equal(product, bounds[:, None], out=reaches)
        flat = np.flatnonzero(reaches)
        row, column = np.divmod(flat, count)
        is_certain = ~np.isin(flat, uncertain)
        return NearPairs(rows[row], column + columns.start, product.ravel()[flat], is_certain)


def _list_slices(lists: Int64) -> dict[int, slice]:
    """The run of each list in an ascending int64[n]."""
    numbers, starts = np.unique(lists, return_index=True)
    ends = np.append(starts[1:], len(lists))
    return {
        number: slice(start, end)
        for number, start, end in zip(numbers.tolist(), starts.tolist(), ends.tolist(), strict=True)
    }
