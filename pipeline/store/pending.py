"""The note of a publication that is under way, in the store and in a table of a catalog.

It is written before the table's commit and removed after the store's pointers have moved. Where it
is still there and nobody holds the store's lock, somebody was killed in between.
"""

from dataclasses import asdict, dataclass

from pipeline.storage.files import read_object, write_json
from pipeline.storage.paths import StoragePath
from pipeline.store.store import Store

_FIELDS = {"table": str, "version": str, "run_id": str, "stages": dict, "is_rollback": bool}


@dataclass(frozen=True)
class Pending:
    """A publication that is under way.

    Attributes:
        table: the table of the catalog.
        version: the version that is published.
        run_id: its run.
        stages: the fingerprint of each of its stages.
        is_rollback: whether it was published before.
    """

    table: str
    version: str
    run_id: str
    stages: dict[str, str]
    is_rollback: bool = False


def path(store: Store) -> StoragePath:
    """The note's file."""
    return store.root / "publications" / "pending.json"


def read(store: Store) -> Pending | None:
    """The publication that is noted; None if there is none.

    Raises:
        DamagedError: the file holds no such note.
    """
    content = read_object(path(store), **_FIELDS)
    return None if content is None else Pending(**{name: content[name] for name in _FIELDS})


def write(store: Store, pending: Pending) -> None:
    """Write the note."""
    write_json(path(store), asdict(pending))


def remove(store: Store) -> None:
    """Remove the note."""
    path(store).unlink()
