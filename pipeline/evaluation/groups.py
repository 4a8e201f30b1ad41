"""Groups of items, each of which is measured by itself."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.ranking import Int64

LENGTH, NEW = "length", "new"
_COLUMN = "column:"
_QUARTILES = (25, 50, 75)
# The groups of a column that are told apart: the largest ones.
_MAX_GROUPS = 20
REST, BLANK = "(the rest)", "(blank)"


@dataclass(frozen=True)
class Group:
    """What items are grouped by.

    Attributes:
        name: as it was given.
        kind: LENGTH, NEW, or empty for a column.
        column: the column; empty for the others.
        version: for NEW, the run or version whose catalogue lacks the new items.
    """

    name: str
    kind: str
    column: str
    version: str

    @classmethod
    def of(cls, name: str) -> "Group":
        """Read `length`, `new`, `new:RUN`, the name of a column, or `column:` and such a name."""
        kind, _, version = name.partition(":")
        if name == LENGTH or kind == NEW:
            return cls(name, kind, "", version or "LATEST")
        return cls(name, "", name.removeprefix(_COLUMN), "")


@dataclass(frozen=True)
class Grouping:
    """The groups of the sample's items.

    Attributes:
        names: of the groups, in the order in which they are shown.
        codes: int64[n], the place of each item's group in `names`.
    """

    names: list[str]
    codes: Int64


def by_value(texts: pa.Array) -> Grouping:
    """A group for each text, the largest first; the smallest are one group if there are many.

    Args:
        texts: string[n], null for blank.
    """
    counts = pc.value_counts(texts)
    sizes = sorted(
        ((count["values"].as_py(), count["counts"].as_py()) for count in counts),
        key=lambda one: (one[0] is None, -one[1], one[0]),
    )
    values = [value for value, _ in sizes]
    # One that would be the only one of the rest keeps its name.
    told = len(values) if len(values) <= _MAX_GROUPS + 1 else _MAX_GROUPS
    names = [BLANK if value is None else value for value in values[:told]]
    known = pa.array(values[:told], pa.string())
    codes = np.asarray(pc.fill_null(pc.index_in(texts, known), told)).astype(np.int64)
    return Grouping([*names, *([REST] if told < len(values) else [])], codes)


def by_length(tokens: pa.ListArray) -> Grouping:
    """Quarters by the number of tokens; items of equal length are in one group.

    Args:
        tokens: list<string>[n].
    """
    lengths = np.asarray(pc.list_value_length(tokens)).astype(np.int64)
    # The greatest length of each quarter but the last.
    bounds = np.unique(np.percentile(lengths, _QUARTILES, method="lower"))
    places = np.searchsorted(bounds, lengths)
    used, codes = np.unique(places, return_inverse=True)
    names = []
    for place in used:
        own = lengths[places == place]
        low, high = own.min(), own.max()
        names.append(f"{low}-{high} tokens" if low < high else f"{low} tokens")
    return Grouping(names, codes.astype(np.int64))


def by_age(is_old: pa.BooleanArray) -> Grouping:
    """The new items and the old ones: bool[n], none null."""
    return Grouping(["new", "old"], np.asarray(is_old).astype(np.int64))
