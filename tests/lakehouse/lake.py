"""Iceberg and Delta Lake in one Spark session, for the drivers of these tests.

The session needs jars that the other tests' session has not, so each driver is a process.
"""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipeline.config import reading
from pipeline.config.sections import Config
from pipeline.runs.record import Outcome
from pipeline.runs.request import RunRequest
from pipeline.spark import object_stores, session
from pipeline.spark.log import SparkLog
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress
from tests.conftest import QUICK_PLANS

ICEBERG, DELTA = "lake.shop.items", "shop.items"
TITLES = ("赤い 靴", "青い 靴", "黒い 傘", "白い 皿", "木の 机", "革の 鞄", "花の 種")
_QUICK = {
    "model": {"dim": 8, "epoch": 1},
    "neighbors": {"k": 3},
    "report": {"map_items": 0},
}


class Lake:
    """A folder with a store for each name, Iceberg's catalog `lake`, and Delta Lake's tables.

    Attributes:
        folder: where all of it is.
        spark: the session.
    """

    def __init__(self, folder: Path, packages: str = "") -> None:
        self.folder = folder
        self._settings = QUICK_PLANS | {
            "spark.master": "local[2]",
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension,"
            "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
            "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
            "spark.sql.catalog.lake.type": "hadoop",
            "spark.sql.catalog.lake.warehouse": str(folder / "iceberg"),
            "spark.sql.warehouse.dir": str(folder / "spark"),
            # A metastore in a folder, so that other sessions find the tables.
            "spark.sql.catalogImplementation": "hive",
            "spark.hadoop.javax.jdo.option.ConnectionURL": "jdbc:derby:;create=true;databaseName="
            f"{folder / 'metastore'}",
            "spark.driver.extraJavaOptions": f"-Dderby.stream.error.file={folder / 'derby.log'}",
            "spark.databricks.delta.snapshotPartitions": "2",
        }
        if packages:  # of another connector, and neither Iceberg nor Delta Lake
            self._settings = QUICK_PLANS | {
                "spark.master": "local[2]",
                "spark.jars.packages": packages,
            }
        settings = object_stores.spark_settings(self.config("any", path="items", format="avro"))
        self.spark: SparkSession = session.start(settings, SparkLog(folder / "spark.log"))[0]
        if not packages:
            self.spark.sql("CREATE SCHEMA IF NOT EXISTS shop")

    def config(self, store: str, *, publish: dict[str, Any] | None = None, **where: Any) -> Config:
        """A config whose catalogue is `where`, with a store of this name."""
        gate = {"min_recall": 0, "max_churn": 1, "publish": True}
        return reading.from_mapping(
            {
                **_QUICK,
                "spark": self._settings,
                "store": {"path": str(self.folder / store)},
                "catalogue": where,
                "publish": gate | (publish or {}),
            }
        )

    def run(self, config: Config, *, publish: bool = True, **request: Any) -> Outcome:
        """Run all stages, and publish."""
        return RunRequest(publish=publish, **request).run(config, Progress(io.StringIO()))

    def rows(self, config: Config) -> list[list[Any]]:
        """The rows of the published table."""
        store = Store.of(config)
        latest = store.latest()
        assert latest is not None
        table = store.dataset("similar_items", latest["version"]).to_table()
        return [list(row.values()) for row in table.to_pylist()]


def titles(count: int, first: int = 0) -> list[tuple[str, str]]:
    """Items with titles that have something in common."""
    return [(f"i{n:03}", f"{TITLES[n % 7]} {n % 5} 号") for n in range(first, first + count)]


def drive(module: str, folder: Path, *arguments: str, **environment: str) -> dict[str, Any]:
    """Run a driver in a process of its own; return the object that it prints last."""
    command = [sys.executable, "-m", f"tests.lakehouse.{module}", str(folder), *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts
