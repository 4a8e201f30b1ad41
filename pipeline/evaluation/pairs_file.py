"""The file of pairs of items, each with the answer whether they match."""

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
        path: the file's path.
        left, right: string[n], the ids of each pair.
        match: bool[n].
        itself: the number of pairs of an item with itself, which are left out.
    """

    path: str
    left: pa.Array
    right: pa.Array
    match: Flags
    itself: int

    def ids(self) -> pa.Array:
        """The ids of all items, each once, in ascending order."""
        ids = pc.unique(pa.concat_arrays([self.left, self.right]))
        return ids.take(pc.sort_indices(ids))

    def positions(self, ids: pa.Array) -> "PairPositions":
        """The positions of the pairs' items among some ids; pairs with an unknown id are left out.

        Args:
            ids: string[m], the ids of the sample.

        Raises:
            InputError: no matching pair is left.
        """
        left, right = (
            np.asarray(pc.fill_null(pc.index_in(side, ids), -1)).astype(np.int64)
            for side in (self.left, self.right)
        )
        is_known = (left >= 0) & (right >= 0)
        if not self.match[is_known].any():
            raise InputError(
                f"--pairs {self.path}: of none of its {int(self.match.sum()):,} pairs that match "
                f"the catalogue has both items; a and b must be ids as item_id has them, "
                f"{ids[0].as_py()} for instance"
            )
        unknown = pc.sum(pc.invert(pc.is_in(self.ids(), ids))).as_py()
        return PairPositions(
            left=left[is_known],
            right=right[is_known],
            match=self.match[is_known],
            itself=self.itself,
            unknown=int(unknown),
            read=len(is_known) + self.itself,
        )


@dataclass(frozen=True)
class PairPositions:
    """Pairs as positions of items in the sample.

    Attributes:
        left, right: int64[n], positions of the items.
        match: bool[n].
        itself: the number of pairs of an item with itself, which are left out.
        unknown: the number of ids in the file that the catalogue lacks.
        read: the number of pairs in the file.
    """

    left: Int64
    right: Int64
    match: Flags
    itself: int
    unknown: int
    read: int


def read(path: str) -> Pairs:
    """Read a CSV file with the columns a, b and match, 1 or 0; compressed or not.

    A file of answers by hand, which has a column judge too, is read as well.

    Raises:
        InputError: the file can't be read, lacks a column, or has a wrong value; with its line.
    """
    try:
        with pa.input_stream(path, compression="detect") as stream:
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
            return _read(path, csv.DictReader(text))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        exists = Path(path).is_file()
        reason = f"can't be read as CSV in UTF-8 ({error})" if exists else "no such file"
        raise InputError(f"--pairs {path}: {reason}") from error


def _read(path: str, reader: "csv.DictReader[str]") -> Pairs:
    header = reader.fieldnames or []
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise InputError(
            f"--pairs {path}: column {', '.join(missing)} is missing; the header must have a, b "
            f"and match, it has: {', '.join(header)}"
        )
    rows: dict[object, tuple[str, str, bool]] = {}
    for row in reader:
        a, b, match = (row[name] for name in _COLUMNS)
        if match not in ("0", "1") or not a or not b:
            raise InputError(
                f"--pairs {path}: line {reader.line_num} has a {a!r}, b {b!r}, match {match!r}; a "
                "and b are items' ids, match is 1 or 0"
            )
        # In a file of answers a judge's last answer to a pair takes the place of those before.
        key = (min(a, b), max(a, b), row["judge"]) if "judge" in header else reader.line_num
        rows[key] = a, b, match == "1"
    return from_rows(path, list(rows.values()))


def from_rows(path: str, rows: Sequence[tuple[str, str, bool]]) -> Pairs:
    """Pairs from rows.

    Args:
        path: the file's path, for messages.
        rows: two ids, and whether the items match.

    Raises:
        InputError: no two different items match.
    """
    pairs = [row for row in rows if row[0] != row[1]]
    if not any(match for _, _, match in pairs):
        raise InputError(f"--pairs {path}: no two items match; there is nothing to be found")
    left, right, matches = zip(*pairs, strict=True)
    return Pairs(path, pa.array(left), pa.array(right), np.array(matches), len(rows) - len(pairs))
