"""The runs of a store, as their run.json files tell of them."""

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.storage.files import read_json
from pipeline.storage.processes import Process
from pipeline.store import leftovers
from pipeline.store.store import Store

# The status of a run, in run.json; DIED is no value of it, see `list_runs`.
RUNNING, DONE, PUBLISHED = "running", "done", "published"
HELD_BACK, FAILED, DIED = "held_back", "failed", "died"


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        run_id: its name.
        started: in UTC, ISO 8601.
        seconds: what it took; of one that is running, so far.
        status: running, done, published, held_back or failed; died: it said that it was running,
            and its process is gone.
        items: valid rows of its catalogue; None if it did not come so far.
        recall: as measured; None as well.
        version: what it published; None if it did not.
        latest: whether that is published now.
        kept: whether it is still in the store.
        message: what ended it, if that was no success.
        fingerprints: of each stage that it came to.
        uses: of what it builds on.
        settings: its config.
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
    fingerprints: dict[str, str] = field(repr=False)
    uses: list[str] = field(repr=False)
    settings: dict[str, Any] = field(repr=False)

    def shown(self) -> dict[str, Any]:
        """What the list of runs says of it."""
        about = asdict(self)
        del about["fingerprints"], about["settings"], about["uses"]
        return about


def list_runs(store: Store) -> list[Run]:
    """All runs, the newest first."""
    latest = store.latest()
    published = latest["version"] if latest else None
    raw = (read_json(path) for path in (store.root / "runs").glob("*/run.json"))
    found = [_run(store, about, published) for about in raw if about]
    return sorted(found, key=lambda run: (run.started, run.run_id), reverse=True)


def find_run(store: Store, run_id: str) -> Run | None:
    """One run by its name; None if there is none."""
    about = read_json(store.run_path(run_id) / "run.json")
    if not about:
        return None
    latest = store.latest()
    return _run(store, about, latest["version"] if latest else None)


def _run(store: Store, about: dict[str, Any], latest: str | None) -> Run:
    status, seconds = about["status"], about["seconds"]
    if status == RUNNING:
        if _gone(store, about):
            status = DIED
        else:
            passed = datetime.now(UTC) - datetime.fromisoformat(about["started"])
            seconds = round(passed.total_seconds(), 3)
    recall, published = about["recall"], about["published"]
    version = published["version"] if published else None
    return Run(
        run_id=about["run_id"],
        started=about["started"],
        seconds=seconds,
        status=status,
        items=about["counts"].get("items"),
        recall=recall["value"] if recall and recall["queries"] else None,
        version=version,
        latest=version is not None and version == latest,
        kept=version is not None and store.has_table("similar_items", version),
        message=about["message"],
        fingerprints=about["fingerprints"],
        uses=about.get("uses", []),
        settings=about["settings"],
    )


def _gone(store: Store, about: dict[str, Any]) -> bool:
    """Whether the process is gone, as far as can be known.

    On another machine, or before this one was started again, that it is is taken from its having
    written nothing for days.
    """
    process = about.get("process")  # earlier releases wrote none
    alive = Process(**process).is_alive() if process is not None else None
    return leftovers.is_abandoned(store.run_path(about["run_id"]), alive=alive)
