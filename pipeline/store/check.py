"""Checking: every file that a version needs is read, and compared with what was written."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from pipeline.errors import DamagedError, UsageError
from pipeline.storage.paths import StoragePath
from pipeline.store import file_list, publications, variants
from pipeline.store.names import LATEST
from pipeline.store.resolve import ResolvedVersion, resolve
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

OK, NO_CHECKSUMS, DAMAGED = "ok", "no checksums", "damaged"


@dataclass(frozen=True)
class Checked:
    """One part of a version.

    Attributes:
        part: a table, `model`, `quantiser`, or `record` for the record of a stage.
        stage: the stage that made it.
        path: where it is.
        status: ok; damaged; or no checksums: a release up to 0.2 wrote it, and it could be read.
        problem: what is wrong with it; empty if nothing is.
    """

    part: str
    stage: str
    path: str
    status: str
    problem: str = ""


def find_version(store: Store, name: str = LATEST) -> ResolvedVersion:
    """The version to check, after the files that say what it consists of were read.

    Args:
        store: the store.
        name: a run, a version, or LATEST.

    Raises:
        UsageError: nothing has this name, or nothing is published.
        DamagedError: one of these files is damaged.
    """
    publications.entries(store, strict=True)
    if name == LATEST:
        for table in publications.POINTERS:
            store.latest(table)
    return resolve(store, name)


def check(resolved: ResolvedVersion) -> Iterator[Checked]:
    """Check all that a version needs, part by part; every file is read."""
    yield from _check(resolved, resolved.stages)
    for name in () if resolved.variant else resolved.variants:
        yield from _check(resolved.of_variant(name), variants.VARIED)


def _check(resolved: ResolvedVersion, stages: Iterable[str]) -> Iterator[Checked]:
    store = resolved.store
    for stage in stages:
        record = _record(resolved, stage)
        if isinstance(record, Checked):
            yield record
            continue
        for table in record.tables:
            yield _table(store, table, record)
        if stage == "train":
            path = store.models.file(record)
            yield _checked("model", stage, path, store.models.find_damage(record, read=True))
        if quantiser := record.outputs.get("quantiser"):
            path = store.quantisers.path(quantiser)
            yield _checked("quantiser", stage, path, store.quantisers.find_damage(quantiser))


def _record(resolved: ResolvedVersion, stage: str) -> StageRecord | Checked:
    path = resolved.store.record_path(stage, resolved.stages[stage])
    failed = partial(_checked, "record", stage, path)
    try:
        record = resolved.store.read_record(stage, resolved.stages[stage])
    except (UsageError, DamagedError) as error:
        return failed(str(error))
    return failed(f"{path}: it is missing or damaged") if record is None else record


def _table(store: Store, table: str, record: StageRecord) -> Checked:
    version = record.version(table)
    damage = store.find_table_damage(table, version, rows=record.tables[table])
    try:
        path = store.table_path(table, version)
    except DamagedError:  # of what names its folder
        return _checked(table, record.stage, store.root / "tables" / table, damage)
    if damage or file_list.read(path) is not None:
        return _checked(table, record.stage, path, damage)
    return Checked(table, record.stage, str(path), NO_CHECKSUMS)


def _checked(part: str, stage: str, path: StoragePath, problem: str) -> Checked:
    return Checked(part, stage, str(path), DAMAGED if problem else OK, problem)
