"""The page of a run: written at the end of every run, and on request."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, TypeVar

from pipeline.errors import UsageError, cause
from pipeline.report import data, page, page_texts, projection, store_page
from pipeline.storage.files import write_atomic
from pipeline.storage.paths import StoragePath
from pipeline.store import reason_codes, run_records
from pipeline.store.store import Store

T = TypeVar("T")

FILE_NAME = "report.html"
_SCRIPTS = ("run_charts.js", "run_items.js", "run.js")


def prepare(map_items: int) -> None:
    """Begin to load what the page's map needs, while something else is waited for.

    Args:
        map_items: maximum number of items on the map.
    """
    if map_items:
        Thread(target=projection.load, daemon=True).start()


def page_data(store: Store, run_id: str, map_items: int) -> dict[str, Any]:
    """The data that a run's page shows.

    Args:
        store: the store that holds the run.
        run_id: the run.
        map_items: maximum number of items on the map.

    Raises:
        UsageError: there is no such run.
    """
    run_json = run_records.read_run_json(store, run_id)
    if run_json is None:
        raise UsageError(f"no run {run_id} in {store.root}; nitamono runs lists the runs")
    if run_json["status"] == run_records.RUNNING:
        # A process that was killed could not write its end into run.json.
        run = run_records.find_run(store, run_id)
        run_json["status"] = run.status if run else run_json["status"]
    return data.page_data(store, run_json, map_items)


def html(content: dict[str, Any]) -> bytes:
    """A run's page.

    Args:
        content: what `page_data` returned.
    """
    texts = page_texts.merge(page_texts.load(page.FILES / "run.toml"), reason_codes.page_texts())
    scripts = [page.FILES / name for name in _SCRIPTS]
    return page.render(f"nitamono {content['run']['run_id']}", content, scripts, texts)


def write(store: Store, run_id: str, map_items: int) -> StoragePath:
    """Write a run's page into the run's folder, completely or not at all.

    Raises:
        UsageError: there is no such run.
    """
    path = store.run_path(run_id) / FILE_NAME
    write_atomic(path, html(page_data(store, run_id, map_items)))
    return path


@contextmanager
def write_at_end(
    store: Store, run_id: str, map_items: int, say: Callable[[str], None]
) -> Iterator[None]:
    """Write the run's page and the store's when the run ends, however it ends.

    Args:
        store: the store that holds the run.
        run_id: the run.
        map_items: maximum number of items on the page's map.
        say: prints a line. If a page can't be written it is told why; if the run failed, where
            the run's page is.
    """
    try:
        yield
    except BaseException:
        path = _try_to_write(store, run_id, map_items, say)
        if path is not None:
            say(f"the run's page: {path}")
        raise
    _try_to_write(store, run_id, map_items, say)


def _try_to_write(
    store: Store, run_id: str, map_items: int, say: Callable[[str], None]
) -> StoragePath | None:
    """Write both pages; return the path of the run's, if there is one now."""
    problem = f"the run's page could not be made: %s; try: nitamono report {run_id}"
    run_json = store.run_path(run_id) / "run.json"
    if not _tried(run_json.is_file, problem, say):
        return None  # The run never began: another run holds the store's lock.
    path = _tried(lambda: write(store, run_id, map_items), problem, say)
    # It links to the pages of the runs, this one's too.
    problem = "the store's page could not be made: %s; try: nitamono report --store"
    _tried(lambda: store_page.write(store), problem, say)
    return path


def _tried(work: Callable[[], T], problem: str, say: Callable[[str], None]) -> T | None:
    # The run has ended: neither an error of a page nor an interruption may change its outcome.
    try:
        return work()
    except (Exception, KeyboardInterrupt) as error:
        say(problem % (cause(error) if isinstance(error, Exception) else "interrupted"))
        return None
