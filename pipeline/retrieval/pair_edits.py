"""Edits of pairs by hand: a neighbour that an item must not have, or whose score is raised.

An edit names its two items by their ids, or by conditions. Those by conditions are numbered: each
is a bit of two numbers of an item, which say of which edits it is the item, and the neighbour.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# The boost of a pair that is denied.
DENIED = -np.inf
# Edits by conditions on both items, at most: the bits of a positive number of 64 bits.
MAX_CONDITIONAL = 62


@dataclass(frozen=True)
class EditedPairs:
    """Edited pairs of some items and candidates.

    Attributes:
        rows: int64[n], positions of the items.
        columns: int64[n], positions of the candidates, ascending.
        boosts: float64[n], what is added to the scores; DENIED for pairs that are denied.
    """

    rows: Int64
    columns: Int64
    boosts: Float64

    @classmethod
    def find(cls, edits: pa.ListArray, ids: pa.Array) -> "EditedPairs":
        """The edited pairs of items and the candidates that are here.

        Args:
            edits: the trait `edits`: list<struct<similar_id, boost>>[items].
            ids: string[candidates].
        """
        sizes = np.asarray(pc.fill_null(pc.list_value_length(edits), 0)).astype(np.int64)
        rows, flat = np.repeat(np.arange(len(sizes)), sizes), edits.flatten()
        similar_ids = flat.field("similar_id").cast(ids.type)
        columns = np.asarray(pc.fill_null(pc.index_in(similar_ids, ids), -1)).astype(np.int64)
        boosts = np.asarray(flat.field("boost")).astype(np.float64)
        here = np.flatnonzero(columns >= 0)
        here = here[np.argsort(columns[here], kind="stable")]
        return cls(rows[here], columns[here], boosts[here])

    def with_columns(self, columns: Int64) -> "EditedPairs":
        """The pairs with other positions of the candidates: int64[n]."""
        order = np.argsort(columns, kind="stable")
        return EditedPairs(self.rows[order], columns[order], self.boosts[order])

    def in_matrix(self, rows: Int64, columns: slice | Int64) -> tuple[Int64, Int64, Float64]:
        """The pairs that are in a matrix of items and candidates.

        Args:
            rows: int64[n], the items of the matrix, each once.
            columns: the candidates of the matrix, each once.

        Returns:
            int64[pairs] and int64[pairs], rows and columns of the matrix; float64[pairs], boosts.
        """
        if not len(self.rows):
            return self.rows, self.columns, self.boosts
        if isinstance(columns, slice):
            part = slice(*np.searchsorted(self.columns, [columns.start, columns.stop]))
            column = self.columns[part] - columns.start
        else:
            part, column = slice(None), _positions(columns, self.columns)
        row = _positions(rows, self.rows[part])
        is_here = (row >= 0) & (column >= 0)
        return row[is_here], column[is_here], self.boosts[part][is_here]

    def boosts_of(self, rows: Int64, columns: Int64) -> Float64:
        """What is added to the scores of pairs, 0 where nothing is: float64[pairs].

        Args:
            rows: int64[pairs].
            columns: int64[pairs].
        """
        if not len(self.rows):
            return np.zeros(len(rows))
        width = np.int64(max(self.rows.max(), rows.max(initial=0)) + 1)
        positions = _positions(self.columns * width + self.rows, columns * width + rows)
        return np.where(positions < 0, 0.0, self.boosts[positions])


def _positions(values: Int64, wanted: Int64) -> Int64:
    """Where wanted values stand among distinct values, -1 if nowhere: int64[wanted]."""
    if not len(values):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(values, kind="stable")
    places = np.minimum(np.searchsorted(values, wanted, sorter=order), len(values) - 1)
    positions = order[places]
    return np.where(values[positions] == wanted, positions, -1)


NO_EDITED_PAIRS = EditedPairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def has_bit(bits: Int64, number: int) -> Bools:
    """Whether numbers have a bit: bool[n]."""
    mask: Bools = (bits >> number) & 1 == 1
    return mask


def add_to_matrix(
    scores: Float32, boost: float, number: int, as_item: Int64, as_neighbor: Int64
) -> None:
    """Add the boost of an edit by conditions to a matrix of scores, in place.

    Args:
        scores: float32[n, m].
        boost: what is added.
        number: the edit's number.
        as_item: int64[n], the edits of which each row is the item.
        as_neighbor: int64[m], the edits of which each column is the neighbour.
    """
    rows = np.flatnonzero(has_bit(as_item, number))
    columns = np.flatnonzero(has_bit(as_neighbor, number))
    if len(rows) and len(columns):
        scores[np.ix_(rows, columns)] += np.float32(boost)
