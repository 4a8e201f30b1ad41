import pytest
from pyspark.sql import SparkSession

from pipeline.sampling import seeded_sample


@pytest.mark.parametrize(
    ("total", "most"), [(1000, 1), (1000, 100), (1000, 999), (1000, 5000), (0, 3)]
)
def test_a_sample_has_as_many_rows_as_asked_for(spark: SparkSession, total: int, most: int) -> None:
    frame = spark.range(total).selectExpr("string(id) as item_id", "id as payload")
    rows = seeded_sample(frame, total, most, seed=1).collect()
    assert len({row.item_id for row in rows}) == len(rows) == min(total, most)
    assert all(row.item_id == str(row.payload) for row in rows)


def test_a_sample_is_of_its_seed_and_not_of_the_partitions(spark: SparkSession) -> None:
    frame = spark.range(500).selectExpr("string(id) as item_id")
    first = seeded_sample(frame.repartition(1), 500, 50, seed=1).collect()
    assert first == seeded_sample(frame.repartition(7), 500, 50, seed=1).collect()
    assert set(first) != set(seeded_sample(frame, 500, 50, seed=2).collect())
