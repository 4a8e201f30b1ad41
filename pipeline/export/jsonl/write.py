"""Writing the files of an export to JSON Lines, on the executors."""

import gzip
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from pipeline.export.jsonl.layout import NOTES, Layout
from pipeline.storage.file_owners import owner_tag
from pipeline.storage.files import write_json
from pipeline.storage.paths import StoragePath, staged_file

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

# Consecutive lines of one file: its number, the lines, and neighbours of each (-1: quarantined).
_Run = tuple[int, list[str], np.ndarray]


def write_files(rows: "DataFrame", layout: Layout) -> None:
    """Write the files of `lines` on the executors, and those without any line here."""
    (layout.folder / NOTES).mkdir(parents=True, exist_ok=True)
    for path in layout.folder.iterdir():
        # An export that was killed while it wrote has left it behind.
        if path.name.startswith("."):
            path.unlink(missing_ok=True)

    def task(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        write_batches(batches, layout)
        yield from ()

    # The tasks return no rows: the notes say what they wrote.
    rows.mapInArrow(task, "part int").collect()
    for part in layout.missing():
        _write_file(layout, part, iter(()))


def write_batches(batches: "Iterator[pa.RecordBatch]", layout: Layout) -> None:
    """Write the files of a partition of `lines`, which are in it one after the other."""
    for part, runs in groupby(_runs(batches), itemgetter(0)):
        _write_file(layout, part, runs)


def _runs(batches: "Iterator[pa.RecordBatch]") -> Iterator[_Run]:
    for batch in batches:
        parts = batch.column("part").to_numpy()
        lines = batch.column("line").to_pylist()
        counts = batch.column("neighbors").fill_null(-1).to_numpy()
        cuts = np.flatnonzero(np.diff(parts)) + 1
        for start, end in zip([0, *cuts], [*cuts, len(parts)], strict=True):
            if end > start:
                yield int(parts[start]), lines[start:end], counts[start:end]


def _write_file(layout: Layout, part: int, runs: Iterator[_Run]) -> None:
    """Write one complete file, then its note."""
    name = layout.name(part)
    items = quarantined = neighbors = 0
    with _complete_file(layout.folder / name) as path, Path(path).open("wb") as raw:
        hashed = _HashedFile(raw)
        with _compressed(hashed, layout) as file:
            for _, lines, counts in runs:
                file.write("".join(f"{line}\n" for line in lines).encode())
                item_counts = counts[counts >= 0]
                items += len(item_counts)
                quarantined += len(counts) - len(item_counts)
                neighbors += int(item_counts.sum())
    note = {"items": items, "quarantined": quarantined, "neighbors": neighbors}
    content = {"bytes": hashed.size, "sha256": hashed.sha256.hexdigest()}
    write_json(layout.note(part), {"name": name, **note, **content})


class _HashedFile(io.RawIOBase):
    """A file that counts and hashes what is written to it."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self.sha256, self.size = raw, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:  # noqa: ANN401 - any buffer
        self.sha256.update(content)
        self.size += len(content)
        return self._raw.write(content)


@contextmanager
def _compressed(file: _HashedFile, layout: Layout) -> Iterator[Any]:
    if not layout.gzip:
        yield file
        return
    # Without a name and a time, so that the same lines make the same file.
    with gzip.GzipFile("", "wb", 6, file, mtime=0) as compressed:
        yield compressed


@contextmanager
def _complete_file(path: StoragePath) -> Iterator[str]:
    """A temporary path to write to; the file moves to `path` if the block ends without an error."""
    if not isinstance(path, Path):
        with staged_file(path) as staged:
            yield staged
        return
    temporary = path.with_name(f".{path.name}.{owner_tag()}")
    try:
        yield str(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
