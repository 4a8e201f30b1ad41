"""Conditions: Spark and the engine without it agree, and what the grammar lacks is refused."""

import random

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipeline.conditions import ConditionError, parse
from pipeline.conditions.batches import Items
from pipeline.conditions.evaluation import value_of
from pipeline.conditions.nodes import COLUMNS, Type
from pipeline.conditions.spark_columns import column
from pipeline.store.schemas import ITEMS, spark_types
from tests.pipeline.conditions import random_conditions
from tests.pipeline.conditions.random_conditions import NUMBER_COLUMNS, TEXT_COLUMNS, Conditions

COUNT, ROWS = 100, 60


def test_the_columns_are_those_of_the_items_table() -> None:
    names = {"string": Type.TEXT, "double": Type.NUMBER}
    assert {name: names[kind] for name, kind in spark_types(ITEMS).items()} == COLUMNS


def test_both_engines_and_spark_s_own_reading_of_the_text_agree(spark: SparkSession) -> None:
    rng = random.Random(18)  # noqa: S311 - test data
    conditions = [Conditions(rng).condition(depth=2) for _ in range(COUNT)]
    functions = ("lower", "upper", "trim", "ltrim", "rtrim")
    conditions += [f"length({name}(title)) = {size}" for name in functions for size in range(5)]
    items = random_conditions.items(rng, ROWS)
    parsed = [parse(condition) for condition in conditions]
    expected = [[value_of(node, item) for node in parsed] for item in items]
    session = spark.newSession()
    kinds = dict.fromkeys(TEXT_COLUMNS, "string") | dict.fromkeys(NUMBER_COLUMNS, "double")
    schema = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    rows = [tuple(item[name] for name in kinds) for item in items]
    for is_ansi in (True, False):
        session.conf.set("spark.sql.ansi.enabled", is_ansi)
        frame = session.createDataFrame(rows, schema).coalesce(1)
        # Spark's own reading fails in ANSI mode: one division by zero ends the job.
        columns = [column(node) for node in parsed] if is_ansi else map(F.expr, conditions)
        selected = frame.select(*[one.alias(f"c{n}") for n, one in enumerate(columns)]).collect()
        for item, values, row in zip(items, expected, selected, strict=True):
            differing = [
                (condition, item, value, other)
                for condition, value, other in zip(conditions, values, row, strict=True)
                if value is not other
            ]
            assert not differing
    results = {value for values in expected for value in values}
    assert results == {True, False, None}


def test_a_batch_has_the_results_of_one_item_at_a_time() -> None:
    rng = random.Random(19)  # noqa: S311 - test data
    items = random_conditions.items(rng, 300)
    kinds = dict.fromkeys(TEXT_COLUMNS, pa.string()) | dict.fromkeys(NUMBER_COLUMNS, pa.float64())
    batch = Items(pa.RecordBatch.from_pylist(items, pa.schema(list(kinds.items()))))
    none = Items(pa.RecordBatch.from_pylist([], pa.schema(list(kinds.items()))))
    for condition in [*(Conditions(rng).condition() for _ in range(150)), "1 = 1"]:
        node = parse(condition)
        expected = [value_of(node, item) for item in items]
        assert batch.truth(node).to_pylist() == expected, condition
        assert batch.holds(node).tolist() == [value is True for value in expected]
        assert none.truth(node).to_pylist() == []


EDGES = {
    "price / 0 > 1": None,
    "stock % 0 = 0": None,
    "cast(title as double) = 12": True,
    "cast(brand as double) is null": True,
    "price in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)": True,
    "price = '-0'": True,
    "price not in (5, null)": None,
    "null = price": None,
    "not null": None,
    "title like '%2 '": True,
    "title = '12'": False,
    "round(2.5) = 3 and round(-2.5) = -3": True,
    "category = 'it''s' or category = 'its'": None,
    """concat('it''s', '') = "it's" and concat('''', '') = "'" """: True,
    "if(category is null, 'a', 'b') = 'a'": True,
    "lower(null) is null and abs(null) is null and (null and true) is null": True,
}


def test_nothing_that_an_item_holds_fails_a_condition(spark: SparkSession) -> None:
    item = {"title": " 12 ", "brand": "12x", "category": None, "price": -0.0, "stock": 3.0}
    assert {text: value_of(parse(text), item) for text in EDGES} == EDGES
    session = spark.newSession()
    session.conf.set("spark.sql.ansi.enabled", True)
    schema = "title string, brand string, category string, price double, stock double"
    frame = session.createDataFrame([tuple(item.values())], schema)
    row = frame.select(*[column(parse(text)).alias(text) for text in EDGES]).first()
    assert row is not None
    assert row.asDict() == EDGES


REFUSED = {
    "reflect('java.lang.System', 'exit', 0) is null": "reflect",
    "java_method('java.lang.Runtime', 'x') = 'a'": "java_method",
    "try_reflect('a', 'b') = 'x'": "try_reflect",
    "my_udf(title) = 'a'": "my_udf",
    "price in (select 1)": "IN takes a list",
    "exists (select 1)": "not allowed",
    "price > (select max(price) from items)": "not allowed",
    "row_number() over (order by price) < 3": "not allowed",
    "exists(array(1), x -> x > 0)": "not allowed",
    "*": "not allowed",
    "price > 1; drop table items": "not allowed",
    "price > 1;": "not allowed, at ';'",
    "price > 1 -- and stock > 0": "a comment is not allowed, at '-- and stock > 0'",
    "--price > 1": "a comment",
    "price > 1 /* and stock > 0 */ or stock > 1": "a comment",
    "/*+ hint */ price > 1": "not allowed",
    "rand() < 0.5": "not allowed",
    "current_date() > '2020-01-01'": "not allowed",
    "title rlike '(a+)+'": "not allowed",
    "input_file_name() = 'x'": "input_file_name",
    "price": "this is a number, where true or false is needed",
    "stok > 0": "stok is no column",
    "Stock > 0": "Stock is no column",
    "items.stock > 0": "is no column",
    "category > 5": "write a text as '5'",
    "(price > 1) < (stock > 1)": "does not compare true and false",
    "cast(title as date) > 'x'": "CAST(... AS DOUBLE)",
    "title like brand": "pattern",
    "title like 'a\\\\x'": "stands before",
    "title = 'a\\x41'": "backslash",
    "price > 1e999": "too large",
    "price >": "missing",
    "title = 'a": "title",
    "  ": "parsed",
    "(" * 200 + "price > 1" + ")" * 200: "nested too deeply",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_the_grammar_lacks_is_refused(text: str) -> None:
    with pytest.raises(ConditionError) as refused:
        parse(text)
    message = str(refused.value)
    assert REFUSED[text] in message
    assert message.startswith("not a condition: ")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("title rlike 'a'", "a condition holds columns, numbers, 'texts'"),
        ("my_udf(title) = 'a'", "the functions abs, coalesce"),
        ("brand = 山田", "the columns are item_id, title"),
        ("price > ", "written like this: stock > 0 AND brand = 'A'"),
        ("price", "written like this: stock > 0 AND brand = 'A'"),
        ("category > 5", "written like this: stock > 0 AND brand = 'A'"),
    ],
)
def test_the_message_ends_with_what_helps_against_this_mistake(text: str, hint: str) -> None:
    with pytest.raises(ConditionError) as refused:
        parse(text)
    problem, _, help_ = str(refused.value).partition("; ")
    assert hint in help_
    assert hint not in problem


def test_a_place_is_where_the_refused_part_begins() -> None:
    with pytest.raises(ConditionError, match=r"at 'reflect\(title\)'"):
        parse("price > 1 and not reflect(title)")


def test_a_long_chain_is_no_deep_tree() -> None:
    chain = parse(" or ".join(f"item_id = '{n}'" for n in range(2000)))
    assert value_of(chain, {"item_id": "1999"}) is True
