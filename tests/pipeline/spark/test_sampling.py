import pytest
from pyspark.sql import SparkSession

from pipeline.spark.sampling import collected_sample, seeded_sample


@pytest.mark.parametrize(
    ("total", "most"), [(1000, 1), (1000, 100), (1000, 999), (1000, 5000), (0, 3)]
)
def test_a_sample_has_as_many_rows_as_asked_for(spark: SparkSession, total: int, most: int) -> None:
    frame = spark.range(total).selectExpr("string(id) as item_id", "id as payload")
    rows = seeded_sample(frame, total, most, seed=1, purpose="a").collect()
    assert len({row.item_id for row in rows}) == len(rows) == min(total, most)
    assert all(row.item_id == str(row.payload) for row in rows)


def test_a_sample_is_of_its_seed_and_not_of_the_partitions(spark: SparkSession) -> None:
    frame = spark.range(500).selectExpr("string(id) as item_id")
    first = seeded_sample(frame.repartition(1), 500, 50, seed=1, purpose="a").collect()
    assert first == seeded_sample(frame.repartition(7), 500, 50, seed=1, purpose="a").collect()
    assert set(first) != set(seeded_sample(frame, 500, 50, seed=2, purpose="a").collect())


@pytest.mark.parametrize("most", [50, 500])
def test_a_collected_sample_is_the_same(spark: SparkSession, most: int) -> None:
    frame = spark.range(500).selectExpr("string(id) as item_id", "id as payload")
    there = seeded_sample(frame, 500, most, seed=1, purpose="a").collect()
    here = collected_sample(frame.repartition(5), 500, most, seed=1, purpose="a")
    assert here.to_pylist() == [row.asDict() for row in there]


def test_samples_for_two_purposes_have_nothing_to_do_with_each_other(spark: SparkSession) -> None:
    frame = spark.range(4000).selectExpr("string(id) as item_id")
    one, other = (
        set(collected_sample(frame, 4000, 1000, seed=0, purpose=p)["item_id"].to_pylist())
        for p in ("quantiser", "recall")
    )
    # A quarter of a thousand by chance: hypergeometric, standard deviation 12.
    assert abs(len(one & other) - 250) < 60
