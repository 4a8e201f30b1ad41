"""Making a run's page: at the end of every run, and anew."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.errors import UsageError, cause
from pipeline.report import data, page
from pipeline.storage.files import read_json, write_whole
from pipeline.storage.place import Place
from pipeline.store import run_records
from pipeline.store.store import Store

NAME = "report.html"


def of(store: Store, run_id: str, map_items: int) -> dict[str, Any]:
    """What a run's page shows.

    Raises:
        UsageError: there is no such run.
    """
    about = read_json(store.run_path(run_id) / "run.json")
    if about is None:
        raise UsageError(
            f"no run {run_id} in {store.root}; nitamono runs lists those that there are"
        )
    if about["status"] == run_records.RUNNING:
        found = run_records.find(store, run_id)
        about["status"] = found.status if found else about["status"]
    return data.gather(store, about, map_items)


def write(store: Store, run_id: str, map_items: int) -> Place:
    """Write a run's page into its folder, whole or not at all.

    Raises:
        UsageError: there is no such run.
    """
    path = store.run_path(run_id) / NAME
    write_whole(path, page.html(of(store, run_id, map_items)).encode())
    return path


@contextmanager
def afterwards(
    store: Store, run_id: str, map_items: int, say: Callable[[str], None]
) -> Iterator[None]:
    """However what happens here ends, the run has its page then; if not, that is said.

    Args:
        store: of the run.
        run_id: its name.
        map_items: so many at most are on the page's map.
        say: tells what went wrong with the page, and of a run that failed where it is.
    """
    try:
        yield
    except BaseException:
        path = _written(store, run_id, map_items, say)
        if path is not None:
            say(f"the run's page: {path}")
        raise
    _written(store, run_id, map_items, say)


def _written(store: Store, run_id: str, map_items: int, say: Callable[[str], None]) -> Place | None:
    # The run has ended as it has: whatever may be wrong with its page changes nothing of that, nor
    # does it that somebody does not want to wait for it.
    try:
        if not (store.run_path(run_id) / "run.json").is_file():
            return None  # It never began: another holds the store's lock.
        return write(store, run_id, map_items)
    except (Exception, KeyboardInterrupt) as error:
        why = cause(error) if isinstance(error, Exception) else "interrupted"
        say(f"the run's page could not be made: {why}; try: nitamono report {run_id}")
        return None
