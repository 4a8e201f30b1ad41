"""Values formatted without Spark, compared with Spark's own."""

import random

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline import catalogue
from pipeline.query.spark_format import cast_to_string, is_blank, struct_to_json, xxhash64


def texts() -> list[str]:
    rng = random.Random(1)  # noqa: S311 - test data
    alphabet = 'aZ9 　\t\n\x1c\x85\u00a0あ漢😀"\\/\x00\x7f-é'
    return ["", *("".join(rng.choices(alphabet, k=size)) for size in range(90))]


def test_hashes_json_and_blanks_are_spark_s(spark: SparkSession) -> None:
    numbers = [0.0, -0.0, 2980.0, 0.1, 1e7, 12345678.5, 1.5e-4, -3.25, 1e22, 123456.789, 0.001]
    rows = [(text, numbers[n % len(numbers)]) for n, text in enumerate(texts())]
    rows += [("ａ", None), (None, 1.0)]  # type: ignore[list-item]
    frame = spark.createDataFrame(rows, "text string, number double")
    formatted = frame.select(
        "text",
        "number",
        F.xxhash64("text").alias("hash"),
        F.to_json(F.struct("text", "number")).alias("json"),
        catalogue.is_blank(F.col("text")).alias("blank"),
        F.col("number").cast("string").alias("cast"),
    ).collect()
    assert len(formatted) == len(rows)
    for row in formatted:
        text, number = row["text"], row["number"]
        if text is not None:
            assert xxhash64(text) == row["hash"]
        assert struct_to_json([("text", text), ("number", number)]) == row["json"]
        assert is_blank(text) == row["blank"]
        assert cast_to_string(number) == row["cast"]
