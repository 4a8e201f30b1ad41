"""Lineage: the events of a run as OpenLineage has them.

The names of facets and their fields are those of OpenLineage's specification 2-0-2.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from pipeline import __version__
from pipeline.config.sections import LineageSection
from pipeline.monitoring import lineage_datasets
from pipeline.monitoring.delivery import Deadline, Delivery, from_environment, post
from pipeline.monitoring.lineage_facets import PRODUCER, SPEC, facet
from pipeline.monitoring.run_events import RunEnd, RunStart

START, COMPLETE, FAIL, ABORT = "START", "COMPLETE", "FAIL", "ABORT"
# Exit codes above are those of signals.
_SIGNALS = 128
_CUSTOM_FACET = "urn:nitamono:openlineage:run:1"


def is_on(section: LineageSection) -> bool:
    """Whether events are sent anywhere."""
    return bool(section.file or section.url)


def of_start(start: RunStart) -> dict[str, Any]:
    """The event that a run has started."""
    inputs = lineage_datasets.inputs(start.config, None)
    outputs = [] if start.part else [lineage_datasets.table(start.config)]
    return _event(START, start, start.time.isoformat(), {}, inputs, outputs)


def of_end(end: RunEnd) -> dict[str, Any]:
    """The event that a run has ended, with what it read, wrote and checked."""
    kind = COMPLETE if end.succeeded else ABORT if end.exit_code > _SIGNALS else FAIL
    facets = {"nitamono_run": _own_facet(end)}
    if tests := list(lineage_datasets.tests(end)):
        facets["test"] = facet("TestRunFacet", "1-0-1", tests=tests)
    if not end.succeeded:
        facets["errorMessage"] = facet(
            "ErrorMessageRunFacet", "1-0-1", message=end.message, programmingLanguage="PYTHON"
        )
    inputs = lineage_datasets.inputs(end.start.config, end)
    return _event(
        kind, end.start, end.time.isoformat(), facets, inputs, lineage_datasets.outputs(end)
    )


def _event(
    kind: str,
    start: RunStart,
    time: str,
    facets: dict[str, Any],
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
) -> dict[str, Any]:
    import pyspark

    section = start.config.lineage
    engine = facet(
        "ProcessingEngineRunFacet",
        "1-1-1",
        name="spark",
        version=pyspark.__version__,
        openlineageAdapterVersion=__version__,
    )
    job_type = facet(
        "JobTypeJobFacet",
        "2-0-4",
        processingType="BATCH",
        integration="NITAMONO",
        jobType="JOB",
    )
    # A run id may come twice: a run by stages has one for all of them.
    own = f"{start.config.store.path}#{start.run_id}#{start.time.isoformat()}"
    return {
        "eventType": kind,
        "eventTime": time,
        "producer": PRODUCER,
        "schemaURL": f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {
            "runId": str(uuid5(NAMESPACE_URL, own)),
            "facets": {"processing_engine": engine, **facets},
        },
        "job": {
            "namespace": section.namespace,
            "name": f"{section.job}.{start.part}" if start.part else section.job,
            "facets": {"jobType": job_type},
        },
        "inputs": inputs,
        "outputs": outputs,
    }


def _own_facet(end: RunEnd) -> dict[str, Any]:
    """What OpenLineage has no facet for: the run's id, its page, its numbers."""
    return {
        "_producer": PRODUCER,
        "_schemaURL": _CUSTOM_FACET,
        "runId": end.start.run_id,
        "status": end.status,
        "exitCode": end.exit_code,
        "seconds": end.seconds,
        "stageSeconds": end.stage_seconds,
        "page": end.page,
        **end.numbers(),
    }


def deliveries(section: LineageSection, event: dict[str, Any]) -> Iterator[Delivery]:
    """The deliveries of an event to the file and the server of the config."""
    line = json.dumps(event, ensure_ascii=False).encode()
    if section.file:
        name = f"lineage event ({event['eventType']}) to {section.file}"
        yield Delivery(name, lambda _: append_line(Path(section.file), line))
    if section.url:
        name = f"lineage event ({event['eventType']}) to lineage.url"
        yield Delivery(name, lambda deadline: _post(section, line, deadline))


def append_line(file: Path, line: bytes) -> None:
    """Add a line to a file in one write, so that two processes do not mix theirs."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line + b"\n")
    finally:
        os.close(descriptor)


def _post(section: LineageSection, body: bytes, deadline: Deadline) -> None:
    headers = {"Content-Type": "application/json"}
    if section.authorization_env:
        headers["Authorization"] = from_environment(section.authorization_env)
    post(section.url, body, headers, deadline)
