"""A driver in a process of its own: index and neighbors on two executors, one killed in the join.

Its argument is a folder to work in. It prints one JSON object.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from pipeline import nearest
from pipeline.session import settings
from tests.pipeline.stages.night import QUANTISED, Night, lopsided

_join = nearest._join


def killing(folder: Path) -> Any:
    """The join, whose first task kills its executor before it gives anything."""
    marker = str(folder / "killed")

    def make(search: nearest.Search, probes: nearest.Probes) -> Any:
        run = _join(search, probes)

        def killed_once(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in run(batches):
                try:
                    os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    yield batch
                    continue
                # This worker's parent is the daemon; its parent is the executor.
                stat = Path(f"/proc/{os.getppid()}/stat").read_text()
                os.kill(int(stat.rsplit(")", 1)[1].split()[1]), signal.SIGKILL)

        return killed_once

    return make


def main() -> None:
    """Run the two stages."""
    folder = Path(sys.argv[1])
    chosen = settings({"spark.master": "local-cluster[2,1,1024]"}) | {
        "spark.log.level": "OFF",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "3",
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.executorEnv.NITAMONO_CACHE": os.environ["NITAMONO_CACHE"],
        "spark.executorEnv.PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    spark = SparkSession.builder.config(map=dict(chosen)).getOrCreate()
    nearest._join = killing(folder)
    night = Night(folder / "night", lopsided())
    sets = (QUANTISED, "index.nlist=14", "neighbors.nprobe=3", "neighbors.k=6")
    table, _ = night.run(*sets, "neighbors.partitions=6")
    store = spark.sparkContext._jsc.sc().statusStore()
    found = {
        "table": table,
        "index": night.index,
        "killed": int((folder / "killed").exists()),
        # Those that are gone too, and the driver.
        "executors": store.executorList(False).size() - 1,
    }
    spark.stop()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
