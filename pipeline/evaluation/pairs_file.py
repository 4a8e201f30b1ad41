"""The file of pairs of items that are known to match, or not to."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import InputError
from pipeline.evaluation.measures import Flags
from pipeline.retrieval.ranking import Int64

_COLUMNS = ("a", "b", "match")


@dataclass(frozen=True)
class Pairs:
    """Pairs of two items.

    Attributes:
        path: of the file.
        left, right: string[n], the ids of each pair.
        match: bool[n].
        itself: pairs of an item with itself, which are left out.
    """

    path: str
    left: pa.Array
    right: pa.Array
    match: Flags
    itself: int

    def ids(self) -> pa.Array:
        """The ids of all items, each once, in ascending order."""
        every = pc.unique(pa.concat_arrays([self.left, self.right]))
        return every.take(pc.sort_indices(every))

    def places(self, ids: pa.Array) -> "Places":
        """Where the items of the pairs are among these; pairs of which one is not are left out.

        Raises:
            InputError: no pair that matches is left.
        """
        left, right = (
            np.asarray(pc.fill_null(pc.index_in(side, ids), -1)).astype(np.int64)
            for side in (self.left, self.right)
        )
        known = (left >= 0) & (right >= 0)
        if not self.match[known].any():
            raise InputError(
                f"--pairs {self.path}: of none of its {int(self.match.sum()):,} pairs that match "
                f"the catalogue has both items; a and b must be ids as item_id has them, "
                f"{ids[0].as_py()} for instance"
            )
        unknown = pc.sum(pc.invert(pc.is_in(self.ids(), ids))).as_py()
        return Places(
            left=left[known],
            right=right[known],
            match=self.match[known],
            itself=self.itself,
            unknown=int(unknown),
            read=len(known) + self.itself,
        )


@dataclass(frozen=True)
class Places:
    """Pairs of the items taken.

    Attributes:
        left, right: int64[n], positions of the items.
        match: bool[n].
        itself: pairs of an item with itself, left out.
        unknown: ids of the file that the catalogue lacks.
        read: pairs of the file.
    """

    left: Int64
    right: Int64
    match: Flags
    itself: int
    unknown: int
    read: int


def read(path: str) -> Pairs:
    """Read a CSV file with the columns a, b and match, 1 or 0; compressed or not.

    Raises:
        InputError: it can't be read, lacks a column, or holds something else, with the line.
    """
    try:
        with pa.input_stream(path, compression="detect") as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
            return _read(path, csv.DictReader(text))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        there = Path(path).is_file()
        why = f"can't be read as CSV in UTF-8 ({error})" if there else "no such file"
        raise InputError(f"--pairs {path}: {why}") from error


def _read(path: str, rows: "csv.DictReader[str]") -> Pairs:
    header = rows.fieldnames or []
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise InputError(
            f"--pairs {path}: column {', '.join(missing)} is missing; the header must have a, b "
            f"and match, it has: {', '.join(header)}"
        )
    told: list[tuple[str, str, bool]] = []
    for row in rows:
        a, b, match = (row[name] for name in _COLUMNS)
        if match not in ("0", "1") or not a or not b:
            raise InputError(
                f"--pairs {path}: line {rows.line_num} has a {a!r}, b {b!r}, match {match!r}; a "
                "and b are items' ids, match is 1 or 0"
            )
        told.append((a, b, match == "1"))
    return of(path, told)


def of(path: str, told: Sequence[tuple[str, str, bool]]) -> Pairs:
    """Pairs as they were told: a, b, whether they match.

    Raises:
        InputError: there is nothing to be found.
    """
    two = [pair for pair in told if pair[0] != pair[1]]
    if not any(match for _, _, match in two):
        raise InputError(f"--pairs {path}: no two items match; there is nothing to be found")
    left, right, matches = zip(*two, strict=True)
    return Pairs(path, pa.array(left), pa.array(right), np.array(matches), len(told) - len(two))
