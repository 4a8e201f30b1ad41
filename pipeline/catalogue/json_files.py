"""Reading JSON Lines: one object a line, or an array of objects; every odd line is set aside."""

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.catalogue.files import (
    CORRUPT,
    CORRUPT_REASON,
    Source,
    list_files,
    partition_columns,
    spark_options,
    spark_paths,
)
from pipeline.catalogue.text_files import check_encoding, is_utf16, utf16_of
from pipeline.config.encodings import java_encoding, python_encoding
from pipeline.errors import InputError
from pipeline.store.reason_codes import (
    DUPLICATE_KEY,
    QUARANTINE,
    SEVERAL_OBJECTS,
    UNREADABLE_ROW,
)

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import DataType, StructType

_LINE = "_nitamono_line"
_MAX_INT = 2**31 - 1


def read_jsonl(spark: "SparkSession", source: Source) -> "DataFrame":
    """The objects of the lines, numbers and truth values as text.

    Spark's own reader drops what follows the first object of a line, and refuses the files if one
    line has a key twice; so lines are read as text, and those that it would misread are set aside.

    Raises:
        InputError: no line can be read, or the encoding is another.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.types import ArrayType, IntegerType, StructType

    lines = _with_objects(_lines(spark, source))
    schema, strict = _schema(lines)
    if not schema.fields:
        _check_no_lines(lines, source)
        return spark.createDataFrame([], StructType())
    # Spark's parser stops after the first value: the whole line was parsed if `end` comes out.
    wrapped = F.concat(F.lit('{"objects":'), F.col("objects"), F.lit(',"end":1}'))
    whole = StructType().add("objects", ArrayType(schema)).add("end", IntegerType())
    parsed = lines.withColumn("parsed", F.from_json(wrapped, whole))
    is_good = F.col("parsed.end").isNotNull()
    if strict:
        is_good &= _has_keys_once()
    partitions = partition_columns(source)
    names = [name for name in schema.names if name not in partitions]
    folders = [F.col(f"`{name}`") for name in partitions]
    line, objects = F.col(_LINE), F.explode_outer(F.when(is_good, F.col("parsed.objects")))
    rows = parsed.select(objects.alias("row"), line, "objects", *folders)
    is_bad = F.col("row").isNull()
    return rows.select(
        *(F.col("row").getField(name).alias(name) for name in names),
        *folders,
        F.when(is_bad, line).alias(CORRUPT),
        F.when(is_bad, _reason()).alias(CORRUPT_REASON),
    )


def _with_objects(lines: "DataFrame") -> "DataFrame":
    """The lines that hold anything, and `objects`: each as the text of a JSON array."""
    from pyspark.sql import functions as F

    line = F.col(_LINE)
    # The brackets of an array over many lines, one object a line, are no rows.
    lines = lines.where(~F.trim(line, F.lit(" \t\r")).isin("", "[", "]"))
    in_brackets = F.concat(F.lit("["), line, F.lit("]"))
    bare = F.regexp_replace(line, r",\s*\z", "")
    other = F.when(bare.rlike(r"\A\s*\["), bare).otherwise(F.concat(F.lit("["), bare, F.lit("]")))
    # Nearly all lines are like this, and regular expressions take time.
    is_plain = line.startswith("{") & line.endswith("}")
    return lines.withColumn("objects", F.when(is_plain, in_brackets).otherwise(other))


def _schema(lines: "DataFrame") -> "tuple[StructType, bool]":
    """The schema of the objects, and whether some of them have a key twice."""
    schema = _inferred_schema(lines)
    if not _has_name_twice(schema):
        return schema, False
    return _inferred_schema(lines.where(_has_keys_once())), True


def _inferred_schema(lines: "DataFrame") -> "StructType":
    """The schema of the objects, as Spark infers it."""
    from pyspark.sql.types import StructType

    spark, texts = lines.sparkSession, lines.select("objects")._jdf
    jvm: Any = spark._jvm
    # PySpark 4.1 has no public way to give the reader a frame of texts, as the JVM's reader takes.
    strings = getattr(texts, "as")(jvm.org.apache.spark.sql.Encoders.STRING())
    options = {"primitivesAsString": "true", "mode": "DROPMALFORMED"}
    schema = spark.read.options(**options)._jreader.json(strings).schema()
    return StructType.fromJson(json.loads(schema.json()))


def _has_name_twice(spark_type: "DataType") -> bool:
    """Whether a struct in this type has two fields of one name, as Spark infers of a key twice."""
    from pyspark.sql.types import ArrayType, StructType

    if isinstance(spark_type, ArrayType):
        return _has_name_twice(spark_type.elementType)
    if not isinstance(spark_type, StructType):
        return False
    names = spark_type.names
    inner = (field.dataType for field in spark_type.fields)
    return len(names) != len(set(names)) or any(map(_has_name_twice, inner))


def _has_keys_once() -> "Column":
    """Whether no object of a line has a key twice, at whatever depth."""
    from pyspark.sql import functions as F

    return F.try_parse_json("objects").isNotNull()


def _reason() -> "Column":
    """Why a line can't be read."""
    from pyspark.sql import functions as F

    def has_key_twice(keys_and_values: "Column") -> "Column":
        keys = F.map_keys(keys_and_values)
        return F.size(keys) != F.size(F.array_distinct(keys))

    objects = F.from_json("objects", "array<map<string, string>>")
    return (
        F.when(F.exists(objects, has_key_twice), F.lit(DUPLICATE_KEY))
        .when(F.col(_LINE).rlike(r"\}\s*\{"), F.lit(SEVERAL_OBJECTS))
        .otherwise(F.lit(UNREADABLE_ROW))
    )


def _lines(spark: "SparkSession", source: Source) -> "DataFrame":
    """The lines of the files, decoded, and the columns that are folders."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import StringType, StructType

    files = list_files(source)
    for file in files:
        check_encoding(file, source)
    encoding = python_encoding(source.encoding)
    options = spark_options(source)
    if is_utf16(source):
        encoding = utf16_of(files[0], source)
        options |= {"lineSep": "\n", "encoding": java_encoding(encoding)}
    schema = StructType()
    for name in [_LINE, *partition_columns(source)]:
        schema = schema.add(name, StringType())
    lines = spark.read.options(**options).schema(schema).text(spark_paths(source))
    text = lines.withColumn(_LINE, _decoded(F.col(_LINE), encoding))
    line = F.col(_LINE)
    has_mark = line.startswith("\ufeff")
    return text.withColumn(_LINE, F.when(has_mark, F.substring(line, 2, _MAX_INT)).otherwise(line))


def _decoded(line: "Column", encoding: str) -> "Column":
    """Text of the bytes of a line; those that the encoding does not have become U+FFFD."""
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.functions import arrow_udf

    if encoding in ("utf-8", "utf-8-sig", "ascii"):
        return F.make_valid_utf8(line)
    # Spark's types ask for a third argument, which has a default.
    decode = arrow_udf(_decode, "string")  # type: ignore[call-overload]
    text: Column = decode(line.cast("binary"), F.lit(encoding))
    return text


def _decode(lines: pa.Array, encodings: pa.Array) -> pa.Array:
    texts = (
        line if line is None else line.decode(encoding, "replace")
        for line, encoding in zip(lines.to_pylist(), encodings.to_pylist(), strict=True)
    )
    return pa.array(texts, pa.string())


def _check_no_lines(lines: "DataFrame", source: Source) -> None:
    """Check that there is no line: none could be read.

    Raises:
        InputError: there are lines; with their number, reasons and remedies.
    """
    from pyspark.sql import functions as F

    garbled = F.count_if(F.col(_LINE).rlike("[\ufffd\u0000]")).alias("garbled")
    reasons = lines.groupBy(_reason().alias("reason"))
    counts = reasons.agg(F.count("*").alias("lines"), garbled).collect()
    if not counts:
        return
    described = ", ".join(
        f"{row['lines']:,}: {QUARANTINE[row['reason']].en}" for row in sorted(counts)
    )
    remedy = "JSON Lines has one object a line"
    if any(row["garbled"] for row in counts):
        remedy = f"the files are not {source.encoding}: set catalogue.encoding"
    raise InputError(
        f"catalogue.path {source.path}: no line can be read as JSON Lines ({described}); {remedy}"
    )
