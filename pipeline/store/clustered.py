"""Parquet files whose rows lie in the order of the lists, read list by list without Spark."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.storage.paths import StoragePath, arrow_path

_BATCH_ROWS = 8_192
# Ends of files that are read at a time: an object store takes its time for each.
_ENDS_AT_ONCE = 16


@dataclass(frozen=True)
class ClusteredTable:
    """The files of one version of a table with a column `list`.

    Attributes:
        folder: of the files.
        files: name, least and greatest list of each that has rows.
    """

    folder: StoragePath
    files: tuple[tuple[str, int, int], ...]

    def rows(self, first: int, last: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of the lists from first up to last, not included, file by file.

        Args:
            first: a list.
            last: a list.
            columns: those wanted that the files have; `list` always comes.
        """

        def wanted(low: int, high: int) -> bool:
            return low < last and high >= first

        for batch in self._batches(wanted, columns):
            lists = batch["list"]
            inside = pc.and_(pc.greater_equal(lists, first), pc.less(lists, last))
            some = batch if pc.all(inside).as_py() else batch.filter(inside)
            if some.num_rows:
                yield some

    def rows_of_lists(
        self, lists: npt.NDArray[np.integer], columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """The rows of some lists; of files and row groups without any nothing is read.

        Args:
            lists: ascending.
            columns: as for `rows`.
        """
        known = pa.array(lists, pa.int32())

        def wanted(low: int, high: int) -> bool:
            first, last = np.searchsorted(lists, [low, high + 1])
            return bool(first < last)

        for batch in self._batches(wanted, columns):
            some = batch.filter(pc.is_in(batch["list"], known))
            if some.num_rows:
                yield some

    def _batches(
        self, wanted: Callable[[int, int], bool], columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """Batches of the row groups whose least and greatest lists are wanted."""
        system, base = arrow_path(self.folder)
        for name, low, high in self.files:
            if not wanted(low, high):
                continue
            with pq.ParquetFile(f"{base}/{name}", filesystem=system) as file:
                groups = [n for n, bounds in enumerate(_bounds(file)) if wanted(*bounds)]
                there = [name for name in file.schema_arrow.names if name in {*columns, "list"}]
                yield from file.iter_batches(
                    _BATCH_ROWS, row_groups=groups, columns=there, use_threads=False
                )


def open_clustered(folder: StoragePath) -> ClusteredTable:
    """The files of a folder; their ends are read, not their rows.

    Raises:
        FileNotFoundError: there is none.
    """
    system, base = arrow_path(folder)

    def ends(name: str) -> list[tuple[int, int]]:
        with pq.ParquetFile(f"{base}/{name}", filesystem=system) as file:
            return list(_bounds(file))

    names = sorted(path.name for path in folder.glob("*.parquet"))
    if not names:
        # Even a table without rows has one; without this its readers would take it for such.
        raise FileNotFoundError(f"{folder}: its files are gone; run again with --full")
    with ThreadPoolExecutor(_ENDS_AT_ONCE) as pool:
        bounds = zip(names, pool.map(ends, names), strict=True)
        files = [(name, min(b[0] for b in of), max(b[1] for b in of)) for name, of in bounds if of]
    return ClusteredTable(folder, tuple(files))


def _bounds(file: pq.ParquetFile) -> Iterator[tuple[int, int]]:
    """The least and the greatest list of each row group."""
    column = file.schema_arrow.names.index("list")
    for number in range(file.num_row_groups):
        statistics = file.metadata.row_group(number).column(column).statistics
        yield (
            (statistics.min, statistics.max)
            if statistics is not None and statistics.has_min_max
            else (0, 2**31)
        )
