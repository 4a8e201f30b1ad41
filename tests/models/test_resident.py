import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.pandas.functions import pandas_udf

from models import resident


def test_threads_share_one_load() -> None:
    loads = []

    def load() -> object:
        loads.append(threading.get_ident())
        time.sleep(0.05)
        return object()

    models: list[object] = []
    threads = [
        threading.Thread(target=lambda: models.append(resident.get("shared", load)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(models) == 8
    assert len({id(model) for model in models}) == 1


def test_a_loader_can_get_another_model() -> None:
    def load() -> tuple[str, str]:
        return "outer", resident.get("inner", lambda: "inner")

    assert resident.get("outer", load) == ("outer", "inner")
    assert resident.get("inner", lambda: "again") == "inner"
    assert resident.get("outer", lambda: ("again", "")) == ("outer", "inner")


def test_after_a_failed_load_the_next_caller_loads() -> None:
    def fail() -> str:
        raise OSError("not yet")

    with pytest.raises(OSError, match="not yet"):
        resident.get("failing", fail)
    assert resident.get("failing", lambda: "loaded") == "loaded"


def test_loads_are_counted_over_all_workers_and_batches(spark: SparkSession) -> None:
    counter = resident.LoadCounter(spark.sparkContext)

    def load() -> int:
        time.sleep(0.2)
        return 1

    def arrow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            resident.get("counted arrow", load, counter)
            yield batch

    @cast("Callable[[Any], Any]", cast("Any", pandas_udf)("long"))
    def pandas(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for batch in batches:
            yield batch + resident.get("counted pandas", load, counter)

    rows = spark.range(0, 40_000, 1, 4)
    assert rows.mapInArrow(arrow, "id long").count() == 40_000
    first = counter.summary()
    assert first["most_in_one_process"] == 1
    assert first["loads"] == first["processes"] in (1, 2, 3, 4)
    assert first["seconds"] >= 0.2 * first["loads"]
    assert rows.mapInArrow(arrow, "id long").count() == 40_000
    total = rows.select(pandas("id").alias("id")).groupBy().sum("id").first()
    assert total is not None
    assert total[0] == sum(range(1, 40_001))
    assert {load.model for load in counter.loads} == {"counted arrow", "counted pandas"}
    assert counter.summary()["most_in_one_process"] == 1
