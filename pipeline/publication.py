"""Publishing as one act: whether a run does it, and pointers that move together or not at all."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.files import read_json, write_json
from pipeline.sections import Config
from pipeline.store import Store

# Sections that say where and how a run works, not what its table holds.
_NOT_OF_THE_TABLE = {"store", "spark", "publish"}
_LAST = "similar_items"


def wanted(config: Config, assignments: Sequence[str], store: Store) -> bool:
    """Whether a whole run publishes that was not told to on the command line.

    One whose settings are changed by --set is an experiment: it does so only where nothing has
    been published yet. A config that says `publish = true` may be given its catalogue by --set.
    """
    section = config.publish
    if not section.publish or store.latest() is None:
        return section.publish
    names = [text.partition("=")[0].strip() for text in assignments]
    if "publish.publish" in names:
        return True
    named = {"catalogue"} if "publish" in section.model_fields_set else set()
    harmless = _NOT_OF_THE_TABLE | named
    return all(name.partition(".")[0] in harmless for name in names)


@contextmanager
def undone_unless_finished(store: Store) -> Iterator[None]:
    """Move pointers, similar_items' last: what is broken off before that counts for nothing.

    They are put back at once, or after a kill by the next one who holds the store's lock.
    """
    pointers = {path.parent.name: read_json(path) for path in _pointers(store)}
    write_json(_note(store), pointers)
    try:
        yield
    except BaseException:
        recover(store)
        raise
    _note(store).unlink(missing_ok=True)


def recover(store: Store) -> None:
    """Put back pointers that a run moved before it was killed, unless it had moved the last."""
    before = read_json(_note(store))
    if before is None:
        return
    if store.latest(_LAST) == before.get(_LAST):
        for path in _pointers(store):
            pointer = before.get(path.parent.name)
            if pointer is None:
                path.unlink()
            elif read_json(path) != pointer:
                write_json(path, pointer, indent=None)
    _note(store).unlink(missing_ok=True)


def _pointers(store: Store) -> list[Path]:
    return sorted((store.root / "tables").glob("*/LATEST"))


def _note(store: Store) -> Path:
    return store.root / "locks" / "pointers-before.json"
