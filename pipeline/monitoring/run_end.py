"""What is told of a run's end is read from the store, within a limit of time."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Thread
from urllib.parse import quote

from pipeline.errors import GateError, NitamonoError, StageError
from pipeline.monitoring.run_events import RunEnd, RunStart
from pipeline.report import run_page
from pipeline.store import publications, run_records
from pipeline.store.store import Store

# A process that was interrupted ends with this code, if the interruption names no other.
_INTERRUPTED = 130
# Among so many runs the last one that published is looked for.
_RUNS = 30


def with_store(known: RunEnd, seconds: float) -> RunEnd | None:
    """A run's end with what the store knows of it.

    Args:
        known: what this process knows.
        seconds: how long the store may take to answer.

    Returns:
        None if it takes longer, or can't be read.
    """
    read: list[RunEnd] = []

    def work() -> None:
        # The store may be what the run has failed for.
        with suppress(Exception):
            read.append(_with_store(known))

    thread = Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return read[0] if read else None


def known_end(start: RunStart, error: BaseException | None, *, has_published: bool) -> RunEnd:
    """What this process knows of a run's end.

    Args:
        start: its start.
        error: what it ended with; None if it did what it was to do.
        has_published: whether it has published its table.
    """
    now = datetime.now(UTC)
    if error is None:
        return RunEnd(start, now, 0, run_records.PUBLISHED if has_published else run_records.DONE)
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
    return replace(
        end,
        run=run,
        page=_page(store, end.start) if run else "",
        published=_published(store, end),
    )


def _published(store: Store, end: RunEnd) -> datetime | None:
    """When LATEST was last written or confirmed: a night may publish the table that is there."""
    if end.status == run_records.PUBLISHED:
        return end.time
    runs = run_records.list_runs(store, last=_RUNS)
    times = [
        datetime.fromisoformat(run.started) + timedelta(seconds=run.seconds)
        for run in runs
        if run.status == run_records.PUBLISHED
    ]
    publication = publications.current(store)
    # Releases up to 0.2 noted no time.
    if publication is not None and publication.number > 0:
        times.append(datetime.fromisoformat(publication.time))
    return max(times, default=None)


def _page(store: Store, start: RunStart) -> str:
    """The address of the run's page, or its path; empty if there is none."""
    path = store.run_path(start.run_id) / run_page.FILE_NAME
    if not path.is_file():
        return ""
    base = start.config.report.base_url.rstrip("/")
    return f"{base}/runs/{quote(start.run_id)}/{path.name}" if base else str(path)
