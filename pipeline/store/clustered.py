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
from pipeline.store.layers import VersionFiles

_ID = "item_id"
_BATCH_ROWS = 8_192
# Footers that are read at the same time: an object store needs some time for each.
_PARALLEL_FOOTERS = 16


@dataclass(frozen=True)
class ClusteredLayer:
    """The files of a layer; see pipeline.store.layers.

    Attributes:
        rows: path in the table's folder, smallest and greatest list of each file that has rows.
        removals: the same of the files of removals.
    """

    rows: tuple[tuple[str, int, int], ...] = ()
    removals: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class ClusteredTable:
    """The files of one version of a table with a column `list`.

    Attributes:
        folder: the folder of the table.
        layers: its layers.
    """

    folder: StoragePath
    layers: tuple[ClusteredLayer, ...]

    @property
    def file_count(self) -> int:
        """How many files with rows layer 0 has."""
        return len(self.layers[0].rows)

    def rows(self, first: int, last: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of a range of lists, layer by layer; in each, in the order of the lists.

        Args:
            first: the first list.
            last: the list after the last one.
            columns: columns to read, if the files have them; `list` is always read.
        """

        def overlaps(low: int, high: int) -> bool:
            return low < last and high >= first

        def is_inside(lists: pa.Array) -> pa.BooleanArray:
            return pc.and_(pc.greater_equal(lists, first), pc.less(lists, last))

        yield from self._valid_rows(_Selection(overlaps, is_inside), columns)

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

        def is_inside(lists: pa.Array) -> pa.BooleanArray:
            return pc.is_in(lists, list_set)

        yield from self._valid_rows(_Selection(overlaps, is_inside), columns)

    def _valid_rows(
        self, selection: "_Selection", columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a selection of lists that no later layer removes."""
        removed = self._removed_ids(selection)
        for layer, ids in zip(self.layers, removed, strict=True):
            names = [*columns, _ID] if len(ids) else columns
            for batch in self._batches(layer.rows, selection, names):
                rows = batch
                if len(ids):
                    rows = batch.filter(pc.invert(pc.is_in(batch[_ID], ids)))
                    rows = rows.select([n for n in rows.schema.names if n in {*columns, "list"}])
                if rows.num_rows:
                    yield rows

    def _removed_ids(self, selection: "_Selection") -> list[pa.Array]:
        """For each layer, the items of a selection whose rows later layers remove."""
        removed = [pa.array([], pa.string())]
        for layer in reversed(self.layers[1:]):
            batches = self._batches(layer.removals, selection, [_ID])
            removed.append(pa.concat_arrays([removed[-1], *(batch[_ID] for batch in batches)]))
        return removed[::-1]

    def _batches(
        self,
        files: Sequence[tuple[str, int, int]],
        selection: "_Selection",
        columns: Sequence[str],
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a selection in some files; other row groups are not read."""
        system, base = arrow_path(self.folder)
        for name, low, high in files:
            if not selection.overlaps(low, high):
                continue
            with file_list.open_parquet(f"{base}/{name}", system) as file:
                bounds = enumerate(_list_bounds(file))
                groups = [n for n, both in bounds if selection.overlaps(*both)]
                present = [name for name in file.schema_arrow.names if name in {*columns, "list"}]
                for batch in file.iter_batches(
                    _BATCH_ROWS, row_groups=groups, columns=present, use_threads=False
                ):
                    inside = selection.is_inside(batch["list"])
                    rows = batch if pc.all(inside).as_py() else batch.filter(inside)
                    if rows.num_rows:
                        yield rows


@dataclass(frozen=True)
class _Selection:
    """Some lists.

    Attributes:
        overlaps: whether a list from a first one to a last one is among them.
        is_inside: which of the lists of rows are among them.
    """

    overlaps: Callable[[int, int], bool]
    is_inside: Callable[[pa.Array], pa.BooleanArray]


def open_clustered(files: VersionFiles) -> ClusteredTable:
    """Open the files of a version; only their footers are read.

    Raises:
        DamagedError: a footer can't be read.
    """
    system, base = files.arrow

    def with_bounds(name: str) -> tuple[str, int, int] | None:
        with file_list.open_parquet(f"{base}/{name}", system) as file:
            bounds = list(_list_bounds(file))
        if not bounds:
            return None
        return name, min(low for low, _ in bounds), max(high for _, high in bounds)

    with ThreadPoolExecutor(_PARALLEL_FOOTERS) as pool:
        opened = [
            tuple(
                tuple(file for file in pool.map(with_bounds, names) if file is not None)
                for names in (layer.rows, layer.removals)
            )
            for layer in files.layers
        ]
    return ClusteredTable(files.folder.parent, tuple(ClusteredLayer(*each) for each in opened))


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
