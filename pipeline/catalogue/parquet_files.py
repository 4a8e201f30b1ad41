"""Reading Parquet: files whose types differ, and types that Spark can't read."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.catalogue.files import (
    Source,
    list_files,
    partition_columns,
    spark_options,
    spark_paths,
)
from pipeline.errors import InputError
from pipeline.storage.paths import StoragePath, arrow_path

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import DataType, StructType

# Spark's errors about files with other types, and about types that it does not know.
_MERGE = ("CANNOT_MERGE_INCOMPATIBLE_DATA_TYPE", "CANNOT_MERGE_SCHEMA")
_TYPE = ("PARQUET_TYPE_ILLEGAL", "UNSUPPORTED_TIME_TYPE")
_Footers = list[tuple[StoragePath, pa.Schema]]


def read_parquet(spark: "SparkSession", source: Source) -> "DataFrame":
    """The rows of the files; UUIDs as text, without columns of other types that Spark can't read.

    Raises:
        InputError: files differ in the type of a column, or an item's column can't be read.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    paths = spark_paths(source)
    reader = spark.read.options(mergeSchema="true", **spark_options(source))
    try:
        frame = reader.parquet(*paths)
    except (PySparkException, Py4JJavaError) as error:
        if any(code in str(error) for code in _MERGE):
            _refuse_other_types(_footers(source), source)
            raise
        if not any(code in str(error) for code in _TYPE):
            raise
        return _read_known_types(spark, source)
    partitions = partition_columns(source)
    if not partitions:
        return frame
    return reader.schema(with_texts(frame.schema, partitions)).parquet(*paths)


def with_texts(schema: "StructType", names: list[str]) -> "StructType":
    """A schema in which these columns are strings."""
    from pyspark.sql.types import StringType, StructField, StructType

    fields = [field for field in schema.fields if field.name not in names]
    return StructType(fields + [StructField(name, StringType()) for name in names])


def _read_known_types(spark: "SparkSession", source: Source) -> "DataFrame":
    """The columns whose types Spark knows, and UUIDs.

    Raises:
        InputError: an item's column is of another type.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import StructType

    footers = _footers(source)
    _refuse_other_types(footers, source)
    types: dict[str, pa.DataType] = {}
    for _, footer in footers:
        types |= dict(zip(footer.names, footer.types, strict=True))
    schema, uuids, unknown = StructType(), [], []
    for name, arrow_type in types.items():
        spark_type = _spark_type(arrow_type)
        if spark_type is None:
            unknown.append(name)
            continue
        schema = schema.add(name, spark_type)
        if isinstance(arrow_type, pa.UuidType):
            uuids.append(name)
    _refuse_unknown_types(unknown, types, source)
    reader = spark.read.options(**spark_options(source))
    frame = reader.schema(with_texts(schema, partition_columns(source))).parquet(
        *spark_paths(source)
    )
    quoted = {name: F.col(f"`{name.replace('`', '``')}`") for name in frame.columns}
    return frame.select(
        *(_uuid_text(c).alias(name) if name in uuids else c for name, c in quoted.items())
    )


def _uuid_text(column: "Column") -> "Column":
    from pyspark.sql import functions as F

    text = F.lower(F.hex(column))
    return F.regexp_replace(text, "^(.{8})(.{4})(.{4})(.{4})(.{12})$", "$1-$2-$3-$4-$5")


def _spark_type(arrow_type: pa.DataType) -> "DataType | None":
    """The type with which Spark reads a column; None for columns that are left out."""
    from pyspark.errors import PySparkException
    from pyspark.sql import types as T
    from pyspark.sql.pandas.types import from_arrow_type

    unsigned = {
        pa.uint8(): T.ShortType(),
        pa.uint16(): T.IntegerType(),
        pa.uint32(): T.LongType(),
        pa.uint64(): T.DecimalType(20, 0),
    }
    if arrow_type in unsigned:
        return unsigned[arrow_type]
    if isinstance(arrow_type, pa.UuidType) or pa.types.is_fixed_size_binary(arrow_type):
        return T.BinaryType()
    is_other = pa.types.is_time(arrow_type) or pa.types.is_float16(arrow_type)
    # Lists and structs can hold any of these.
    if is_other or pa.types.is_timestamp(arrow_type) or pa.types.is_struct(arrow_type):
        return None
    if pa.types.is_list(arrow_type):
        element = _spark_type(arrow_type.value_type)
        return T.ArrayType(element) if element else None
    try:
        return from_arrow_type(arrow_type)
    except PySparkException:
        return None


def _refuse_unknown_types(
    unknown: list[str], types: dict[str, pa.DataType], source: Source
) -> None:
    used = {source.source_name(name): name for name in source.item_columns}
    problems = [
        f"column {name} (for {used[name]}): {types[name]}" for name in unknown if name in used
    ]
    if problems:
        raise InputError(
            f"catalogue.path {source.path}: {'; '.join(problems)}, which can't be read; write it "
            'as text, or leave an optional column out: [catalogue] columns = { description = "" }'
        )


def _footers(source: Source) -> _Footers:
    """The schemas of the files, read on the driver: only when Spark refuses to merge them."""
    import pyarrow.parquet as pq

    footers = []
    for file in list_files(source):
        system, path = arrow_path(file)
        with pq.ParquetFile(path, filesystem=system) as parquet:
            footers.append((file, parquet.schema.to_arrow_schema()))
    return footers


def _refuse_other_types(footers: _Footers, source: Source) -> None:
    """Raise InputError if a column has two types; names the column and the files."""
    differences = list(_differences(footers))
    if differences:
        more = f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""
        raise InputError(
            f"catalogue.path {source.path}: {differences[0]}{more}; write all files with the same "
            "types"
        )


def _differences(footers: _Footers) -> Iterator[str]:
    first: dict[str, tuple[StoragePath, pa.DataType]] = {}
    for file, footer in footers:
        for name, arrow_type in zip(footer.names, footer.types, strict=True):
            other, other_type = first.setdefault(name, (file, arrow_type))
            if arrow_type != other_type:
                yield f"column {name} is {other_type} in {other}, and {arrow_type} in {file}"
