"""What is told of a run's end: what its process knows, and what the store knows."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipeline.errors import StageError
from pipeline.monitoring import notices
from pipeline.monitoring.run_end import known_end, with_store
from pipeline.monitoring.run_events import RunStart
from pipeline.store.store import Store
from tests.pipeline.monitoring import ends
from tests.pipeline.monitoring.test_notices import publish
from tests.pipeline.report import handmade


@pytest.fixture
def start(tmp_path: Path) -> RunStart:
    return RunStart(
        "tonight", ends.config(store={"path": str(tmp_path / "store")}), "", ends.STARTED
    )


def test_a_night_that_publishes_the_same_table_again_is_news(start: RunStart) -> None:
    store = Store.of(start.config)
    publish(store, 30.0, 40.0)
    end = with_store(known_end(start, None, has_published=True), 10)
    assert end is not None
    assert (end.status, end.published) == ("published", end.time)
    failed = with_store(known_end(start, StageError("no"), has_published=False), 10)
    assert failed is not None
    # The entry of the publication is older than the nights that published it again.
    began = datetime.fromisoformat(handmade.run_json()["started"])
    assert failed.published == began + timedelta(seconds=40)


def test_a_run_that_has_published_is_told_though_the_store_is_gone(start: RunStart) -> None:
    known = known_end(start, None, has_published=True)
    assert with_store(known, 10) is None
    notice = notices.of_end(known)
    assert notice is not None
    assert notice["event"] == "published"


def test_a_damaged_record_of_a_night_says_nothing_of_the_others(start: RunStart) -> None:
    store = Store.of(start.config)
    publish(store, 30.0, 40.0, 50.0, 60.0)
    (Path(str(store.run_path("night2"))) / "run.json").write_text("{")
    assert notices.usual_seconds(store, "tonight") == 50.0
