"""Which tables belong together: those that one run has made, or that are published."""

from dataclasses import dataclass
from typing import Any

from pipeline.errors import UsageError
from pipeline.store import publications, run_records
from pipeline.store.store import Record, Store

LATEST = "LATEST"


_NAMED = 5


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        version: of the similar-item table.
        run: the run that made it; None where its run.json is gone.
        settings: that run's, by section.key.
    """

    version: str
    run: run_records.Run | None
    settings: dict[str, Any]

    def shown(self) -> dict[str, Any]:
        """For JSON."""
        return {"version": self.version, "run_id": self.run.run_id if self.run else None}


def side(store: Store, name: str) -> Side:
    """What a name on the command line stands for: a run, a version, or LATEST.

    Raises:
        UsageError: nothing in the store has this name, or its table is not there.
    """
    run = None if name == LATEST else run_records.find(store, name)
    version = name
    if name == LATEST:
        latest = store.latest()
        if latest is None:
            raise UsageError(f"nothing is published in {store.root}; name a run or a version")
        version = latest["version"]
    elif run is not None:
        if "publish" not in run.fingerprints:
            raise UsageError(f"run {name} did not come to a similar-item table; {_known(store)}")
        version = run.fingerprints["publish"]
    elif "/" in name:
        raise UsageError(f"{name} is no run or version; {_known(store)}")
    if not store.has("similar_items", version):
        if run is not None:
            raise UsageError(f"the table of run {name} has been deleted; {_known(store)}")
        raise UsageError(f"{name} is no run or version in {store.root}; {_known(store)}")
    if run is None:
        run = _maker(store, version)
    return Side(version, run, _flat(run.settings) if run else {})


def _maker(store: Store, version: str) -> run_records.Run | None:
    """The run that made a version; of a version without a record the first that came to it."""
    record = store.find("publish", version)
    if record is not None:
        return run_records.find(store, record.run_id)
    had = [run for run in run_records.listed(store) if run.fingerprints.get("publish") == version]
    return had[-1] if had else None


def _known(store: Store) -> str:
    names = [run.run_id for run in run_records.listed(store) if "publish" in run.fingerprints]
    return f"the last runs are {', '.join(names[:_NAMED])}" if names else "no run made a table yet"


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{section}.{name}": value
        for section, values in settings.items()
        for name, value in values.items()
    }


@dataclass(frozen=True)
class Version:
    """What a name stands for: a run, a version of the similar-item table, or LATEST.

    Attributes:
        store: where it is.
        name: as it was given.
        run: the run that made it; None where its run.json is gone.
        stages: the fingerprint of each stage.
    """

    store: Store
    name: str
    run: run_records.Run | None
    stages: dict[str, str]

    def record(self, stage: str) -> Record:
        """The record of a stage.

        Raises:
            UsageError: it is not in the store.
        """
        record = self.store.find(stage, self.stages.get(stage, "none"))
        if record is None:
            raise UsageError(
                f"{self.name}: the output of {stage} is not in {self.store.root}; name another run"
            )
        return record

    def of(self, table: str) -> str:
        """Under which version one of its tables is.

        Raises:
            UsageError: it has no such table.
        """
        found = (self.store.find(stage, name) for stage, name in self.stages.items())
        tables = {name: one.version(name) for one in found if one for name in one.tables}
        if table not in tables:
            raise UsageError(
                f"{table}: no table of {self.name} in {self.store.root}; it has: "
                f"{', '.join(sorted(tables)) or 'none'}"
            )
        return tables[table]


def find(store: Store, name: str = LATEST) -> Version:
    """What a run, a version of the similar-item table or LATEST is made of.

    Raises:
        UsageError: nothing in the store has this name.
    """
    run = None if name == LATEST else run_records.find(store, name)
    if run is not None:
        return Version(store, f"run {name}", run, run.fingerprints)
    named = side(store, name)
    entry = publications.present(store) if name == LATEST else _published(store, named)
    stages = entry.stages if entry else named.run.fingerprints if named.run else {}
    return Version(store, name, named.run, stages or {"publish": named.version})


def _published(store: Store, named: Side) -> publications.Publication | None:
    mine = [entry for entry in publications.entries(store) if entry.version == named.version]
    return mine[-1] if mine else None
