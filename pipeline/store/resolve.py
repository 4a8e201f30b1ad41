"""What a name in a command stands for: a run, a version of the similar-item table, or LATEST."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pipeline.errors import UsageError
from pipeline.store import publications, run_records, variants
from pipeline.store.names import LATEST, check_name
from pipeline.store.publications import Publication
from pipeline.store.run_records import Run
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

_NAMES_SHOWN = 5


@dataclass(frozen=True)
class ResolvedVersion:
    """A run, or a version of the similar-item table, with the other tables that belong to it.

    Only what is asked for is read from the store, once: LATEST reads no run.json unless `run` or
    `settings` is asked for.

    Attributes:
        store: the store that it is in.
        name: the name that was resolved.
        version: of the similar-item table; empty if it is a run that ended before that table.
        named_run: the run of this name; None if the name is a version's or LATEST.
        variant: the variant of the table that is meant; empty for the table itself.
    """

    store: Store
    name: str
    version: str
    named_run: Run | None = None
    variant: str = ""

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"run {self.name}" if self.named_run else self.name

    @cached_property
    def _publication(self) -> Publication | None:
        return None if self.named_run else publications.newest_entry(self.store, self.version)

    @cached_property
    def run_id(self) -> str | None:
        """The run of this name; else the one that published it last, or made it."""
        if self.named_run is not None:
            return self.named_run.run_id
        if self._publication is not None:
            return self._publication.run_id
        return _maker_id(self.store, self.version)

    @cached_property
    def run(self) -> Run | None:
        """The run of `run_id`; None if its run.json is gone."""
        if self.named_run is not None or self.run_id is None:
            return self.named_run
        return run_records.find_run(self.store, self.run_id)

    @cached_property
    def stages(self) -> dict[str, str]:
        """The fingerprint of each stage that it was made by."""
        return variants.stages_of(self._all_stages, self.variant)

    @property
    def variants(self) -> list[str]:
        """The names of the variants of its table."""
        return variants.variant_names(self._all_stages)

    @property
    def _all_stages(self) -> dict[str, str]:
        if self._publication is not None and self._publication.stages:
            return self._publication.stages
        return (self.run.fingerprints if self.run else {}) or {"publish": self.version}

    @property
    def own_variant(self) -> str:
        """The variant whose table a version's name names; empty if it names the table itself."""
        if self.named_run is not None or self.name == LATEST:
            return ""
        stages = self._all_stages
        if stages.get("publish") == self.version:
            return ""
        tables = {one: variants.stages_of(stages, one).get("publish") for one in self.variants}
        return next((name for name, version in tables.items() if version == self.version), "")

    def of_variant(self, name: str) -> "ResolvedVersion":
        """A variant of it.

        Raises:
            UsageError: it has no such variant.
        """
        if name not in self.variants:
            raise UsageError(
                f"{self.name}@{name}: {self.label} has no variant {name}; it has: "
                f"{', '.join(self.variants) or 'none'}"
            )
        version = variants.stages_of(self._all_stages, name).get("publish", "")
        run, label = self.named_run, f"{self.name}@{name}"
        variant = ResolvedVersion(self.store, label, version, run, name)
        variant.__dict__["_publication"] = self._publication
        return variant

    @property
    def settings(self) -> dict[str, Any]:
        """The run's settings by `section.key`; none if its run.json is gone."""
        sections = dict(self.run.settings) if self.run else {}
        # Who is told of a run changes nothing of its table.
        sections.pop("notify", None)
        variants = {one["name"]: one for one in sections.pop("variant", [])}
        if own := variants.get(self.variant):
            sections |= {name: own[name] for name in ("rules", "rank") if own[name] is not None}
            sections["neighbors"] = sections["neighbors"] | ({"k": own["k"]} if own["k"] else {})
        return {
            f"{section}.{key}": value
            for section, values in sections.items()
            for key, value in values.items()
        }

    def record(self, stage: str) -> StageRecord:
        """The record of a stage, whose output is in the store.

        Raises:
            UsageError: the output is not in the store.
        """
        record = self.store.find_record(stage, self.stages.get(stage, "none"))
        if record is None:
            raise UsageError(
                f"{self.label}: the output of {stage} is not in {self.store.root}; name another run"
            )
        return record

    def table(self, table: str) -> str:
        """The version of one of its tables.

        Raises:
            UsageError: it has no such table.
        """
        records = (self.store.find_record(stage, version) for stage, version in self.stages.items())
        versions = {name: one.version(name) for one in records if one for name in one.tables}
        if table not in versions:
            raise UsageError(
                f"{table}: no table of {self.label} in {self.store.root}; it has: "
                f"{', '.join(sorted(versions)) or 'none'}"
            )
        return versions[table]

    def shown(self) -> dict[str, Any]:
        """For JSON: version and run_id."""
        return {"version": self.version, "run_id": self.run.run_id if self.run else None}


def resolve(store: Store, name: str = LATEST, *, with_table: bool = False) -> ResolvedVersion:
    """What a name stands for.

    Args:
        store: where to look.
        name: a run, a version of the similar-item table, or LATEST.
        with_table: whether a run without a similar-item table in the store is an error.

    Raises:
        UsageError: nothing in the store has this name, or LATEST names nothing yet.
    """
    named, at, variant = name.partition("@")
    resolved = _resolve(store, named)
    if at:
        resolved = resolved.of_variant(variant)
    elif variant := resolved.own_variant:
        resolved = replace(resolved.of_variant(variant), name=name)
    if with_table and not resolved.version:
        raise UsageError(f"run {name} did not come to a similar-item table; {_last_runs(store)}")
    if with_table and not store.has_table("similar_items", resolved.version):
        raise UsageError(f"the table of {resolved.label} has been deleted; {_last_runs(store)}")
    return resolved


def _resolve(store: Store, name: str) -> ResolvedVersion:
    if name == LATEST:
        latest = store.latest()
        if latest is None:
            raise UsageError(
                f"nothing is published in {store.root}; run: nitamono run --config FILE, "
                "or name a run or a version"
            )
        return ResolvedVersion(store, name, latest["version"])
    run = run_records.find_run(store, check_name(name))
    if run is not None:
        return ResolvedVersion(store, name, run.fingerprints.get("publish", ""), run)
    if not store.has_table("similar_items", name):
        raise UsageError(f"{name} is no run or version in {store.root}; {_last_runs(store)}")
    return ResolvedVersion(store, name, name)


def _maker_id(store: Store, version: str) -> str | None:
    """The run that made a version; for a version without a record the oldest run that has it."""
    record = store.find_record("publish", version)
    if record is not None:
        return record.run_id
    runs = run_records.list_runs(store)
    makers = [
        run
        for run in runs
        if any(
            s.partition("@")[0] == "publish" and v == version for s, v in run.fingerprints.items()
        )
    ]
    return makers[-1].run_id if makers else None


def _last_runs(store: Store) -> str:
    names = [run.run_id for run in run_records.list_runs(store) if "publish" in run.fingerprints]
    if not names:
        return "no run made a table yet"
    return f"the last runs are {', '.join(names[:_NAMES_SHOWN])}"
