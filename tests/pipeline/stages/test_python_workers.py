"""A Spark task never holds two Python workers, each with a model or a tokenizer of its own."""

import re
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from models import fasttext, ship
from models.resident import LoadCounter
from pipeline.retrieval.vectors import to_bytes
from pipeline.stages import embed, neighbors, tokenize
from pipeline.text.tokenize import TextSettings
from tests.models.fasttext.files import Bin


def python_steps(frame: DataFrame) -> int:
    """How many steps of the physical plan run in a Python worker."""
    plan = frame._jdf.queryExecution().sparkPlan().toString()
    return len(re.findall(r"^[^\n]*?\b(?:ArrowEvalPython|BatchEvalPython|MapIn\w+)", plan, re.M))


@pytest.fixture
def items(spark: SparkSession) -> DataFrame:
    schema = "item_id string, title string, description string"
    return spark.createDataFrame([("a", "赤い靴", "軽い"), ("b", "青い靴", None)], schema)


def test_tokenize_has_one(items: DataFrame) -> None:
    tokens = tokenize.tokenize(items, TextSettings())
    assert python_steps(tokens) == 1
    assert [row.title_tokens for row in tokens.collect()] == [["赤い", "靴"], ["青い", "靴"]]


def test_embed_has_one(spark: SparkSession, items: DataFrame, tmp_path: Path) -> None:
    packed = fasttext.pack(Bin().write(tmp_path / "model.bin"), tmp_path / "packed")
    handle = ship(spark.sparkContext, packed, kind="fasttext")
    texts = items.selectExpr("item_id", "array(title) as texts")
    vectors = embed.embed(texts, handle, LoadCounter(spark.sparkContext))
    assert python_steps(vectors) == 1
    expected = fasttext.load(packed).embed([["赤い靴"], ["青い靴"]]).astype(np.float16)
    assert np.array_equal(np.array([row.vector for row in vectors.collect()]), expected)


def test_neighbors_has_one(spark: SparkSession) -> None:
    halves = to_bytes(np.eye(2, dtype=np.float32))
    rows = [(item, 0, [0], bytearray(half)) for item, half in zip("ab", halves, strict=True)]
    lists = spark.createDataFrame(
        rows, "item_id string, list int, probes array<int>, vector binary"
    )
    found = neighbors.search(lists, 3, 2)
    assert python_steps(found) == 1
    assert {row.item_id: row.neighbors[0].similar_id for row in found.collect()} == {
        "a": "b",
        "b": "a",
    }
