"""A driver in its own process, which ships models to two executors and reports their content.

It reads a JSON list of steps from standard input and writes a list with one JSON object for each
step. A step is {"source", "method", "kind", "endpoint"?, "replace_with"?, "again"?}: `replace_with`
is a file whose bytes replace the source, in place, before it is shipped; `again` is the number of
an earlier step whose handle is used once more. CLUSTER in the environment has the settings of the
cluster, as JSON.
"""

import hashlib
import json
import os
import pickle
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark import SparkFiles
from pyspark.sql import SparkSession

import models
from models import Handle, local_path, resident, ship
from models.stores import S3Options, StoreOptions

Loaded = tuple[Path, dict[str, str]]
SCHEMA = (
    "process string, root string, path string, inode string, links long, content string, "
    "batches long"
)


def load(path: Path) -> Loaded:
    """A trivial loader: the SHA-256 of each file by relative path ('' for the file itself)."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    names = ["" if file == path else file.relative_to(path).as_posix() for file in files]
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return path, dict(zip(names, hashes, strict=True))


TEXTS = [["赤い", "靴"], ["りんご", "箱"], ["red shoe"], [], ["未知の語"]] * 40


def load_content(handle: Handle, counter: resident.LoadCounter | None = None) -> Loaded:
    """Load a model: the hashes of its files, or the hash of the vectors of a real model."""
    if handle.kind == "bytes":
        return resident.get(handle.key, lambda: load(local_path(handle)), counter)
    vectors = models.load_shipped(handle, counter).embed(TEXTS)
    return local_path(handle), {"": hashlib.sha256(vectors.tobytes()).hexdigest()}


def run_tasks(spark: SparkSession, handle: Handle) -> dict[str, Any]:
    """Use a model in four tasks of several batches each."""
    counter = resident.LoadCounter(spark.sparkContext)

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        number = 0
        for _ in batches:
            path, content = load_content(handle, counter)
            number += 1
            time.sleep(0.1)
        first = path if path.is_file() else next(p for p in path.rglob("*") if p.is_file())
        status = first.stat()
        yield pa.RecordBatch.from_pylist(
            [
                {
                    "process": str(os.getpid()),
                    "root": str(Path(SparkFiles.getRootDirectory()).absolute()),
                    "path": str(path),
                    "inode": f"{status.st_dev}:{status.st_ino}",
                    "links": status.st_nlink,
                    "content": json.dumps(content),
                    "batches": number,
                }
            ]
        )

    rows = spark.range(0, 400, 1, 4).mapInArrow(work, SCHEMA).toArrow().to_pylist()
    return {
        "method": handle.method,
        "sha256": handle.sha256,
        "entry": handle.entry,
        "pickled": len(pickle.dumps(handle)),
        "tasks": [row | {"content": json.loads(row["content"])} for row in rows],
        "loads": counter.summary(),
    }


def main() -> None:
    """Run the steps."""
    spark = (
        SparkSession.builder.config(map=json.loads(os.environ["CLUSTER"]))
        .config("spark.ui.enabled", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "20")
        .getOrCreate()
    )
    handles: list[Handle] = []
    results = []
    for step in json.load(sys.stdin):
        if "again" in step:
            handle = handles[step["again"]]
        else:
            if "replace_with" in step:
                Path(step["source"]).write_bytes(Path(step["replace_with"]).read_bytes())
            stores = StoreOptions(S3Options(endpoint=step.get("endpoint"), region="us-east-1"))
            handle = ship(
                spark.sparkContext,
                step["source"],
                kind=step.get("kind", "bytes"),
                method=step["method"],
                stores=stores,
            )
        handles.append(handle)
        driver = load_content(handle)[1]
        results.append(run_tasks(spark, handle) | {"driver": driver})
    spark.stop()
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
