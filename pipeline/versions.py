"""Which tables belong together: those that one run has made, or that are published."""

from dataclasses import dataclass

from pipeline import history, runs
from pipeline.diff import LATEST, Side, side
from pipeline.errors import UsageError
from pipeline.store import Record, Store


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
    run: runs.Run | None
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
    run = None if name == LATEST else runs.find(store, name)
    if run is not None:
        return Version(store, f"run {name}", run, run.fingerprints)
    named = side(store, name)
    entry = history.present(store) if name == LATEST else _published(store, named)
    stages = entry.stages if entry else named.run.fingerprints if named.run else {}
    return Version(store, name, named.run, stages or {"publish": named.version})


def _published(store: Store, named: Side) -> history.Publication | None:
    mine = [entry for entry in history.entries(store) if entry.version == named.version]
    return mine[-1] if mine else None
