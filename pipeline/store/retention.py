"""What of a store is needed: by what is published or was, by runs under way, by the next night."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.storage.files import read_json
from pipeline.storage.paths import sorted_by_address
from pipeline.store import publications, run_records
from pipeline.store.publications import Publication
from pipeline.store.schemas import SCHEMAS
from pipeline.store.store import Store

# Clocks of hosts that share a store may differ by so many seconds.
_CLOCKS = 3600


@dataclass
class Needs:
    """What is needed.

    Attributes:
        versions: fingerprints of stages, which name records and tables, each with the reason.
        models: names of models' folders, each with the reason.
        quantisers: versions of quantisers, each with the reason.
        before: what is as new as this, in seconds since the epoch, stays whatever it is: a run
            under way may be making it.
    """

    versions: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    quantisers: dict[str, str] = field(default_factory=dict)
    before: float = math.inf

    def add(self, versions: Iterable[str], why: str) -> None:
        """Versions that are needed; of several reasons the first is told."""
        for version in versions:
            self.versions.setdefault(version, why)


def find_retained(store: Store, keep: int, also: Iterable[str] = ()) -> Needs:
    """What is needed, if so many of the versions published last are kept, and these outputs too."""
    needs = Needs()
    _published(store, keep, needs)
    _runs(store, needs)
    _next_night(store, needs)
    needs.add(also, "its record is there")
    _from_records(store, needs)
    return needs


def _published(store: Store, keep: int, needs: Needs) -> None:
    pointers = (store.latest(table) for table in SCHEMAS)
    needs.add((pointer["version"] for pointer in pointers if pointer), "LATEST")
    now = publications.current(store)
    if now is not None:
        needs.add(_versions(now), "LATEST")
    for entry in [*_last(store, keep), *_back(store, now, keep)]:
        needs.add(_versions(entry), f"version {entry.version}, published by run {entry.run_id}")


def _versions(entry: Publication) -> list[str]:
    return [*entry.stages.values(), *(about["version"] for about in entry.tables.values())]


def _last(store: Store, keep: int) -> list[Publication]:
    """The last entries of each of the versions published last."""
    found: dict[str, Publication] = {}
    for entry in reversed(publications.entries(store)):
        if entry.action != publications.ROLLED_BACK:
            found.setdefault(entry.version, entry)
    return list(found.values())[:keep]


def _back(store: Store, now: Publication | None, keep: int) -> list[Publication]:
    """What so many rollbacks less one would come to: it need not be what was published last."""
    by_number = {entry.number: entry for entry in publications.entries(store)}
    found: list[Publication] = []
    while now is not None and len(found) < keep:
        found.append(now)
        now = by_number.get(now.before) if now.before is not None else None
    return found


def _runs(store: Store, needs: Needs) -> None:
    now = publications.current(store)
    since = _seconds(now.time) - _CLOCKS if now is not None and now.number else 0.0
    for run in run_records.list_runs(store):
        if run.status == run_records.RUNNING:
            needs.add([*run.fingerprints.values(), *run.uses], f"run {run.run_id} is running")
            started = _seconds(run.started) - _CLOCKS
            needs.before = min(needs.before, started)
            for entry in _since(store, started):
                needs.add(_versions(entry), f"run {run.run_id} may build on it")
        elif run.status == run_records.HELD_BACK and _seconds(run.started) + run.seconds > since:
            # Somebody is to look at it, and may publish it yet.
            needs.add(run.fingerprints.values(), f"run {run.run_id} was held back since")


def _since(store: Store, moment: float) -> list[Publication]:
    """What was published at a moment, and all that was since."""
    known = publications.entries(store)
    earlier = [n for n, entry in enumerate(known) if _seconds(entry.time) <= moment]
    return known[max(earlier, default=0) :]


def _seconds(time: str) -> float:
    """Of a time in ISO 8601: seconds since the epoch."""
    return datetime.fromisoformat(time).timestamp()


def _next_night(store: Store, needs: Needs) -> None:
    for path in sorted_by_address((store.root / "models" / "current").glob("*.json")):
        if current := read_json(path):
            needs.add([current["fingerprint"]], "current model")
    for path in sorted_by_address((store.root / "quantisers" / "current").glob("*.json")):
        if current := read_json(path):
            for version in (current["version"], current["before"]):
                if version:
                    needs.quantisers.setdefault(version, "current quantiser")


def _from_records(store: Store, needs: Needs) -> None:
    """What the records that are needed name: models, quantisers, what a table was built on."""
    for version, why in list(needs.versions.items()):
        if built_on := _of(store, "publish", version, "inputs").get("baseline"):
            needs.add(built_on.values(), f"version {version} was built on it")
        if model := _of(store, "train", version, "outputs").get("sha256"):
            needs.models.setdefault(model[:16], why)
        for stage in ("tokenize", "index"):
            if moves := _of(store, stage, version, "outputs").get("moves"):
                needs.add([moves], why)
        if quantiser := _of(store, "index", version, "outputs").get("quantiser"):
            needs.quantisers.setdefault(quantiser, why)


def _of(store: Store, stage: str, version: str, part: str) -> dict[str, Any]:
    record = read_json(store.root / "stages" / stage / f"{version}.json") or {}
    found: dict[str, Any] = record.get(part) or {}
    return found
