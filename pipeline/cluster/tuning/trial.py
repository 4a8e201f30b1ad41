"""The program of a trial's process: embeds a sample of the catalogue and measures the time.

It reads a `TrialRequest` on standard input, and writes a result file: {"seconds"}, or {"why"} if
the trial failed.
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

# How long the executors of a trial are waited for.
_WAIT_SECONDS = 120.0


@dataclass(frozen=True)
class TrialRequest:
    """What a trial does.

    Attributes:
        config: the whole config, with Spark's settings of the trial.
        run_id: the run that the trial belongs to.
        fingerprints: of the stages before embed.
        version: version under which the embeddings are written; the caller discards it.
        executors: number of executors that have to register.
        sample: approximate number of items to embed.
        result: path of the result file.
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
    request = TrialRequest(**json.load(sys.stdin))
    config = Config.model_validate(request.config)
    job = Job(config, Store.of(config), request.run_id, publishing=False)
    try:
        result = _run(job, request)
    except NitamonoError as error:
        result = {"why": reason(str(error)) or str(error)}
    except Exception as error:  # whatever it is, it is this trial's result
        result = {"why": reason(str(error)) or cause(error)}
    finally:
        job.stop()
    write_json(Path(request.result), result)


def _run(job: Job, request: TrialRequest) -> dict[str, Any]:
    for stage, fingerprint in request.fingerprints.items():
        record = job.store.find_record(stage, fingerprint)
        if record is not None:
            job.set_record(record)
    context = job.spark.sparkContext
    registered = _wait_for_executors(context, request.executors)
    if registered < request.executors:
        return {
            "why": reason("\n".join(_removal_reasons(context)))
            or f"{registered} of {request.executors} executors came within {_WAIT_SECONDS:.0f} s: "
            "the cluster has not so much memory or so many cores to give"
        }
    seconds = _embed(job, request)
    if removals := _removal_reasons(context):
        return {"why": reason("\n".join(removals)) or f"an executor was lost: {removals[0]}"}
    return {"seconds": round(seconds, 2)}


def _embed(job: Job, request: TrialRequest) -> float:
    """Seconds to embed the sample, after every Python worker has loaded the model."""
    handle, counter = embed.ship_model(job), LoadCounter(job.spark.sparkContext)
    blend = embed.blend_settings(job)
    tasks = job.spark.sparkContext.defaultParallelism
    loading = job.spark.range(0, tasks, 1, tasks).mapInArrow(
        partial(_load_model, handle, counter, blend), "loaded int"
    )
    loading.collect()
    rows = embed.sample_rows(job, blend, handle, counter, request.sample)
    start = time.monotonic()
    job.store.write_arrow("embeddings", request.version, rows)
    return time.monotonic() - start


def _load_model(
    handle: Handle, counter: LoadCounter, blend: Blend | None, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for _ in batches:
        embedder.load_shipped(handle, counter, blend)
    yield pa.RecordBatch.from_pydict({"loaded": pa.array([1], pa.int32())})


def _wait_for_executors(context: "SparkContext", executors: int) -> int:
    """Wait until so many executors have registered, or the time is over; return their number."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        registered = len(_executors(context, active=True))
        if registered >= executors or time.monotonic() > deadline:
            return registered
        time.sleep(0.1)


def _removal_reasons(context: "SparkContext") -> list[str]:
    """Why executors were removed, in Spark's words."""
    removed = [one for one in _executors(context, active=False) if not one.isActive()]
    return [_removal_reason(executor) for executor in removed]


def _removal_reason(executor: Any) -> str:  # noqa: ANN401 - a Java object
    option = executor.removeReason()
    return str(option.get()) if option.isDefined() else "for no reason that Spark tells"


def _executors(context: "SparkContext", *, active: bool) -> list[Any]:
    """Spark's records of executors: of the active ones, or of all that ever were.

    PySpark has no public way to them: its StatusTracker knows jobs and stages only.
    """
    if context._jsc is None:
        return []
    summaries = context._jsc.sc().statusStore().executorList(active)
    executors = [summaries.apply(place) for place in range(summaries.size())]
    return [executor for executor in executors if executor.id() != "driver"]


if __name__ == "__main__":
    main()
