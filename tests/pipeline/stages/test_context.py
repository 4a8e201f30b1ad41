"""The job that stages work in."""

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from pipeline.config import reading
from pipeline.stages.context import Job
from pipeline.store.store import Store


def test_a_join_is_spread_without_running_it(spark: SparkSession, tmp_path: Path) -> None:
    """Under adaptive execution Spark runs a join's shuffles to say how many partitions it has."""
    session = spark.newSession()
    session.conf.set("spark.sql.adaptive.enabled", "true")
    session.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")
    (tmp_path / "empty.toml").touch()
    assignments = [f"store.path={tmp_path}/store", "catalogue.path=none.csv"]
    config = reading.load(tmp_path / "empty.toml", assignments)
    job = Job(config, Store.of(config), "run", spark=session)
    cores = session.sparkContext.defaultParallelism

    def ids(rows: int, partitions: int) -> DataFrame:
        return session.range(rows, numPartitions=partitions).selectExpr("string(id) as item_id")

    tracker = session.sparkContext.statusTracker()
    joined = ids(9000, 1).join(ids(9000, 1), "item_id", how="left_semi")
    spread = job.spread(joined, 9000)
    many = job.spread(joined, 10**9)
    group = session.sparkContext.getLocalProperty("spark.jobGroup.id")
    assert tracker.getJobIdsForGroup(group) == []
    assert many is joined
    assert spread.rdd.getNumPartitions() == cores
    assert len(tracker.getJobIdsForGroup(group)) > 0
    scan = ids(9000, cores)
    assert job.spread(scan, 9000) is scan
