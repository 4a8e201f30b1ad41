"""The page of a store, store.html: the figures of its last runs, night by night."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pipeline import __version__
from pipeline.report import page, page_texts, trends
from pipeline.report.trends import Figures
from pipeline.stages import NAMES
from pipeline.storage.files import write_atomic
from pipeline.storage.paths import StoragePath
from pipeline.store.store import Store

FILE_NAME = "store.html"
# The pages that it links to, in the folders of the runs.
_RUN_PAGE = "report.html"
# A longer message is cut.
_MAX_MESSAGE = 300


def page_data(store: Store) -> dict[str, Any]:
    """The data that a store's page shows: of its last runs, so they have a bound."""
    pages = {path.parent.name for path in (store.root / "runs").rglob(_RUN_PAGE)}
    return {
        "nitamono": __version__,
        "stages": list(NAMES),
        "runs": [_run(one, pages) for one in trends.of_store(store)],
    }


def _run(one: Figures, pages: set[str]) -> dict[str, Any]:
    """A run's figures, without those that it lacks."""
    text = one.message
    message = text if len(text) <= _MAX_MESSAGE else f"{text[: _MAX_MESSAGE - 1]}…"
    fields = asdict(one) | {"message": message, "stages": dict(_by_stage(one))}
    link = f"runs/{one.run_id}/{_RUN_PAGE}" if one.run_id in pages else None
    return {name: value for name, value in fields.items() if value is not None} | {"page": link}


def _by_stage(one: Figures) -> Iterator[tuple[str, float]]:
    """The seconds of each stage, those of variants with it."""
    for stage in NAMES:
        seconds = [time for name, time in one.stages.items() if name.partition("@")[0] == stage]
        if seconds:
            yield stage, round(sum(seconds), 3)


def html(content: dict[str, Any]) -> bytes:
    """A store's page.

    Args:
        content: what `page_data` returned.
    """
    scripts = [page.FILES / name for name in ("store_charts.js", "store.js")]
    return page.render("nitamono", content, scripts, page_texts.load(page.FILES / "store.toml"))


def write(store: Store) -> StoragePath:
    """Write a store's page into the store, completely or not at all."""
    path = store.root / FILE_NAME
    write_atomic(path, html(page_data(store)))
    return path
