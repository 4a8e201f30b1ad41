"""Values formatted without Spark, compared with Spark's own."""

import random

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline import catalogue
from pipeline.query import conditions
from pipeline.query.spark_format import cast_to_string, is_blank, struct_to_json, xxhash64
from pipeline.store.schemas import ITEMS, spark_types


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


@pytest.mark.parametrize(
    "condition",
    [
        "stock > 0",
        "brand <> 'a' and price between 10 and 20",
        "category in ('靴', '鞄') or brand is null",
        "title like '%A_c%'",
        "lower(brand) = 'é'",
        "price / 4 > 3 or not (stock = 0)",
        'brand == "a"',
    ],
)
def test_conditions_hold_for_the_items_that_spark_selects(
    spark: SparkSession, condition: str
) -> None:
    rng = random.Random(2)  # noqa: S311 - test data
    choices: dict[str, list[str | float | None]] = {
        "title": ["xAbc", "xabc", "", None],
        "category": ["靴", "皿", None],
        "brand": ["a", "É", None],
        "price": [10.0, 15.5, 21.0, None],
        "stock": [0.0, 3.0, None],
    }
    items = [{name: rng.choice(values) for name, values in choices.items()} for _ in range(60)]
    schema = ", ".join(f"{name} {spark_types(ITEMS)[name]}" for name in choices)
    rows = [tuple(item[name] for name in choices) for item in items]
    frame = spark.createDataFrame(rows, schema).coalesce(1)
    holds = F.coalesce(F.expr(condition), F.lit(False))
    expected = [row[0] for row in frame.select(holds).collect()]
    assert conditions.evaluate(condition, items) == expected
    assert len(set(expected)) == 2


def test_a_condition_that_sqlite_can_not_parse_is_not_evaluated() -> None:
    assert conditions.evaluate("title rlike 'a.*'", [{"title": "a"}]) is None
