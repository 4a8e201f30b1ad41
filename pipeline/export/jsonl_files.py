"""The files of an export to JSON Lines: what stands in them, and how executors write them."""

import gzip
import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from pipeline.storage.files import read_json, write_json
from pipeline.storage.paths import StoragePath, staged_file
from pipeline.storage.processes import owner_tag
from pipeline.store.reasons import NOT_ASKED, UNREADABLE_ROW
from pipeline.store.schemas import ITEMS
from pipeline.store.store import Store

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession

# Beside the files, a note for each: what it holds; a file counts as made when it is there.
NOTES = "_files"
_NULLS = {"ignoreNullFields": "false"}


@dataclass(frozen=True)
class Layout:
    """The files of one version.

    Attributes:
        folder: where they are.
        files: how many.
        gzip: whether they are compressed.
    """

    folder: StoragePath
    files: int
    gzip: bool

    def name(self, part: int) -> str:
        """A file's."""
        return f"part-{part:05d}.jsonl{'.gz' if self.gzip else ''}"

    def note(self, part: int) -> StoragePath:
        """The place of what is noted of a file."""
        return self.folder / NOTES / f"{self.name(part)}.json"

    def missing(self) -> list[int]:
        """The files that are still to be made."""
        return [part for part in range(self.files) if read_json(self.note(part)) is None]

    def made(self) -> list[dict[str, Any]]:
        """What is noted of the files."""
        notes = (read_json(self.note(part)) for part in range(self.files))
        return [note for note in notes if note]


def lines(
    spark: "SparkSession",
    store: Store,
    version: str,
    versions: dict[str, str],
    layout: Layout,
    missing: list[int],
) -> "DataFrame":
    """The lines of the files that are missing: part int, line string, neighbors int.

    `neighbors` is null for quarantined rows. A partition has the whole of its files, in order.
    """
    from pyspark.sql import functions as F

    def some(frame: "DataFrame", key: str) -> "DataFrame":
        part = F.pmod(F.xxhash64(F.col(key)), F.lit(layout.files)).cast("int")
        found = frame.withColumn("part", part)
        return found if len(missing) == layout.files else found.where(F.col("part").isin(missing))

    items = some(store.read(spark, "items", versions["items"]), "item_id")
    pairs = some(store.read(spark, "similar_items", version), "item_id")
    short = some(store.read(spark, "short_lists", versions["short_lists"]), "item_id")
    bad = some(store.read(spark, "quarantine", versions["quarantine"]), "row")
    ranked = F.struct("rank", "similar_id", "score")
    lists = pairs.groupBy("item_id").agg(F.sort_array(F.collect_list(ranked)).alias("ranked"))
    both = items.join(lists, "item_id", how="left")
    both = both.join(short.select("item_id", "reason"), "item_id", how="left")
    rows = both.select("part", F.lit(0).alias("kind"), "item_id", *_of_item()).unionByName(
        bad.select("part", F.lit(1).alias("kind"), "item_id", *_of_quarantined())
    )
    placed = rows.repartition(min(len(missing), _tasks(spark)), "part")
    ordered = placed.sortWithinPartitions("part", "kind", "item_id", "line")
    return ordered.select("part", "line", "neighbors")


def _tasks(spark: "SparkSession") -> int:
    return max(1, int(spark.conf.get("spark.sql.shuffle.partitions") or 1))


def _of_item() -> "tuple[Column, Column]":
    from pyspark.sql import functions as F

    there = F.col("ranked").isNotNull()
    found = F.transform("ranked", lambda pair: pair.dropFields("rank"))
    line = F.struct(
        F.struct(*ITEMS.names).alias("input"),
        F.when(there, F.struct(found.alias("neighbours"))).alias("output"),
        F.when(~there, F.coalesce("reason", F.lit(NOT_ASKED))).alias("error"),
    )
    count = F.when(there, F.size("ranked")).otherwise(F.lit(0))
    return F.to_json(line, _NULLS).alias("line"), count.alias("neighbors")


def _of_quarantined() -> "tuple[Column, Column]":
    """The row as it was read: an object, or its text where it could not be parsed."""
    from pyspark.sql import functions as F

    as_text = F.to_json(F.array("row"))
    text = F.substr(as_text, F.lit(2), F.length(as_text) - 2)
    row = F.when(F.array_contains("reasons", UNREADABLE_ROW), text).otherwise(F.col("row"))
    error = F.to_json(F.array(F.array_join("reasons", ", ")))
    reasons = F.substr(error, F.lit(2), F.length(error) - 2)
    line = F.concat(
        F.lit('{"input":'), F.coalesce(row, F.lit("null")),
        F.lit(',"output":null,"error":'), reasons, F.lit("}"),
    )  # fmt: skip
    return line.alias("line"), F.lit(None).cast("int").alias("neighbors")


def write(rows: "DataFrame", layout: Layout) -> None:
    """Write the files of `lines`, on the executors; those without a line here."""
    (layout.folder / NOTES).mkdir(parents=True, exist_ok=True)
    for path in layout.folder.iterdir():
        # What an export was writing when it was killed.
        if path.name.startswith("."):
            path.unlink(missing_ok=True)

    def task(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        write_parts(batches, layout)
        yield from ()

    # One partition a task, no rows: what was written is in the notes.
    rows.mapInArrow(task, "part int").collect()
    for part in layout.missing():
        _write_file(layout, part, iter(()))


_Piece = tuple[int, list[str], np.ndarray]


def write_parts(batches: "Iterator[pa.RecordBatch]", layout: Layout) -> None:
    """Write the files of rows of `lines`, which come file by file."""
    for part, own in groupby(_pieces(batches), itemgetter(0)):
        _write_file(layout, part, own)


def _pieces(batches: "Iterator[pa.RecordBatch]") -> Iterator[_Piece]:
    for batch in batches:
        parts = batch.column("part").to_numpy()
        lines = batch.column("line").to_pylist()
        counts = batch.column("neighbors").fill_null(-1).to_numpy()
        cuts = np.flatnonzero(np.diff(parts)) + 1
        for start, end in zip([0, *cuts], [*cuts, len(parts)], strict=True):
            if end > start:
                yield int(parts[start]), lines[start:end], counts[start:end]


def _write_file(layout: Layout, part: int, rows: Iterator[_Piece]) -> None:
    """Write a file whole, then note what it holds."""
    name = layout.name(part)
    items = quarantined = neighbors = 0
    with _whole(layout.folder / name) as path, Path(path).open("wb") as raw:
        hashed = _Hashed(raw)
        with _packed(hashed, layout) as file:
            for _, lines, counts in rows:
                file.write("".join(f"{line}\n" for line in lines).encode())
                of_items = counts[counts >= 0]
                items += len(of_items)
                quarantined += len(counts) - len(of_items)
                neighbors += int(of_items.sum())
    note = {"items": items, "quarantined": quarantined, "neighbors": neighbors}
    sums = {"bytes": hashed.bytes, "sha256": hashed.sum.hexdigest()}
    write_json(layout.note(part), {"name": name, **note, **sums})


class _Hashed(io.RawIOBase):
    """A file that knows what was written to it."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self.sum, self.bytes = raw, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:  # noqa: ANN401 - whatever is a buffer
        self.sum.update(content)
        self.bytes += len(content)
        return self._raw.write(content)


@contextmanager
def _packed(file: _Hashed, layout: Layout) -> Iterator[Any]:
    if not layout.gzip:
        yield file
        return
    # Neither name nor time: the same lines make the same file.
    with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        yield packed


@contextmanager
def _whole(where: StoragePath) -> Iterator[str]:
    """A path to write a file to, which has its own name when the block ends without an error."""
    if not isinstance(where, Path):
        with staged_file(where) as path:
            yield path
        return
    beside = where.with_name(f".{where.name}.{owner_tag()}")
    try:
        yield str(beside)
        beside.replace(where)
    finally:
        beside.unlink(missing_ok=True)
