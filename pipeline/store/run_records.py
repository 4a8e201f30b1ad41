"""Run records: the runs of a store, read from their run.json; pipeline.runs.record writes it."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import DamagedError
from pipeline.redaction import mask, mask_settings
from pipeline.storage.file_owners import Process
from pipeline.storage.paths import StoragePath
from pipeline.store import leftovers, run_json
from pipeline.store.store import Store

# The status of a run. In run.json it is never DIED: a run that died could not write so.
RUNNING, DONE, PUBLISHED = "running", "done", "published"
HELD_BACK, FAILED, DIED = "held_back", "failed", "died"
# A run's name if it was given none: the time of its start (pipeline.runs.record).
_TIME_NAME = re.compile(r"\d{8}T\d{6}\.\d{3}Z")
# Files that are read at the same time: an object store needs some time for each.
_PARALLEL_FILES = 8
# Fields of a Run that commands do not show.
_NOT_SHOWN = ("counts", "measured", "stages", "fingerprints", "uses", "settings")


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        run_id: the run's id.
        started: when it started, in UTC, ISO 8601.
        seconds: how long it took; if it is running, how long so far.
        status: running, done, published, held_back, failed or died. A run has died if its run.json
            says that it is running and its process is gone.
        items: valid rows of its catalogue; None if it did not get there.
        recall: the measured recall, 0 to 1; None if it was not measured.
        version: the version that it published; None if it published none.
        latest: whether that version is published now.
        kept: whether that version is still in the store.
        message: why it failed or was held back.
        publishing: whether it was to publish, as a night is: not an experiment, nor a part.
        counts: what its stages counted; what the gate measured is under `gate`.
        measured: the recall with its interval: value, low, high, queries; None if it did not get
            there.
        stages: stage, status and seconds of each stage that it came to.
        fingerprints: the fingerprint of each stage that it came to.
        uses: fingerprints of the earlier outputs that it builds on.
        settings: its config, by section.
    """

    run_id: str
    started: str
    seconds: float
    status: str
    items: int | None
    recall: float | None
    version: str | None
    latest: bool
    kept: bool
    message: str
    publishing: bool = field(repr=False)
    counts: dict[str, Any] = field(repr=False)
    measured: dict[str, Any] | None = field(repr=False)
    stages: list[dict[str, Any]] = field(repr=False)
    fingerprints: dict[str, str] = field(repr=False)
    uses: list[str] = field(repr=False)
    settings: dict[str, Any] = field(repr=False)

    def shown(self) -> dict[str, Any]:
        """The fields that `nitamono runs --json` shows."""
        return {name: value for name, value in asdict(self).items() if name not in _NOT_SHOWN}


def list_runs(store: Store, *, last: int | None = None, strict: bool = False) -> list[Run]:
    """The runs, the newest first; one whose run.json is damaged is said and left out.

    Args:
        store: the store.
        last: how many of the newest; no other run.json is read then. A run that was given a name
            counts from the time at which its run.json was written. None: all.
        strict: whether a damaged run.json is an error.

    Raises:
        DamagedError: a run.json is damaged.
    """
    latest_version = _latest_version(store)
    paths = list(run_files(store))
    if last is not None:
        paths = sorted(paths, key=_time, reverse=True)[:last]

    def load(path: StoragePath) -> Run | None:
        content = _read(store, path, strict=strict)
        return _run(store, content, latest_version) if content else None

    with ThreadPoolExecutor(_PARALLEL_FILES) as pool:
        runs = list(filter(None, pool.map(load, paths)))
    return sorted(runs, key=lambda run: (run.started, run.run_id), reverse=True)


def run_files(store: Store) -> Iterator[StoragePath]:
    """The run.json of every run. In an object store, this is one listing."""
    folder = store.root / "runs"
    for path in folder.rglob("run.json"):
        # The folder that gc is deleting has another name: it begins with "_".
        if path.parent.parent == folder and path.parent.name[0].isalnum():
            yield path


def _time(path: StoragePath) -> float:
    """When the run of a run.json started or, if its name does not tell, wrote to it."""
    name = path.parent.name
    if _TIME_NAME.fullmatch(name):
        return datetime.strptime(f"{name[:-1]}+0000", "%Y%m%dT%H%M%S.%f%z").timestamp()
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # gc has deleted it meanwhile
        return 0.0


def _read(store: Store, path: StoragePath, *, strict: bool) -> dict[str, Any] | None:
    try:
        return run_json.read(path)
    except DamagedError as error:
        text = f"{error}; if that run has ended, delete the file"
        if strict:
            raise DamagedError(text) from error
        store.say(text)
        return None


def find_run(store: Store, run_id: str) -> Run | None:
    """One run by its id; None if there is none. Only its own run.json is read."""
    content = read_run_json(store, run_id)
    return _run(store, content, _latest_version(store)) if content else None


def read_run_json(store: Store, run_id: str) -> dict[str, Any] | None:
    """The content of a run's run.json; None if there is none.

    Raises:
        DamagedError: it is damaged.
    """
    try:
        return run_json.read(store.run_path(run_id) / "run.json")
    except DamagedError as error:
        remedy = "name another run; if that run has ended, delete the file"
        raise DamagedError(error.what, remedy) from error


def _latest_version(store: Store) -> str | None:
    latest = store.latest()
    return latest["version"] if latest else None


def _run(store: Store, content: dict[str, Any], latest_version: str | None) -> Run:
    status, seconds = content["status"], content["seconds"]
    if status == RUNNING:
        if _has_died(store, content):
            status = DIED
        else:
            passed = datetime.now(UTC) - datetime.fromisoformat(content["started"])
            seconds = round(passed.total_seconds(), 3)
    recall, published = content["recall"], content["published"]
    version = published["version"] if published else None
    return Run(
        run_id=content["run_id"],
        started=content["started"],
        seconds=seconds,
        status=status,
        items=content["counts"].get("items"),
        recall=recall["value"] if recall and recall["queries"] else None,
        version=version,
        latest=version is not None and version == latest_version,
        kept=version is not None and store.has_table("similar_items", version),
        message=mask(content["message"]),
        # Earlier releases did not say it.
        publishing=content.get("publishing", True),
        counts=content["counts"],
        measured=recall if recall and recall["queries"] else None,
        stages=content.get("stages", []),
        fingerprints=content["fingerprints"],
        uses=content.get("uses", []),
        # Earlier releases wrote secrets of [spark] too.
        settings=mask_settings(content["settings"]),
    )


def _has_died(store: Store, content: dict[str, Any]) -> bool:
    """Whether the process of a run is gone, as far as can be known.

    If the process ran on another machine, or before this machine was restarted, it is taken for
    gone once it has written nothing for days.
    """
    process = content.get("process")  # earlier releases wrote none
    alive = Process(**process).is_alive() if process is not None else None
    return leftovers.is_abandoned(store.run_path(content["run_id"]), alive=alive)
