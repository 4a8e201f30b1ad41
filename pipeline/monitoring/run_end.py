"""What is told of a run's end is read from the store, within a limit of time."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from threading import Thread
from urllib.parse import quote

from pipeline.errors import GateError, NitamonoError, StageError
from pipeline.monitoring.run_events import PUBLISH, RunEnd, RunStart
from pipeline.report import run_page
from pipeline.store import file_list, publications, run_records
from pipeline.store.store import Store

# A process that was interrupted ends with this code, if the interruption names no other.
_INTERRUPTED = 130


def read_end(start: RunStart, error: BaseException | None, seconds: float) -> RunEnd:
    """How a run has ended.

    Args:
        start: its start.
        error: what it ended with; None if it did what it was to do.
        seconds: how long the store may take to answer. If it takes longer, or can't be reached,
            only what this process knows is told.
    """
    known = _known(start, error)
    read: list[RunEnd] = []

    def work() -> None:
        # The store may be what the run has failed for.
        with suppress(Exception):
            read.append(_with_store(known))

    thread = Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return read[0] if read else known


def _known(start: RunStart, error: BaseException | None) -> RunEnd:
    """What this process knows of the end."""
    now = datetime.now(UTC)
    if error is None:
        return RunEnd(start, now, 0, run_records.DONE)
    status = run_records.HELD_BACK if isinstance(error, GateError) else run_records.FAILED
    message = str(error) or type(error).__name__
    if isinstance(error, KeyboardInterrupt):
        return RunEnd(start, now, getattr(error, "exit_code", _INTERRUPTED), status, "interrupted")
    code = error.exit_code if isinstance(error, NitamonoError) else StageError.exit_code
    return RunEnd(start, now, code, status, message)


def _with_store(end: RunEnd) -> RunEnd:
    """The same, with what the store knows."""
    config, run_id = end.start.config, end.start.run_id
    store = Store.of(config, make=False)
    run = run_records.read_run_json(store, run_id) or {}
    # A run id may come twice; what an earlier process wrote is not this run's.
    if run and datetime.fromisoformat(run["started"]) < end.start.time:
        run = {}
    if run and end.succeeded:
        end = replace(end, status=run["status"])
    publication = publications.current(store)
    return replace(
        end,
        run=run,
        page=_page(store, end.start) if run else "",
        published=datetime.fromisoformat(publication.time) if publication else None,
        bytes=dict(_bytes(store, run.get("fingerprints", {}))),
    )


def _page(store: Store, start: RunStart) -> str:
    """The address of the run's page, or its path; empty if there is none."""
    path = store.run_path(start.run_id) / run_page.FILE_NAME
    if not path.is_file():
        return ""
    base = start.config.report.base_url.rstrip("/")
    return f"{base}/runs/{quote(start.run_id)}/{path.name}" if base else str(path)


def _bytes(store: Store, fingerprints: dict[str, str]) -> list[tuple[str, int]]:
    """The size of the similar-item table of each variant that the run made."""
    sizes = []
    for stage, version in fingerprints.items():
        name, _, variant = stage.partition("@")
        files = None
        if name == PUBLISH:
            files = file_list.read(store.table_path("similar_items", version))
        if files is not None:
            sizes.append((variant, sum(file.bytes for file in files.files)))
    return sizes
