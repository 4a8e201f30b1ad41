"""Lookup: the rows of some items, found without Spark and without reading the whole table.

First the footer of each file is read; its statistics say which row groups can hold an id. Then the
column item_id of those row groups is read, and the other columns of row groups that do hold one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import UsageError
from pipeline.store import file_list
from pipeline.store.layers import VersionFiles
from pipeline.store.store import Store

# Files that are read at the same time: an object store needs some time for each.
_PARALLEL_FILES = 16
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
    """The rows of some items, in the order of the table's files.

    Args:
        store: the store that holds the table.
        table: a table with a column item_id.
        version: the version of the table.
        ids: the items.
        columns: columns to read, if the table has them; item_id is always read, first.
        in_order: whether the files of a layer are sorted by item_id, each after the one before it,
            as those of details are; then only a few footers are read.

    Raises:
        UsageError: the version is not in the store, or is deleted while it is read.
        DamagedError: a file is missing or has another size, or what is read of it is damaged.
    """
    item_ids = sorted(set(ids))
    if not store.has_table(table, version):
        raise table_missing(table, version)
    names = [_ID, *(name for name in columns if name != _ID)]
    try:
        version_files = store.open_files(table, version)
        valid: list[pa.Table] = []
        removed: set[str] = set()
        # The newest layer first: the items whose rows in earlier layers are not valid are known.
        for layer in reversed(version_files.layers):
            wanted = [item for item in item_ids if item not in removed]
            files = _Files(version_files, layer.rows, wanted)
            valid[:0] = files.rows(names, in_order=in_order)
            removed |= _Files(version_files, layer.removals, wanted).ids()
        return pa.concat_tables(valid) if valid else files.empty_table(names)
    except FileNotFoundError as error:
        raise table_missing(table, version) from error


def nearest_ids(store: Store, table: str, version: str, item_id: str, count: int = 3) -> list[str]:
    """The ids before and after an id that is not in a table whose files are sorted by item_id.

    Of each layer one row group is read, so near its ends there may be fewer than `count`.
    """
    version_files = store.open_files(table, version)
    ids: set[str] = set()
    for layer in version_files.layers:
        ids -= _Files(version_files, layer.removals, sorted(ids)).ids()
        ids.update(_Files(version_files, layer.rows, [item_id]).ids_near(item_id))
    ordered = sorted(ids)
    position = bisect_left(ordered, item_id)
    return ordered[max(0, position - count + 1) :][:count]


def table_missing(table: str, version: str) -> UsageError:
    """The error that a version of a table is not in the store, or not any more."""
    return UsageError(
        f"version {version} of the table {table} is not in the store: nitamono gc has deleted it, "
        "or it was deleted by hand; choose another version, or run: nitamono run --config FILE"
    )


class _Files:
    """Files of a layer of a table, and the ids to look for."""

    def __init__(self, files: VersionFiles, names: Sequence[str], ids: list[str]) -> None:
        self.names = names
        self._system, self._base = files.arrow
        self._ids = ids
        self._id_set = pa.array(ids, pa.string())

    def _open(self, name: str) -> pq.ParquetFile:
        return file_list.open_parquet(f"{self._base}/{name}", self._system)

    def rows(self, columns: list[str], *, in_order: bool = False) -> list[pa.Table]:
        """The rows of the ids, file by file.

        Args:
            columns: those to read.
            in_order: whether the files are sorted by item_id.
        """
        if not self._ids:
            return []
        candidates = self.candidates() if in_order else self.names
        with ThreadPoolExecutor(_PARALLEL_FILES) as pool:
            parts = list(pool.map(lambda name: self.read(name, columns), candidates))
        return [part for part in parts if part is not None]

    def ids(self) -> set[str]:
        """Those of the ids that the files have."""
        return {item for part in self.rows([_ID]) for item in part[_ID].to_pylist()}

    def candidates(self) -> list[str]:
        """Names of the files that can hold one of the ids, by bisection: the files are sorted."""
        candidates: dict[str, None] = {}
        # Ranges of files, each with the range of ids that its files can hold.
        ranges = [(0, len(self.names), 0, len(self._ids))]
        while ranges:
            first, last, low, high = ranges.pop()
            if first >= last or low >= high:
                continue
            middle = (first + last) // 2
            bounds = self._file_bounds(self.names[middle])
            if bounds is None:
                # A file without rows or statistics tells nothing: read it, and search both sides.
                candidates[self.names[middle]] = None
                ranges += [(first, middle, low, high), (middle + 1, last, low, high)]
                continue
            smallest, greatest = bounds
            start = bisect_left(self._ids, smallest, low, high)
            end = bisect_right(self._ids, greatest, low, high)
            if start < end:
                candidates[self.names[middle]] = None
            # The first and the last id of a file can be in the file beside it too.
            before = bisect_right(self._ids, smallest, low, high)
            after = bisect_left(self._ids, greatest, low, high)
            ranges += [(first, middle, low, before), (middle + 1, last, after, high)]
        return sorted(candidates)

    def _file_bounds(self, name: str) -> tuple[str, str] | None:
        """The smallest and the greatest id of a file; None if they are not known."""
        with self._open(name) as file:
            groups = [_id_bounds(file, group) for group in range(file.num_row_groups)]
        bounds = [both for both in groups if both is not None]
        return (min(bounds)[0], max(high for _, high in bounds)) if bounds else None

    def read(self, name: str, columns: list[str]) -> pa.Table | None:
        """The rows of the ids in one file; None if it has none."""
        parts = []
        with self._open(name) as file:
            present = [column for column in columns if column in file.schema_arrow.names]
            for group in range(file.num_row_groups):
                bounds = _id_bounds(file, group)
                if bounds is not None and not self._has_id_between(*bounds):
                    continue
                ids = file.read_row_group(group, columns=[_ID], use_threads=False)[_ID]
                matches = pc.is_in(ids, self._id_set)
                if pc.any(matches).as_py():
                    rows = file.read_row_group(group, columns=present, use_threads=False)
                    parts.append(rows.select(present).filter(matches))
        return pa.concat_tables(parts) if parts else None

    def ids_near(self, item_id: str) -> list[str]:
        """The ids, sorted, of the row group that an id would be in or come after."""
        if not self.names:
            return []
        low, high = 0, len(self.names)
        while low < high:
            middle = (low + high) // 2
            with self._open(self.names[middle]) as file:
                first = _id_bounds(file, 0) if file.num_row_groups else None
            if first is not None and first[0] <= item_id:
                low = middle + 1
            else:
                high = middle
        with self._open(self.names[max(low - 1, 0)]) as file:
            bounds = [_id_bounds(file, group) for group in range(file.num_row_groups)]
            before = [n for n, both in enumerate(bounds) if both and both[0] <= item_id]
            if not bounds:
                return []
            column = file.read_row_group(before[-1] if before else 0, columns=[_ID])[_ID]
        return sorted(column.to_pylist())

    def empty_table(self, columns: list[str]) -> pa.Table:
        """A table without rows, with those of the columns that the files have."""
        if not self.names:
            return pa.table({name: pa.array([], pa.string()) for name in columns})
        with self._open(self.names[0]) as file:
            schema = file.schema_arrow
        return pa.schema([schema.field(n) for n in columns if n in schema.names]).empty_table()

    def _has_id_between(self, smallest: str, greatest: str) -> bool:
        position = bisect_left(self._ids, smallest)
        return position < len(self._ids) and self._ids[position] <= greatest


def _id_bounds(file: pq.ParquetFile, group: int) -> tuple[str, str] | None:
    """The smallest and the greatest id of a row group; None if they are not known."""
    column = file.schema_arrow.names.index(_ID)
    statistics = file.metadata.row_group(group).column(column).statistics
    with suppress(UnicodeDecodeError):
        if statistics is not None and statistics.has_min_max:
            return statistics.min, statistics.max
    return None
