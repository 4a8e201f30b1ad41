"""One trial, in a process of its own: embeds a sample of the catalogue and writes down how long.

Reads a request on standard input, see `Request`, and writes its result to a file: {"seconds"} or
{"why"}.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from models import Handle, embedder
from models.fasttext import Blend
from models.resident import LoadCounter
from pipeline.cluster.tuning.failures import reason
from pipeline.config.sections import Config
from pipeline.errors import NitamonoError, cause
from pipeline.stages.context import Job
from pipeline.stages.embed import stage as embed
from pipeline.storage.files import write_json
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark import SparkContext

_WAIT_SECONDS = 120.0


@dataclass(frozen=True)
class Request:
    """What is asked of a trial.

    Attributes:
        config: the whole config, with Spark's settings of the trial.
        run_id: of the run that it belongs to.
        fingerprints: of the stages before embed.
        version: under which the embeddings are written; whoever asks discards them.
        executors: that have to come.
        sample: items to embed, about.
        result: file of the result.
    """

    config: dict[str, Any]
    run_id: str
    fingerprints: dict[str, str]
    version: str
    executors: int
    sample: int
    result: str


def main() -> None:
    """Run a trial."""
    asked = Request(**json.load(sys.stdin))
    config = Config.model_validate(asked.config)
    job = Job(config, Store.of(config), asked.run_id, publishing=False)
    try:
        result = _tried(job, asked)
    except NitamonoError as error:
        result = {"why": reason(str(error)) or str(error)}
    except Exception as error:  # whatever it is, it is this trial's result
        result = {"why": reason(str(error)) or cause(error)}
    finally:
        job.stop()
    write_json(Path(asked.result), result)


def _tried(job: Job, asked: Request) -> dict[str, Any]:
    for stage, fingerprint in asked.fingerprints.items():
        record = job.store.find(stage, fingerprint)
        if record is not None:
            job.resolve(record)
    context = job.spark.sparkContext
    came = _wait(context, asked.executors)
    if came < asked.executors:
        lost = reason("\n".join(_removed(context)))
        return {
            "why": lost
            or f"{came} of {asked.executors} executors came within {_WAIT_SECONDS:.0f} s: the "
            "cluster has not so much memory or so many cores to give"
        }
    seconds = _embedded(job, asked)
    if lost_ones := _removed(context):
        return {"why": reason("\n".join(lost_ones)) or f"an executor was lost: {lost_ones[0]}"}
    return {"seconds": round(seconds, 2)}


def _embedded(job: Job, asked: Request) -> float:
    """Seconds to embed the sample, the model loaded in every Python worker before."""
    handle, counter = embed.ship(job), LoadCounter(job.spark.sparkContext)
    way = embed.blend(job)
    tasks = job.spark.sparkContext.defaultParallelism
    loading = job.spark.range(0, tasks, 1, tasks).mapInArrow(
        partial(_load, handle, counter, way), "loaded int"
    )
    loading.collect()
    rows = embed.sample(job, way, handle, counter, asked.sample)
    start = time.monotonic()
    job.store.write_arrow("embeddings", asked.version, rows)
    return time.monotonic() - start


def _load(
    handle: Handle, counter: LoadCounter, way: Blend | None, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for _ in batches:
        embedder.load_shipped(handle, counter, way)
    yield pa.RecordBatch.from_pydict({"loaded": pa.array([1], pa.int32())})


def _wait(context: "SparkContext", wanted: int) -> int:
    """How many executors have come, when all have or the time is over."""
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        came = len(_executors(context, active=True))
        if came >= wanted or time.monotonic() > until:
            return came
        time.sleep(0.1)


def _removed(context: "SparkContext") -> list[str]:
    """Why executors were removed, as Spark tells it."""
    gone = [one for one in _executors(context, active=False) if not one.isActive()]
    return [_why(one) for one in gone]


def _why(executor: Any) -> str:  # noqa: ANN401 - a Java object
    told = executor.removeReason()
    return str(told.get()) if told.isDefined() else "for no reason that Spark tells"


def _executors(context: "SparkContext", *, active: bool) -> list[Any]:
    """What Spark knows of executors: those that are there, or all that ever were."""
    if context._jsc is None:
        return []
    found = context._jsc.sc().statusStore().executorList(active)
    every = [found.apply(place) for place in range(found.size())]
    return [one for one in every if one.id() != "driver"]


if __name__ == "__main__":
    main()
