"""Layers: how the files of a version make up its rows.

Layer 0 has files of rows. A night that writes only what changed adds a layer: files with rows that
were added or changed, and files of removals, which name the items whose rows in earlier layers are
not valid any more. So a row is valid if no later layer removes its item.

Files of a layer lie in the folder `_changes` of the version that they were written for. A Parquet
reader that is pointed at the folder of a version with layers would read a part of the table. So a
file lies there that is no Parquet file: the reader fails, and its error names the file.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.storage.files import write_atomic
from pipeline.storage.paths import StoragePath, arrow_path, spark_path
from pipeline.store import file_list, schemas
from pipeline.store.file_list import File, FileList

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem
    from pyspark.sql import DataFrame, SparkSession

# The folder of the files of a layer, in the folder of the version.
CHANGES = "_changes"
_GUARD = "has-layers-read-it-with-nitamono.parquet"
_GUARD_TEXT = (
    "The rows of this version of the table are in layers, some of them in other folders. Read it "
    "with pipeline.api.table, which gives a Spark DataFrame. docs/store.md says more.\n"
)
_ID = "item_id"
# If the rows and removals of the layers are more than this share of the rows of layer 0, the next
# version is written whole. With 2.5% a night that is every twentieth night: 7.5% of the bytes a
# night in the mean. Reading costs more then, see benchmarks/README.md.
MAX_CHANGED_SHARE = 0.5


@dataclass(frozen=True)
class Layer:
    """The files of a layer, as paths in the table's folder.

    Attributes:
        rows: files of rows, by name.
        removals: files of removals, by name.
    """

    rows: tuple[str, ...]
    removals: tuple[str, ...]


@dataclass(frozen=True)
class VersionFiles:
    """The files of a version, layer by layer.

    Attributes:
        folder: the folder of the version.
        layers: its layers, at least one.
    """

    folder: StoragePath
    layers: tuple[Layer, ...]

    @property
    def arrow(self) -> "tuple[FileSystem, str]":
        """The file system, and the folder of the table in it."""
        return arrow_path(self.folder.parent)

    def spark_paths(self, files: tuple[str, ...]) -> list[str]:
        """Files as Spark's readers take them."""
        return [spark_path(self.folder.parent / name) for name in files]


def removal_schema(table: str) -> pa.Schema:
    """The columns of a table's removals: item_id; of a clustered table `list` too."""
    names = [_ID, "list"] if table in schemas.CLUSTERED else [_ID]
    return pa.schema([schemas.SCHEMAS[table].field(name) for name in names])


def version_files(folder: StoragePath, files: FileList) -> VersionFiles:
    """The files of a version, layer by layer."""
    layers: dict[int, tuple[list[str], list[str]]] = {0: ([], [])}
    for file in files.files:
        layers.setdefault(file.layer, ([], []))[file.removes].append(file.place(folder))
    ordered = (layers[number] for number in sorted(layers))
    return VersionFiles(folder, tuple(Layer(tuple(r), tuple(removed)) for r, removed in ordered))


def shared_files(base: StoragePath) -> list[File]:
    """The files of a version, as the list of another version of the table has them.

    Args:
        base: the folder of the version whose files they are.
    """
    listed = file_list.read(base)
    assert listed is not None  # noqa: S101 - can_add_layer has checked it
    return [replace(file, folder=file.folder or base.name) for file in listed.files]


def write_guard(folder: StoragePath) -> None:
    """Make Parquet readers fail that are pointed at the folder of a version with layers."""
    write_atomic(folder / _GUARD, _GUARD_TEXT.encode())


def row_count(files: Iterable[File]) -> int:
    """How many valid rows files have: each removal is of one row."""
    return sum(-file.rows if file.removes else file.rows for file in files)


def can_add(files: FileList, rows: int) -> bool:
    """Whether another layer costs readers less than writing the table whole costs the night.

    Args:
        files: of the version that the layer is added to.
        rows: how many rows and removals the layer has.
    """
    if any(file.rows < 0 for file in files.files):  # an earlier release wrote it
        return False
    base = sum(file.rows for file in files.files if not file.layer)
    changed = sum(file.rows for file in files.files if file.layer)
    return changed + rows <= MAX_CHANGED_SHARE * base


def _read(
    spark: "SparkSession", files: VersionFiles, names: tuple[str, ...], schema: pa.Schema
) -> "DataFrame":
    """Files of a layer; none if it has none."""
    reader = spark.read.schema(schemas.ddl(schema))
    if not names:
        return spark.createDataFrame([], schemas.ddl(schema))
    return reader.parquet(*files.spark_paths(names))


def read_frame(spark: "SparkSession", files: VersionFiles, schema: pa.Schema) -> "DataFrame":
    """The valid rows of a version with layers.

    Args:
        spark: the session.
        files: of the version.
        schema: of its rows.
    """
    from pyspark.sql import functions as F

    numbered = dict(enumerate(files.layers))
    ids = pa.schema([schema.field(_ID)])
    first = _read(spark, files, numbered.pop(0).rows, schema).withColumn("layer", F.lit(0))
    rows, removals = (
        {name: n for n, layer in numbered.items() for name in getattr(layer, kind)}
        for kind in ("rows", "removals")
    )
    frame = first.unionAll(_read_layers(spark, files, rows, schema, "layer")) if rows else first
    if removals:
        removed = _read_layers(spark, files, removals, ids, "removed_in")
        removed = removed.withColumnRenamed(_ID, "removed")
        is_later = F.col("layer") < F.col("removed_in")
        frame = frame.join(removed, (F.col(_ID) == F.col("removed")) & is_later, how="left_anti")
    return frame.select(*schema.names)


def newest_rows(rows: pa.Table) -> pa.Table:
    """The valid ones among all rows of items that a version has: those of the last layers.

    Args:
        rows: with the column `layer`, which the result lacks.
    """
    layer = rows["layer"].to_numpy()
    ordered = rows.take(pa.array(np.argsort(-layer, kind="stable")))
    ids = ordered[_ID].combine_chunks()
    # The first place of each id.
    is_first = np.equal(pc.index_in(ids, ids).to_numpy(), np.arange(len(ids)))
    return ordered.filter(pa.array(is_first)).drop_columns("layer")


def _read_layers(
    spark: "SparkSession",
    files: VersionFiles,
    layer_of: dict[str, int],
    schema: pa.Schema,
    column: str,
) -> "DataFrame":
    """Files of several layers in one scan: its cost does not grow with the number of layers.

    Args:
        spark: the session.
        files: of the version.
        layer_of: the layer of each file.
        schema: of the files.
        column: the name of a column that gets the layer of each row.
    """
    from pyspark.sql import functions as F

    # The files' names are unique.
    by_name = [
        F.lit(value)
        for name, number in layer_of.items()
        for value in (name.rpartition("/")[2], number)
    ]
    frame = _read(spark, files, tuple(layer_of), schema)
    return frame.withColumn(column, F.create_map(*by_name)[F.col("_metadata.file_name")])


def read_own_rows(
    spark: "SparkSession", files: VersionFiles, listed: FileList, schema: pa.Schema
) -> "DataFrame":
    """The rows that a version has added to the version that it was built on.

    Args:
        spark: the session.
        files: of the version.
        listed: its list of files.
        schema: of its rows.
    """
    own = (file for file in listed.files if not file.folder and not file.removes)
    names = tuple(file.place(files.folder) for file in own)
    return _read(spark, files, names, schema)


def list_sizes(spark: "SparkSession", table: str, files: VersionFiles) -> "DataFrame":
    """How many valid rows of a clustered table each list has: list int, count long."""
    from pyspark.sql import functions as F

    number = pa.schema([schemas.SCHEMAS[table].field("list")])
    rows = tuple(name for layer in files.layers for name in layer.rows)
    removals = tuple(name for layer in files.layers for name in layer.removals)
    signed = _read(spark, files, rows, number).withColumn("n", F.lit(1))
    if removals:
        removed = _read(spark, files, removals, number)
        signed = signed.unionAll(removed.withColumn("n", F.lit(-1)))
    return signed.groupBy("list").agg(F.sum("n").alias("count"))
