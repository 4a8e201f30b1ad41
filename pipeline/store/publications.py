"""What was published when: one small file a publication or rollback, which is never changed.

They are publications/NUMBER.json in the store. An entry is written before the pointers move, so
that whatever is published has one; which entry holds now, LATEST of the similar-item table says.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from pipeline.errors import UsageError
from pipeline.storage.files import read_json, write_json
from pipeline.store.store import Store

# Which stage makes each table that has a pointer, in the order in which the pointers move.
POINTERS = {
    "items": "ingest",
    "quarantine": "ingest",
    "embeddings": "embed",
    "short_lists": "neighbors",
    "similar_items": "publish",
}
PUBLISHED, ROLLED_BACK, UNRECORDED = "published", "rolled_back", "found"
_NAMED = 10


@dataclass(frozen=True)
class Publication:
    """Tables that were published together.

    Attributes:
        number: counted up from 1; 0 for what was there before the first.
        action: published; rolled_back: published again; found: as number 0.
        time: in UTC, ISO 8601.
        version: of the similar-item table.
        run_id: the run that published it.
        tables: version and run_id of each table.
        stages: the fingerprint of each stage that it was made by.
        before: the number of what was published before this, and is so again after a rollback.
    """

    number: int
    action: str
    time: str
    version: str
    run_id: str
    tables: dict[str, dict[str, str]]
    stages: dict[str, str]
    before: int | None = None

    def missing(self, store: Store) -> list[str]:
        """Which of the tables are not in the store any more."""
        return [
            table
            for table, pointer in self.tables.items()
            if not store.has_table(table, pointer["version"])
        ]


def entries(store: Store) -> list[Publication]:
    """All entries, the oldest first."""
    raw = (read_json(path) for path in (store.root / "publications").glob("[0-9]*.json"))
    return sorted((Publication(**entry) for entry in raw if entry), key=lambda e: e.number)


def current(store: Store) -> Publication | None:
    """The entry that holds now: the newest one of the version that LATEST names."""
    latest = store.latest()
    return None if latest is None else newest_entry(store, latest["version"])


def newest_entry(store: Store, version: str) -> Publication | None:
    """The newest entry of a version; None if the version was never published."""
    of_version = [entry for entry in entries(store) if entry.version == version]
    if of_version:
        return of_version[-1]
    latest = store.latest()
    published = latest is not None and latest["version"] == version
    return _without_entry(store, latest) if latest is not None and published else None


def _without_entry(store: Store, latest: dict[str, str]) -> Publication:
    """What an earlier release published, which wrote no entries."""
    latest_of = {table: store.latest(table) for table in POINTERS}
    pointers = {table: pointer for table, pointer in latest_of.items() if pointer}
    run = read_json(store.run_path(latest["run_id"]) / "run.json") or {}
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
    """Move the pointers to what these stages made, the similar-item table's last.

    Where all are there already nothing is done.
    """
    now = current(store)
    tables = {}
    for table, stage in POINTERS.items():
        pointer = store.latest(table)
        same = pointer is not None and pointer["version"] == stages[stage]
        by = pointer["run_id"] if pointer is not None and same else run_id
        tables[table] = {"version": stages[stage], "run_id": by}
    if now is not None and now.tables == tables:
        return
    if now is not None and now.number == 0:
        _write(store, now)
    before = None
    if now is not None:
        again = now.version == tables["similar_items"]["version"]
        before = now.before if again else now.number
    version = tables["similar_items"]["version"]
    _enter(store, PUBLISHED, version, run_id, tables, stages, before)


def rollback(store: Store, name: str | None = None) -> tuple[Publication, Publication]:
    """Move the pointers back together, the similar-item table's last. Nothing is deleted.

    Args:
        store: whose tables.
        name: a version that was published, or its run; None: what was published before.

    Returns:
        what was published, and what is now.

    Raises:
        UsageError: nothing is published, or there is nothing to go back to.
    """
    now = current(store)
    if now is None:
        raise UsageError(f"nothing is published in {store.root}; run: nitamono run --config FILE")
    goal = _goal(store, now, name)
    if missing := goal.missing(store):
        raise UsageError(
            f"version {goal.version} can't be published again: of its tables {', '.join(missing)} "
            f"are not in the store any more; {_could_be_named(store, now)}"
        )
    return now, _enter(
        store, ROLLED_BACK, goal.version, goal.run_id, goal.tables, goal.stages, goal.before
    )


def _goal(store: Store, now: Publication, name: str | None) -> Publication:
    known = entries(store)
    if name is None:
        found = [entry for entry in known if entry.number == now.before]
        if not found:
            raise UsageError(
                f"nothing was published before version {now.version}; {_could_be_named(store, now)}"
            )
    else:
        if name in (now.version, now.run_id):
            raise UsageError(f"{name} is published already; {_could_be_named(store, now)}")
        found = [entry for entry in known if name in (entry.version, entry.run_id)]
        if not found:
            raise UsageError(f"{name} was never published; {_could_be_named(store, now)}")
    return found[-1]


def _could_be_named(store: Store, now: Publication) -> str:
    whole = {
        entry.version: entry
        for entry in reversed(entries(store))
        if entry.version != now.version and not entry.missing(store)
    }
    if not whole:
        return "no other version could be"
    named = [f"{version} (run {entry.run_id})" for version, entry in whole.items()]
    more = f" and {len(named) - _NAMED} older ones" if len(named) > _NAMED else ""
    return f"name one of these: {', '.join(named[:_NAMED])}{more}"


def _enter(
    store: Store,
    action: str,
    version: str,
    run_id: str,
    tables: dict[str, dict[str, str]],
    stages: dict[str, str],
    before: int | None,
) -> Publication:
    """Write an entry, then move the pointers."""
    number = max((entry.number for entry in entries(store)), default=0) + 1
    entry = Publication(number, action, _now(), version, run_id, tables, stages, before)
    _write(store, entry)
    try:
        _point(store, tables)
    except BaseException:
        recover(store)
        raise
    return entry


def recover(store: Store) -> None:
    """Bring the pointers in line with LATEST, where a run was broken off while it moved them."""
    now = current(store)
    _point(store, now.tables if now else {})


def _point(store: Store, tables: dict[str, dict[str, str]]) -> None:
    for table in POINTERS:
        about, pointer = tables.get(table), store.latest(table)
        if about is None:
            store.clear_latest(table)
        elif pointer is None or pointer["version"] != about["version"]:
            store.set_latest(table, about["version"], about["run_id"])


def _write(store: Store, entry: Publication) -> None:
    write_json(store.root / "publications" / f"{entry.number:06d}.json", asdict(entry))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
