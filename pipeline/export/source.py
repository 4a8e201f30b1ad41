"""The table that is exported: a version of similar_items, read file by file in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StageError, UsageError
from pipeline.store.resolve import resolve
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

COLUMNS = ("item_id", "rank", "similar_id", "score")
# Rows that are held of a file at a time.
_ROWS = 1 << 16


@dataclass(frozen=True)
class Source:
    """A version of the similar-item table.

    Attributes:
        version: its name.
        run_id: the run that made or published it; empty where that is not known.
        rows: of all files.
        files: their paths, in the order of the items.
        system: where they are.
    """

    version: str
    run_id: str
    rows: int
    files: tuple[str, ...]
    system: "FileSystem"

    @classmethod
    def of(cls, store: Store, name: str) -> "Source":
        """What a name on the command line stands for: a run, a version, or LATEST.

        Raises:
            UsageError: nothing in the store has this name, or its table has no rows.
        """
        resolved = resolve(store, name, with_table=True)
        version, latest = resolved.version, store.latest()
        is_latest = latest is not None and latest["version"] == version
        run_id = latest["run_id"] if latest is not None and is_latest else resolved.run_id
        data = store.dataset("similar_items", version)
        rows = data.count_rows()
        if not rows:
            raise UsageError(f"version {version} has no rows; name another with --version")
        return cls(version, run_id or "", rows, tuple(sorted(data.files)), data.filesystem)

    def name(self, number: int) -> str:
        """The base name of a file."""
        return self.files[number].rpartition("/")[2]

    def batches(
        self, number: int, columns: tuple[str, ...] = COLUMNS, rows: int = _ROWS
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a file; an item may go on in the next batch.

        Raises:
            StageError: it can't be read; a gc may have removed it meanwhile.
        """
        try:
            with (
                self.system.open_input_file(self.files[number]) as opened,
                pq.ParquetFile(opened) as file,
            ):
                yield from file.iter_batches(batch_size=rows, columns=list(columns))
        except (OSError, pa.ArrowException) as error:
            raise StageError(
                f"export: {self.files[number]} can't be read ({error}); where a gc has removed "
                "this version, export the one that is published now"
            ) from error

    def whole_items(self, number: int) -> Iterator[pa.Table]:
        """The rows of the items that begin in a file, no item cut in two; an item begins at rank 1.

        Raises:
            StageError: the table is not sorted by item and rank.
        """
        held: list[pa.RecordBatch] = []
        for batch in self.batches(number):
            starts = np.flatnonzero(batch.column("rank").to_numpy() == 1)
            if number == 0 and not held and (not len(starts) or starts[0]):
                raise StageError(f"export: {self.files[0]} begins within an item's list")
            if not len(starts):
                # The rest of an item that another file or the last batch has begun.
                held += [batch] if held else []
                continue
            if not held:
                batch, starts = batch.slice(starts[0]), starts - starts[0]
            yield from _table([*held, batch.slice(0, starts[-1])])
            held = [batch.slice(starts[-1])]
        if held:
            yield from _table([*held, *self._rest(number + 1)])

    def _rest(self, number: int) -> Iterator[pa.RecordBatch]:
        """The rows at the beginning of a file, and those after it, that go on with an item."""
        for later in range(number, len(self.files)):
            for ranks in self.batches(later, ("rank",), 1):
                if ranks.column("rank")[0].as_py() == 1:
                    return
                break
            for batch in self.batches(later):
                starts = np.flatnonzero(batch.column("rank").to_numpy() == 1)
                yield batch.slice(0, starts[0]) if len(starts) else batch
                if len(starts):
                    return


def _table(batches: list[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches as a table whose items are whole, if it has any rows.

    Raises:
        StageError: they are not sorted by item and rank.
    """
    table = pa.Table.from_batches(batches)
    if not table.num_rows:
        return
    table = table.combine_chunks()
    ranks = table["rank"].to_numpy()
    ids = table["item_id"].combine_chunks()
    same = np.asarray(pa.compute.equal(ids[1:], ids[:-1]))
    step = ranks[1:] == ranks[:-1] + 1
    if not ((same & step) | (~same & (ranks[1:] == 1))).all():
        raise StageError(f"export: the lists at item {ids[0]} are not sorted by item and rank")
    yield table
