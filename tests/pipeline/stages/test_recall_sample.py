"""The queries that recall is measured on: the same ones night after night."""

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from pipeline.stages.neighbors import recall_sample
from pipeline.stages.neighbors.recall_sample import SampledQueries, SampleSettings
from pipeline.storage.list_schemas import LISTS


def _lists(spark: SparkSession, numbers: range) -> DataFrame:
    rows = [{"item_id": f"{n:05d}", "list": n % 7, "vector": bytes(4)} for n in numbers]
    return spark.createDataFrame(pa.Table.from_pylist(rows, LISTS))


def _ids(sampled: SampledQueries) -> list[list[str]]:
    ids = sampled.rows["item_id"]
    return [ids.take(pa.array(part)).to_pylist() for part in sampled.parts]


@pytest.mark.parametrize("departing", [30, 1800])
def test_the_sample_brought_up_to_date_is_the_one_that_is_drawn(
    spark: SparkSession, departing: int
) -> None:
    settings = SampleSettings(size=25, has_pilot=True, seed=3)
    before = recall_sample.draw(_lists(spark, range(2000)), 2000, settings)
    assert [len(part) for part in _ids(before)] == [25, 25]
    departures = pa.array([f"{n:05d}" for n in range(departing)])
    arrivals = _lists(spark, range(2000, 2040))
    now = recall_sample.update(before, departures, arrivals)
    drawn = recall_sample.draw(_lists(spark, range(departing, 2040)), 2040 - departing, settings)
    measured, pilot = _ids(drawn)
    assert not set(measured) & set(pilot)
    if departing == 1800:
        assert now is None
        return
    assert now is not None
    assert _ids(now) == [measured, pilot]
    # What stays keeps its part, and most stays.
    assert len(set(measured) & set(_ids(before)[0])) > 20
    assert not set(measured) & set(_ids(before)[1])


def test_a_sample_that_has_grown_is_cut(spark: SparkSession) -> None:
    settings = SampleSettings(size=5, has_pilot=False, seed=3)
    before = recall_sample.draw(_lists(spark, range(50)), 50, settings)
    assert before.rows.num_rows == 50
    now = recall_sample.update(before, pa.array([], pa.string()), _lists(spark, range(50, 600)))
    assert now is not None
    assert now.rows.num_rows == settings.drawn
    drawn = recall_sample.draw(_lists(spark, range(600)), 600, settings)
    assert _ids(now) == _ids(drawn)
    assert set(now.rows["item_id"].to_pylist()) <= set(drawn.rows["item_id"].to_pylist())


def test_one_query_serves_for_both_samples(spark: SparkSession) -> None:
    sampled = recall_sample.draw(_lists(spark, range(1)), 1, SampleSettings(5, True, 0))
    assert _ids(sampled) == [["00000"], ["00000"]]
