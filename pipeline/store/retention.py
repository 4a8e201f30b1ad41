"""Retention: which outputs, models and quantisers must stay, and why."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from types import UnionType
from typing import Any

from pipeline.errors import DamagedError
from pipeline.storage.files import read_object
from pipeline.storage.paths import StoragePath, sorted_by_address
from pipeline.store import pending, publications, run_records
from pipeline.store.publications import Publication
from pipeline.store.quantisers import STATE_FIELDS
from pipeline.store.schemas import SCHEMAS
from pipeline.store.stage_record import RECORD_FIELDS
from pipeline.store.store import Store
from pipeline.store.variants import ShopTables

# The clocks of hosts that share a store may differ by so many seconds.
_CLOCK_SKEW = 3600


@dataclass
class Retained:
    """What must stay, each with the reason.

    Attributes:
        versions: fingerprints of stages' outputs; they name records and tables.
        models: names of models' folders.
        quantisers: fingerprints of the indexes that the quantisers were trained for.
        runs: the ids of runs, which name their folders.
        all_runs: the ids of all runs in the store, the newest first: they need not stay.
        before: everything that was changed at or after this time stays, because a running run may
            be writing it; in seconds since the epoch.
    """

    versions: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    quantisers: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    all_runs: list[str] = field(default_factory=list)
    before: float = math.inf

    def add(self, versions: Iterable[str], why: str) -> None:
        """Add versions; a version that has a reason already keeps it."""
        for version in versions:
            self.versions.setdefault(version, why)


def find_retained(store: Store, keep: int, also_keep: Iterable[str] = ()) -> Retained:
    """Find what must stay.

    Args:
        store: the store to look through.
        keep: number of the versions published last that stay.
        also_keep: fingerprints of outputs that stay too.

    Raises:
        DamagedError: a file that says what must stay is damaged; the message names it.
    """
    retained = Retained()
    _add_published(store, keep, retained)
    _add_runs(store, retained)
    _add_current(store, retained)
    retained.add(also_keep, "its record is there")
    _add_named_by_records(store, retained)
    return retained


def _add_published(store: Store, keep: int, retained: Retained) -> None:
    pointers = (store.latest(table) for table in SCHEMAS)
    retained.add((pointer["version"] for pointer in pointers if pointer), "LATEST")
    current = publications.current(store)
    if current is not None:
        retained.add(_versions(current), "LATEST")
    unfinished = pending.read(store)
    if unfinished is not None:
        why = f"publishing it to table {unfinished.table} was broken off"
        retained.add([unfinished.version, *unfinished.stages.values()], why)
    for entry in [*_published_last(store, keep), *_rollback_targets(store, current, keep)]:
        why = f"version {entry.version}, published by run {entry.run_id}"
        retained.add(_versions(entry), why)
        retained.runs.setdefault(entry.run_id, why)


def _versions(entry: Publication) -> list[str]:
    return [*entry.stages.values(), *(pointer["version"] for pointer in entry.tables.values())]


def _published_last(store: Store, keep: int) -> list[Publication]:
    """The newest entry of each of the versions published last."""
    newest: dict[ShopTables, Publication] = {}
    for entry in reversed(publications.entries(store, strict=True)):
        if entry.action != publications.ROLLED_BACK:
            newest.setdefault(entry.shop_tables, entry)
    return list(newest.values())[:keep]


def _rollback_targets(store: Store, current: Publication | None, keep: int) -> list[Publication]:
    """The current entry and those that repeated rollbacks lead to, `keep` entries at most.

    After a rollback they need not be the versions published last.
    """
    by_number = {entry.number: entry for entry in publications.entries(store, strict=True)}
    targets: list[Publication] = []
    while current is not None and len(targets) < keep:
        targets.append(current)
        current = by_number.get(current.before) if current.before is not None else None
    return targets


def _add_runs(store: Store, retained: Retained) -> None:
    current = publications.current(store)
    published = _timestamp(current.time) - _CLOCK_SKEW if current and current.number else 0.0
    for run in run_records.list_runs(store, strict=True):
        retained.all_runs.append(run.run_id)
        if run.status == run_records.RUNNING:
            why = f"run {run.run_id} is running"
            retained.runs.setdefault(run.run_id, why)
            retained.add([*run.fingerprints.values(), *run.uses], why)
            started = _timestamp(run.started) - _CLOCK_SKEW
            retained.before = min(retained.before, started)
            for entry in _published_since(store, started):
                retained.add(_versions(entry), f"run {run.run_id} may build on it")
        elif (
            run.status == run_records.HELD_BACK
            and _timestamp(run.started) + run.seconds > published
        ):
            # Somebody has to look at its table, and may still publish it.
            why = f"run {run.run_id} was held back since"
            retained.runs.setdefault(run.run_id, why)
            retained.add(run.fingerprints.values(), why)


def _published_since(store: Store, moment: float) -> list[Publication]:
    """The entry that was current at a moment, and all entries since."""
    entries = publications.entries(store, strict=True)
    earlier = [n for n, entry in enumerate(entries) if _timestamp(entry.time) <= moment]
    return entries[max(earlier, default=0) :]


def _timestamp(time: str) -> float:
    """A time in ISO 8601 as seconds since the epoch."""
    return datetime.fromisoformat(time).timestamp()


def _add_current(store: Store, retained: Retained) -> None:
    """Add the models and quantisers that the next run will use."""
    remedy = "nothing was deleted; the next run that publishes writes it again, or delete it"
    for path in sorted_by_address((store.root / "models" / "current").glob("*.json")):
        if current := _read(path, remedy, fingerprint=str):
            retained.add([current["fingerprint"]], "current model")
    for path in sorted_by_address((store.root / "quantisers" / "current").glob("*.json")):
        if current := _read(path, remedy, **STATE_FIELDS):
            for version in (current["version"], current["before"]):
                if version:
                    retained.quantisers.setdefault(version, "current quantiser")


def _add_named_by_records(store: Store, retained: Retained) -> None:
    """Add what retained records name: models, quantisers, runs, what a table was built on."""
    files = {path.stem: path for path in (store.root / "stages").glob("*/*.json")}
    remedy = (
        "nothing was deleted; run nitamono run --config FILE, which writes the records of what is "
        "published again; if it is of an older version, put its copy of a backup in its place, or "
        "delete it: its version can't be used then"
    )
    for version, why in list(retained.versions.items()):
        record = _read(files[version], remedy, **RECORD_FIELDS) if version in files else None
        if record is None:
            continue
        inputs, outputs = record["inputs"], record["outputs"]
        retained.runs.setdefault(record["run_id"], why)
        if record["stage"] == "publish" and (baseline := inputs.get("baseline")):
            retained.add(baseline.values(), f"version {version} was built on it")
        if record["stage"] == "train" and (sha256 := outputs.get("sha256")):
            retained.models.setdefault(sha256[:16], why)
        if record["stage"] in ("tokenize", "index") and (moves := outputs.get("moves")):
            retained.add([moves], why)
        if record["stage"] == "index" and (quantiser := outputs.get("quantiser")):
            retained.quantisers.setdefault(quantiser, why)


def _read(path: StoragePath, remedy: str, **fields: type | UnionType) -> dict[str, Any] | None:
    try:
        return read_object(path, **fields)
    except DamagedError as error:
        raise DamagedError(error.what, remedy) from error
