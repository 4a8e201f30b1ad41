"""A Spark task never holds two Python workers, each with a model or a tokenizer of its own."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from models import fasttext, ship
from models.resident import LoadCounter
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.rules import NO_RULES
from pipeline.retrieval.vectors import to_bytes
from pipeline.stages.embed import stage as embed
from pipeline.stages.neighbors.search import ListSearch, ProbedLists, SearchCounts
from pipeline.stages.tokenize import stage as tokenize
from pipeline.storage.list_schemas import NEIGHBORS
from pipeline.store.arrow_files import Rows
from pipeline.store.clustered import open_clustered
from pipeline.store.layers import Layer, VersionFiles
from pipeline.store.schemas import ddl
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
    tokens = tokenize.tokenize(items, TextSettings()).table("tokens")
    assert python_steps(tokens) == 1
    assert [row.title_tokens for row in tokens.collect()] == ["赤い 靴", "青い 靴"]


def test_embed_has_one(spark: SparkSession, items: DataFrame, tmp_path: Path) -> None:
    packed = fasttext.pack(Bin().write(tmp_path / "model.bin"), tmp_path / "packed")
    handle = ship(spark.sparkContext, packed, kind="fasttext")
    texts = items.selectExpr("item_id", "title as texts")
    vectors = embed.embed_rows(texts, handle, LoadCounter(spark.sparkContext)).table("embeddings")
    assert python_steps(vectors) == 1
    expected = fasttext.load(packed).embed([["赤い靴"], ["青い靴"]]).astype(np.float16)
    assert np.array_equal(np.array([row.vector for row in vectors.collect()]), expected)


def test_the_search_has_one_a_task(spark: SparkSession, tmp_path: Path) -> None:
    table = {
        "item_id": ["a", "b"],
        "list": pa.array([0, 0], pa.int32()),
        "vector": to_bytes(np.eye(2, dtype=np.float32)),
    }
    pq.write_table(pa.table(table), tmp_path / "lists.parquet")
    lists = spark.read.parquet(str(tmp_path))
    one = np.ones(1, dtype=np.int64)
    plan = GroupPlan(np.zeros(1, np.int64), one, np.zeros(1, np.int64))
    counts, probes = SearchCounts(spark.sparkContext), ProbedLists(None, 1, 1)
    layer = Layer((f"{tmp_path.name}/lists.parquet",), ())
    files = open_clustered(VersionFiles(tmp_path, (layer,)))
    search = ListSearch(files, plan, one * 2, 3, 3, NO_RULES, 2, 2, True, counts)
    rows = search.merge(search.find_candidates(Rows(lists, iter), probes), probes)
    neighbors = rows.frame.mapInArrow(rows.run, ddl(NEIGHBORS))
    # Route, join and merge, with a shuffle between each and the next.
    assert python_steps(neighbors) == 3
    assert {row.item_id: row.neighbors[0].similar_id for row in neighbors.collect()} == {
        "a": "b",
        "b": "a",
    }
