"""Rows of a table by item ids, without Spark and without reading the table.

Of each file the end is read first, whose statistics say which row groups can hold an id; of those
the column item_id alone; the other columns only of row groups that hold one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import UsageError
from pipeline.storage.paths import arrow_path
from pipeline.store.store import Store

# Files that are looked at at a time: an object store takes its time for each.
_AT_ONCE = 16
_ID = "item_id"


def find_rows(
    store: Store,
    table: str,
    version: str,
    ids: Iterable[str],
    columns: Sequence[str],
    *,
    in_order: bool = False,
) -> pa.Table:
    """The rows of some items, in the order of the table.

    Args:
        store: that the table is in.
        table: its name; one with a column item_id.
        version: of the table.
        ids: of the items.
        columns: those wanted; item_id always comes, first.
        in_order: whether the files lie in the order of the ids, each after the one before it, as
            those of details do: then only the ends of a few are read.

    Raises:
        UsageError: the version is not in the store, or goes while it is read.
    """
    wanted = sorted(set(ids))
    folder = store.table_path(table, version)
    if not store.has_table(table, version):
        raise table_missing(table, version)
    system, base = arrow_path(folder)
    files = _Files(system, base, sorted(path.name for path in folder.glob("*.parquet")), wanted)
    names = [_ID, *(name for name in columns if name != _ID)]
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            some = files.near() if in_order else files.names
            parts = list(pool.map(lambda name: files.read(name, names), some))
        found = [part for part in parts if part is not None]
        if found:
            return pa.concat_tables(found)
        return files.nothing(names)
    except FileNotFoundError as error:
        raise table_missing(table, version) from error


def table_missing(table: str, version: str) -> UsageError:
    """That a version of a table is not there, or not any more."""
    return UsageError(
        f"version {version} of the table {table} is not in the store: nitamono gc has deleted it, "
        "or it was deleted by hand; choose another version, or run: nitamono run --config FILE"
    )


class _Files:
    """The files of a table, and the ids that are looked for."""

    def __init__(
        self, system: "pa.fs.FileSystem", base: str, names: list[str], wanted: list[str]
    ) -> None:
        self.names = names
        self._system, self._base = system, base
        self._wanted = wanted
        self._set = pa.array(wanted, pa.string())

    def _open(self, name: str) -> pq.ParquetFile:
        return pq.ParquetFile(f"{self._base}/{name}", filesystem=self._system)

    def near(self) -> list[str]:
        """Names of the files that can hold an id, by halving: the files are in order."""
        found: dict[str, None] = {}
        waiting = [(0, len(self.names), 0, len(self._wanted))]
        while waiting:
            first, last, low, high = waiting.pop()
            if first >= last or low >= high:
                continue
            middle = (first + last) // 2
            with self._open(self.names[middle]) as file:
                bounds = [_bounds(file, group) for group in range(file.num_row_groups)]
            known = [both for both in bounds if both is not None]
            if not known:
                # A file without rows, or without statistics: both sides, and itself.
                found[self.names[middle]] = None
                waiting += [(first, middle, low, high), (middle + 1, last, low, high)]
                continue
            least, most = min(low for low, _ in known), max(high for _, high in known)
            start = bisect_left(self._wanted, least, low, high)
            end = bisect_right(self._wanted, most, low, high)
            if start < end:
                found[self.names[middle]] = None
            # What a file begins or ends with can be in the one beside it too.
            before = bisect_right(self._wanted, least, low, high)
            after = bisect_left(self._wanted, most, low, high)
            waiting += [(first, middle, low, before), (middle + 1, last, after, high)]
        return sorted(found)

    def read(self, name: str, columns: list[str]) -> pa.Table | None:
        """The rows of the ids that one file holds."""
        parts = []
        with self._open(name) as file:
            there = [column for column in columns if column in file.schema_arrow.names]
            for group in range(file.num_row_groups):
                bounds = _bounds(file, group)
                if bounds is not None and not self._between(*bounds):
                    continue
                ids = file.read_row_group(group, columns=[_ID], use_threads=False)[_ID]
                mine = pc.is_in(ids, self._set)
                if pc.any(mine).as_py():
                    whole = file.read_row_group(group, columns=there, use_threads=False)
                    parts.append(whole.select(there).filter(mine))
        return pa.concat_tables(parts) if parts else None

    def beside(self, item_id: str) -> list[str]:
        """The ids of the row group that an id would be in, or come after, in order."""
        low, high = 0, len(self.names)
        while low < high:
            middle = (low + high) // 2
            with self._open(self.names[middle]) as file:
                first = _bounds(file, 0) if file.num_row_groups else None
            if first is not None and first[0] <= item_id:
                low = middle + 1
            else:
                high = middle
        with self._open(self.names[max(low - 1, 0)]) as file:
            bounds = [_bounds(file, group) for group in range(file.num_row_groups)]
            before = [n for n, both in enumerate(bounds) if both and both[0] <= item_id]
            if not bounds:
                return []
            column = file.read_row_group(before[-1] if before else 0, columns=[_ID])[_ID]
        return sorted(column.to_pylist())

    def nothing(self, columns: list[str]) -> pa.Table:
        """No row, with the columns."""
        if not self.names:
            return pa.table({name: pa.array([], pa.string()) for name in columns})
        with self._open(self.names[0]) as file:
            schema = file.schema_arrow
        return pa.schema([schema.field(n) for n in columns if n in schema.names]).empty_table()

    def _between(self, least: str, most: str) -> bool:
        place = bisect_left(self._wanted, least)
        return place < len(self._wanted) and self._wanted[place] <= most


def _bounds(file: pq.ParquetFile, group: int) -> tuple[str, str] | None:
    """The least and the greatest id of a row group; None where they are not known."""
    column = file.schema_arrow.names.index(_ID)
    statistics = file.metadata.row_group(group).column(column).statistics
    with suppress(UnicodeDecodeError):
        if statistics is not None and statistics.has_min_max:
            return statistics.min, statistics.max
    return None


def nearest_ids(store: Store, table: str, version: str, item_id: str, most: int = 3) -> list[str]:
    """Ids that stand beside an id that is not there, in a table whose files lie in order.

    Those come from one row group: at its ends there may be fewer.
    """
    folder = store.table_path(table, version)
    system, base = arrow_path(folder)
    files = _Files(system, base, sorted(path.name for path in folder.glob("*.parquet")), [item_id])
    best = files.beside(item_id)
    place = bisect_left(best, item_id)
    return best[max(0, place - most + 1) :][:most]
