"""The table that is exported: a version of similar_items, read file by file in bounded memory."""

import hashlib
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.errors import StageError, UsageError
from pipeline.store import file_list
from pipeline.store.resolve import resolve
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

COLUMNS = ("item_id", "rank", "similar_id", "score")
_BATCH_ROWS = 1 << 16


@dataclass(frozen=True)
class Source:
    """A version of the similar-item table.

    Attributes:
        version: its name.
        run_id: the run that computed or published it; empty if that is not recorded.
        rows: number of rows in all files.
        files: paths of the files, in the order of the items.
        filesystem: where the files are.
    """

    version: str
    run_id: str
    rows: int
    files: tuple[str, ...]
    filesystem: "FileSystem"

    @classmethod
    def resolve(cls, store: Store, name: str) -> "Source":
        """The table that a name on the command line stands for: a run, a version, or LATEST.

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

    def names_hash(self) -> str:
        """SHA-256 of the files' names: a target tells by it whether its parts are of these files.

        Versions of two stores can have the same name; their files have not.
        """
        names = "\n".join(self.name(number) for number in range(len(self.files)))
        return hashlib.sha256(names.encode()).hexdigest()

    def unfinished(self, finished: Container[str]) -> list[int]:
        """The numbers of the files whose names are not among the finished ones."""
        return [n for n in range(len(self.files)) if self.name(n) not in finished]

    def batches(
        self, number: int, columns: tuple[str, ...] = COLUMNS, rows: int = _BATCH_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a file, in batches; a batch may end within an item's list.

        Raises:
            StageError: the file is gone; a gc may have removed it meanwhile.
            DamagedError: the file can't be read.
        """
        try:
            with file_list.open_parquet(self.files[number], self.filesystem) as file:
                yield from file.iter_batches(batch_size=rows, columns=list(columns))
        except FileNotFoundError as error:
            raise StageError(
                f"export: {self.files[number]} is gone; where a gc has removed this version, "
                "export the one that is published now"
            ) from error

    def complete_lists(self, number: int) -> Iterator[pa.Table]:
        """The lists of the items that begin in a file, in tables that cut no list in two.

        A list begins at rank 1. The end of the file's last list may be in the files after it.

        Raises:
            StageError: the table is not sorted by item and rank.
        """
        # Batches of the last list that has begun: its end is not reached yet.
        pending: list[pa.RecordBatch] = []
        for batch in self.batches(number):
            starts = _list_starts(batch)
            if number == 0 and not pending and (not len(starts) or starts[0]):
                raise StageError(f"export: {self.files[0]} begins within an item's list")
            if not len(starts):
                # The batch continues a list of the batch before, or of another file.
                pending += [batch] if pending else []
                continue
            if not pending:
                batch, starts = batch.slice(starts[0]), starts - starts[0]
            yield from _checked_table([*pending, batch.slice(0, starts[-1])])
            pending = [batch.slice(starts[-1])]
        if pending:
            yield from _checked_table([*pending, *self._continuation(number + 1)])

    def _continuation(self, number: int) -> Iterator[pa.RecordBatch]:
        """The rows from the start of a file on, up to the first that begins a list."""
        for later in range(number, len(self.files)):
            # One row first: most files begin with a list, and a batch would be read for nothing.
            for ranks in self.batches(later, ("rank",), 1):
                if ranks.column("rank")[0].as_py() == 1:
                    return
                break
            for batch in self.batches(later):
                starts = _list_starts(batch)
                yield batch.slice(0, starts[0]) if len(starts) else batch
                if len(starts):
                    return


def _list_starts(batch: pa.RecordBatch) -> np.ndarray:
    """The rows at which a list begins: int64[n]."""
    return np.flatnonzero(batch.column("rank").to_numpy() == 1)


def _checked_table(batches: list[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches, which hold complete lists, as one table; nothing if they have no rows.

    Raises:
        StageError: they are not sorted by item and rank.
    """
    table = pa.Table.from_batches(batches)
    if not table.num_rows:
        return
    table = table.combine_chunks()
    ranks = table["rank"].to_numpy()
    ids = table["item_id"].combine_chunks()
    same_item = np.asarray(pa.compute.equal(ids[1:], ids[:-1]))
    next_rank = ranks[1:] == ranks[:-1] + 1
    if not ((same_item & next_rank) | (~same_item & (ranks[1:] == 1))).all():
        raise StageError(f"export: the lists at item {ids[0]} are not sorted by item and rank")
    yield table
