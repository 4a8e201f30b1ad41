"""Cost of loading a model: in every row, in every batch, once a process, or mapped.

`task_seconds` is the time of Spark tasks of ten rows in batches of two, with a model that takes
five seconds to load. The rest is about a real fastText model of over 1 GB in 1, 2 and 4 Python
workers at once, loaded by the library (`native`) and packed (`mapped`): the seconds until it can
embed, and the memory of the workers together, each shared page counted once (Linux's proportional
set size), after every page of the model was read. `memory_of_4_over_model` is the memory of four
workers divided by the size of the file that they load.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from benchmarks.embedding import Size, make_words, write_model
from models import fasttext, resident
from models.fasttext.model import read_packed
from pipeline.spark import session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_ROWS, _BATCH_ROWS = 10, 2
_WORKERS = (1, 2, 4)
_LINE = ["ワイヤレス", "イヤホン", "xz-1000b"]


class SlowModel:
    """A model that is slow to load and does nothing."""

    def __init__(self, seconds: float) -> None:
        time.sleep(seconds)


def per_row(seconds: float, batch: pa.RecordBatch) -> None:
    """Load for each row."""
    for _ in range(batch.num_rows):
        SlowModel(seconds)


def per_batch(seconds: float, batch: pa.RecordBatch) -> None:
    """Load for each Arrow batch."""
    SlowModel(seconds)


def per_process(seconds: float, batch: pa.RecordBatch) -> None:
    """Load once."""
    resident.get(("slow", seconds), lambda: SlowModel(seconds))


def mapped(path: str, batch: pa.RecordBatch) -> None:
    """Map a real packed model once, and embed."""
    model = resident.get(("packed", path), lambda: fasttext.load(path))
    model.embed([_LINE] * batch.num_rows)


def timed(
    work: Callable[[pa.RecordBatch], None], batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Measure the seconds that one task spends on its batches."""
    start = time.perf_counter()
    for batch in batches:
        work(batch)
    yield pa.RecordBatch.from_pydict({"seconds": [time.perf_counter() - start]})


def task_seconds(spark: "SparkSession", seconds: float, packed: Path) -> dict[str, float]:
    """Measure one task of ten rows, for each way in a new worker."""
    ways: dict[str, Callable[[pa.RecordBatch], None]] = {
        "per_row": partial(per_row, seconds),
        "per_batch": partial(per_batch, seconds),
        "per_process": partial(per_process, seconds),
        "mapped": partial(mapped, str(packed)),
    }
    results = {}
    for name, work in ways.items():
        print(f"running {name} ...", file=sys.stderr)
        rows = spark.range(_ROWS, numPartitions=1).mapInArrow(
            partial(timed, work), "seconds double"
        )
        results[name] = float(rows.collect()[0]["seconds"])
    return results


def proportional_bytes() -> int:
    """Return the proportional set size of this process."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    raise OSError("/proc/self/smaps_rollup has no Pss; this benchmark needs Linux")


def load(path: str) -> object:
    """Load a model until it can embed: native, where the library reads every page, or mapped."""
    model = fasttext.load(path)
    model.embed([_LINE])
    return model


def touch_mapped(path: str) -> object:
    """Read every page of a second mapping of the file, which shares its pages with the first."""
    model = read_packed(Path(path))
    for matrix in (model.vectors, model.rows):
        for start in range(0, len(matrix), 1 << 14):
            matrix[start : start + (1 << 14)].max()
    return model


def in_worker(native: bool, path: str, _: Iterator[int]) -> Iterator[tuple[float, int]]:
    """Yield the seconds to load, and the growth of memory while all workers hold the model."""
    from pyspark import BarrierTaskContext

    context = BarrierTaskContext.get()
    before = proportional_bytes()
    context.barrier()
    start = time.perf_counter()
    model = load(path)
    seconds = time.perf_counter() - start
    touched = None if native else touch_mapped(path)
    context.barrier()
    growth = proportional_bytes() - before
    context.barrier()
    del model, touched
    yield seconds, growth


def workers(
    spark: "SparkSession", native: bool, path: Path
) -> tuple[dict[str, float], dict[str, int]]:
    """Return the slowest worker's seconds, and the bytes of all workers, by number of workers."""
    seconds, memory = {}, {}
    for count in _WORKERS:
        print(f"{'native' if native else 'mapped'}, {count} workers ...", file=sys.stderr)
        rows = spark.sparkContext.range(count, numSlices=count).barrier()
        results = rows.mapPartitions(partial(in_worker, native, str(path))).collect()
        seconds[str(count)] = max(elapsed for elapsed, _ in results)
        memory[str(count)] = sum(growth for _, growth in results)
    return seconds, memory


def run(spark: "SparkSession", folder: Path, size: Size, load_seconds: float) -> dict[str, Any]:
    """Make the model and measure."""
    rng = np.random.default_rng(0)
    binary = folder / "model.bin"
    print("making the model ...", file=sys.stderr)
    write_model(binary, make_words(size.words, rng), size, rng)
    packed = fasttext.pack(binary, folder / "packed")
    tasks = task_seconds(spark, load_seconds, packed)
    results: dict[str, Any] = {"task_seconds": tasks, "startup_seconds": {}, "memory_bytes": {}}
    results["model_bytes"] = {"native": binary.stat().st_size, "mapped": packed.stat().st_size}
    for name, path in (("native", binary), ("mapped", packed)):
        seconds, memory = workers(spark, name == "native", path)
        results["startup_seconds"][name], results["memory_bytes"][name] = seconds, memory
    results["memory_of_4_over_model"] = {
        name: results["memory_bytes"][name]["4"] / results["model_bytes"][name]
        for name in ("native", "mapped")
    }
    return results


def show(results: dict[str, Any]) -> None:
    """Print the results as tables."""
    print("a task of ten rows, a model that loads slowly")
    for name, seconds in results["task_seconds"].items():
        print(f"  {name:12}{seconds:>10.2f} s")
    print(f"{'a real model':14}{'workers':>8}{'start-up, s':>14}{'together, MB':>14}{'/ model':>9}")
    for name in ("native", "mapped"):
        size = results["model_bytes"][name]
        for count, size_together in results["memory_bytes"][name].items():
            seconds = results["startup_seconds"][name][count]
            columns = f"{name:14}{count:>8}{seconds:>14.3f}{size_together / 1e6:>14,.0f}"
            print(f"{columns}{size_together / size:>9.2f}")


def main() -> int:
    """Run the benchmark."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--load-seconds", type=float, default=5.0)
    parser.add_argument("--words", type=int, default=300_000)
    parser.add_argument("--bucket", type=int, default=600_000)
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    arguments = parser.parse_args()
    size = Size(0, 0, 0, arguments.words, 0.0, arguments.bucket, arguments.dim)
    settings = session.settings({"spark.master": "local[4]", "spark.log.level": "ERROR"}) | {
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(_BATCH_ROWS),
        # Each task has a new process, without the models of earlier tasks.
        "spark.python.worker.reuse": "false",
    }
    with tempfile.TemporaryDirectory(prefix="nitamono-benchmark-") as name:
        spark = SparkSession.builder.config(map=dict(settings)).getOrCreate()
        try:
            results = run(spark, Path(name), size, arguments.load_seconds)
        finally:
            spark.stop()
    show(results)
    if arguments.json:
        print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
