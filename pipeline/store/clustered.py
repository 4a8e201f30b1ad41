"""Clustered tables: their rows lie in the order of the lists and can be read list by list."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.storage.paths import StoragePath, arrow_path
from pipeline.store import file_list

_BATCH_ROWS = 8_192
# Footers that are read at the same time: an object store needs some time for each.
_PARALLEL_FOOTERS = 16


@dataclass(frozen=True)
class ClusteredTable:
    """The files of one version of a table with a column `list`.

    Attributes:
        folder: the folder of the files.
        files: name, smallest and greatest list of each file that has rows.
    """

    folder: StoragePath
    files: tuple[tuple[str, int, int], ...]

    def rows(self, first: int, last: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of a range of lists, file by file.

        Args:
            first: the first list.
            last: the list after the last one.
            columns: columns to read, if the files have them; `list` is always read.
        """

        def overlaps(low: int, high: int) -> bool:
            return low < last and high >= first

        for batch in self._batches(overlaps, columns):
            lists = batch["list"]
            inside = pc.and_(pc.greater_equal(lists, first), pc.less(lists, last))
            rows = batch if pc.all(inside).as_py() else batch.filter(inside)
            if rows.num_rows:
                yield rows

    def rows_of_lists(
        self, lists: npt.NDArray[np.integer], columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """The rows of some lists; files and row groups without these lists are not read.

        Args:
            lists: the lists, ascending.
            columns: as for `rows`.
        """
        list_set = pa.array(lists, pa.int32())

        def overlaps(low: int, high: int) -> bool:
            first, last = np.searchsorted(lists, [low, high + 1])
            return bool(first < last)

        for batch in self._batches(overlaps, columns):
            rows = batch.filter(pc.is_in(batch["list"], list_set))
            if rows.num_rows:
                yield rows

    def _batches(
        self, overlaps: Callable[[int, int], bool], columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """Batches of the row groups whose smallest and greatest lists overlap a selection."""
        system, base = arrow_path(self.folder)
        for name, low, high in self.files:
            if not overlaps(low, high):
                continue
            with file_list.open_parquet(f"{base}/{name}", system) as file:
                groups = [n for n, bounds in enumerate(_list_bounds(file)) if overlaps(*bounds)]
                present = [name for name in file.schema_arrow.names if name in {*columns, "list"}]
                yield from file.iter_batches(
                    _BATCH_ROWS, row_groups=groups, columns=present, use_threads=False
                )


def open_clustered(folder: StoragePath, names: Sequence[str]) -> ClusteredTable:
    """Open files of a folder; only their footers are read.

    Args:
        folder: the folder.
        names: the names of the files.

    Raises:
        DamagedError: a footer can't be read.
    """
    system, base = arrow_path(folder)

    def bounds_of(name: str) -> list[tuple[int, int]]:
        with file_list.open_parquet(f"{base}/{name}", system) as file:
            return list(_list_bounds(file))

    with ThreadPoolExecutor(_PARALLEL_FOOTERS) as pool:
        files = [
            (name, min(low for low, _ in bounds), max(high for _, high in bounds))
            for name, bounds in zip(names, pool.map(bounds_of, names), strict=True)
            if bounds
        ]
    return ClusteredTable(folder, tuple(files))


def _list_bounds(file: pq.ParquetFile) -> Iterator[tuple[int, int]]:
    """The smallest and the greatest list of each row group."""
    column = file.schema_arrow.names.index("list")
    for group in range(file.num_row_groups):
        statistics = file.metadata.row_group(group).column(column).statistics
        yield (
            (statistics.min, statistics.max)
            if statistics is not None and statistics.has_min_max
            else (0, 2**31)
        )
