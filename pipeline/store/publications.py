"""Publications: what was published when, one small file for each publication or rollback.

The files are publications/NUMBER.json and are never changed. An entry is written before the
pointers move, so everything that is published has an entry. LATEST of the similar-item table says
which entry is current.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from pipeline.errors import DamagedError
from pipeline.storage.files import read_object, write_json
from pipeline.storage.paths import StoragePath
from pipeline.store import file_list
from pipeline.store.store import Store
from pipeline.store.variants import (
    ShopTables,
    shop_tables,
    stages_of,
    variant_names,
    variant_tables,
)

# The stage that makes each table that has a pointer, in the order in which the pointers move.
POINTERS = {
    "items": "ingest",
    "quarantine": "ingest",
    "embeddings": "embed",
    "short_lists": "neighbors",
    "similar_items": "publish",
}
PUBLISHED, ROLLED_BACK, UNRECORDED = "published", "rolled_back", "found"
_ENTRY_FIELDS = {
    "number": int,
    "time": str,
    "version": str,
    "run_id": str,
    "tables": dict,
    "stages": dict,
}

# The version and run_id of each table.
Pointers = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Publication:
    """Tables that were published together.

    Attributes:
        number: counted up from 1; 0 for what was published before the first entry.
        action: published; rolled_back: published again; found: the entry with number 0.
        time: in UTC, ISO 8601.
        version: the version of the similar-item table.
        run_id: the run that published it.
        tables: version and run_id of each table.
        stages: the fingerprint of each stage that the tables were made by.
        before: the number of the entry that a rollback goes back to; None if there is none.
    """

    number: int
    action: str
    time: str
    version: str
    run_id: str
    tables: Pointers
    stages: dict[str, str]
    before: int | None = None

    @property
    def variants(self) -> list[str]:
        """The names of its variants."""
        return variant_names(self.stages)

    @property
    def shop_tables(self) -> ShopTables:
        """The versions of the similar-item table and of its variants: they identify the entry."""
        return shop_tables(self.version, variant_tables(self.stages))

    def of_variant(self, name: str) -> "Publication":
        """The same, with a variant's table in place of its own; without it if there is none."""
        stages = stages_of(self.stages, name)
        tables = {
            table: pointer | {"version": stages[POINTERS[table]]}
            for table, pointer in self.tables.items()
            if POINTERS[table] in stages
        }
        return replace(self, version=stages.get("publish", ""), tables=tables, stages=stages)

    def missing(self, store: Store) -> list[str]:
        """The tables of it that are not in the store any more."""
        return [table for table, version in self._versions() if not store.has_table(table, version)]

    def _versions(self) -> Iterator[tuple[str, str]]:
        """Its tables and their versions, those of its variants too."""
        yield from ((table, pointer["version"]) for table, pointer in self.tables.items())
        yield from (("similar_items", self.of_variant(name).version) for name in self.variants)

    def find_damage(self, store: Store) -> str:
        """What is wrong with its tables; empty if nothing is.

        The similar-item table is read; of the others, which are larger, the files' sizes are
        looked at.
        """
        for table, version in self._versions():
            try:
                file_list.present_files(store.table_path(table, version))
            except DamagedError as error:
                return error.what
            except FileNotFoundError as error:
                return str(error)
        damages = (
            store.find_table_damage(table, version)
            for table, version in self._versions()
            if table == "similar_items"
        )
        return next(filter(None, damages), "")


def entries(store: Store, *, strict: bool = False) -> list[Publication]:
    """All entries, the oldest first; a damaged one is said and left out.

    Args:
        store: the store.
        strict: whether a damaged entry is an error.

    Raises:
        DamagedError: an entry is damaged.
    """
    return list(newest_first(store, strict=strict))[::-1]


def newest_first(store: Store, *, strict: bool = False) -> Iterator[Publication]:
    """The same entries, the newest first; each is read when it is asked for.

    Args:
        store: the store.
        strict: whether a damaged entry is an error.

    Raises:
        DamagedError: an entry is damaged.
    """
    for path in sorted(_files(store), key=lambda path: int(path.stem), reverse=True):
        try:
            content = read_object(path, **_ENTRY_FIELDS)
            if content is not None:
                yield Publication(**content)
        except (DamagedError, TypeError) as error:
            text = (
                f"{path}: this entry of what was published is damaged; put its copy of a backup in "
                "its place, or delete it: its version can't be rolled back to then"
            )
            if strict:
                raise DamagedError(text) from error
            store.say(text)


def _files(store: Store) -> list[StoragePath]:
    return [path for path in (store.root / "publications").glob("*.json") if path.stem.isdigit()]


def current(store: Store) -> Publication | None:
    """The current entry: the newest one of the tables that LATEST names; None without LATEST."""
    latest = store.latest()
    if latest is None:
        return None
    tables = shop_tables(latest["version"], store.latest_variants())
    for entry in newest_first(store):
        if entry.shop_tables == tables:
            return entry
    # If LATEST names variants that no entry has, it is as good as one of another version.
    return newest_entry(store, latest["version"])


def newest_entry(store: Store, version: str) -> Publication | None:
    """The newest entry of a version; None if the version was never published."""
    for entry in newest_first(store):
        if entry.version == version:
            return entry
    latest = store.latest()
    is_latest = latest is not None and latest["version"] == version
    return _unrecorded(store, latest) if latest is not None and is_latest else None


def _unrecorded(store: Store, latest: dict[str, str]) -> Publication:
    """An entry for what was published by an earlier release, which wrote no entries."""
    latest_of = {table: store.latest(table) for table in POINTERS}
    pointers = {table: pointer for table, pointer in latest_of.items() if pointer}
    run = read_object(store.run_path(latest["run_id"]) / "run.json", fingerprints=dict) or {}
    return Publication(
        number=0,
        action=UNRECORDED,
        time=_now(),
        version=latest["version"],
        run_id=latest["run_id"],
        tables={
            table: {"version": pointer["version"], "run_id": pointer["run_id"]}
            for table, pointer in pointers.items()
        },
        stages={POINTERS[table]: pointer["version"] for table, pointer in pointers.items()}
        | run.get("fingerprints", {}),
    )


def publish(store: Store, run_id: str, stages: dict[str, str]) -> None:
    """Move the pointers to the outputs of these stages, that of the similar-item table last.

    If all pointers are there already, nothing is written.

    Args:
        store: the store; the caller holds its lock.
        run_id: the run that publishes.
        stages: the fingerprint of each stage.
    """
    present = current(store)
    tables: Pointers = {}
    for table, stage in POINTERS.items():
        pointer = store.latest(table)
        unchanged = pointer is not None and pointer["version"] == stages[stage]
        if table == "similar_items":
            unchanged &= store.latest_variants() == variant_tables(stages)
        publisher = pointer["run_id"] if pointer is not None and unchanged else run_id
        tables[table] = {"version": stages[stage], "run_id": publisher}
    version = tables["similar_items"]["version"]
    before = None
    if present is not None:
        is_same = present.shop_tables == shop_tables(version, variant_tables(stages))
        if present.tables == tables and is_same:
            _move_pointers(store, tables, stages)
            return
        if present.number == 0:
            write(store, present)
        before = present.before if is_same else present.number
    enter(store, PUBLISHED, version, run_id, tables, stages, before)


def enter(
    store: Store,
    action: str,
    version: str,
    run_id: str,
    tables: Pointers,
    stages: dict[str, str],
    before: int | None,
) -> Publication:
    """Write an entry, then move the pointers."""
    # Of the names: a damaged entry's number is not used again.
    number = max((int(path.stem) for path in _files(store)), default=0) + 1
    entry = Publication(number, action, _now(), version, run_id, tables, stages, before)
    write(store, entry)
    try:
        _move_pointers(store, tables, stages)
    except BaseException:
        recover(store)
        raise
    return entry


def recover(store: Store) -> None:
    """Bring all pointers in line with LATEST, after a run was broken off while it moved them.

    If LATEST itself is damaged, or names a version that is not in the store, it is restored from
    the newest entry whose tables are all there, and that is said.

    Raises:
        DamagedError: there is no such entry.
    """
    try:
        present = current(store)
        problem = ""
        if present is not None and not store.has_table("similar_items", present.version):
            problem = f"version {present.version} is not in the store"
    except DamagedError as error:
        present, problem = None, error.what
    if problem:
        whole = next((entry for entry in newest_first(store) if not entry.missing(store)), None)
        if whole is not None:
            present = whole
            store.say(
                f"LATEST: {problem}; it is restored from entry {present.number} of publications/: "
                f"version {present.version} of run {present.run_id}"
            )
        elif present is None:
            raise DamagedError(f"{problem}: no entry of publications/ names tables that are there")
    _move_pointers(store, present.tables if present else {}, present.stages if present else {})


def _move_pointers(store: Store, tables: Pointers, stages: Mapping[str, str]) -> None:
    for table in POINTERS:
        target = tables.get(table)
        if target is None:
            store.clear_latest(table)
            continue
        try:
            pointer = store.latest(table)
        except DamagedError as error:
            store.say(f"{error.what}; it is written again")
            pointer = None
        variants = variant_tables(stages) if table == "similar_items" else {}
        differs = pointer is None or _differs(store, table, pointer, target["version"])
        if differs or variants != store.latest_variants(table):
            store.set_latest(table, target["version"], target["run_id"], variants)


def _differs(store: Store, table: str, pointer: dict[str, str], version: str) -> bool:
    """Whether a pointer names another version, or another folder than the version has now."""
    if pointer["version"] != version:
        return True
    try:
        # In an object store, a version that was made again is in another folder.
        return not pointer["path"].endswith(store.table_path(table, version).name)
    except DamagedError:  # which folder it has is not known; the run that reads it makes it again
        return False


def entry_path(store: Store, entry: Publication) -> StoragePath:
    """The file of an entry."""
    return store.root / "publications" / f"{entry.number:06d}.json"


def write(store: Store, entry: Publication) -> None:
    """Write an entry; the pointers stay."""
    write_json(entry_path(store, entry), asdict(entry))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
