"""What receivers are told of runs that end before Spark starts, and of slow ones."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import reading
from pipeline.errors import GateError, InputError, LockedError, NitamonoError, UsageError
from pipeline.monitoring import watch as watches
from pipeline.monitoring.watch import Watch
from pipeline.runs.request import RunRequest
from pipeline.store import lock
from pipeline.store.store import Store
from pipeline.terminal.log import LOG
from pipeline.terminal.progress import Progress
from tests.pipeline.monitoring.receivers import Receiver, hanging, nobody, receiver
from tests.pipeline.monitoring.test_notices import publish

SECRET = "hooks-of-the-shop-9d8f7a"  # noqa: S105 - for a test
ALL = ["failed", "held_back", "published", "slow"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiver() as own:
        monkeypatch.setenv("HOOK", f"{own.url}/{SECRET}")
        yield own


def raw(folder: Path, **sections: Any) -> dict[str, Any]:
    """A config whose catalogue is missing."""
    return {
        "store": {"path": str(folder / "store")},
        "catalogue": {"path": str(folder / "gone.csv")},
        "report": {"map_items": 0},
        "notify": [{"on": ALL, "url_env": "HOOK"}],
    } | sections


def fail(expected: type[NitamonoError], settings: dict[str, Any], **request: Any) -> str:
    """Let a run fail; what it says on the way."""
    stream = io.StringIO()
    with pytest.raises(expected):
        RunRequest(**request).run(reading.from_mapping(settings), Progress(stream))
    return stream.getvalue()


def test_a_missing_catalogue_is_told_with_the_page(tmp_path: Path, server: Receiver) -> None:
    fail(InputError, raw(tmp_path), run_id="night1")
    (notice,) = server.contents
    assert (notice["event"], notice["exit_code"], notice["run_id"]) == ("failed", 3, "night1")
    assert "gone.csv: no such file" in notice["why"]
    assert Path(notice["page"]).is_file()
    assert server.received[0][1] == f"/{SECRET}"


def test_a_link_begins_with_the_address_of_the_store(tmp_path: Path, server: Receiver) -> None:
    report = {"map_items": 0, "base_url": "https://pages.example/shop/"}
    fail(InputError, raw(tmp_path, report=report), run_id="night1")
    assert server.contents[0]["page"] == "https://pages.example/shop/runs/night1/report.html"


def test_the_address_is_nowhere_in_the_store(tmp_path: Path, server: Receiver) -> None:
    server.answers[:] = [400]
    said = fail(InputError, raw(tmp_path))
    assert "notice (failed) to HOOK was not sent: the receiver answered 400" in said
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert files
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
    assert SECRET not in said


def test_a_store_that_cant_be_written_is_told(tmp_path: Path, server: Receiver) -> None:
    (tmp_path / "file").write_text("")
    fail(UsageError, raw(tmp_path, store={"path": str(tmp_path / "file" / "store")}))
    (notice,) = server.contents
    assert (notice["event"], notice["exit_code"], notice["page"]) == ("failed", 2, "")


def test_another_run_that_publishes_is_told(tmp_path: Path, server: Receiver) -> None:
    (tmp_path / "gone.csv").write_text("item_id,title\n1,a\n")
    settings = raw(tmp_path)
    store = Store.of(reading.from_mapping(settings))
    with lock.hold_store(store, "run other", wait=0.0, say=print):
        fail(LockedError, settings)
    (notice,) = server.contents
    assert (notice["event"], notice["exit_code"]) == ("failed", 5)
    assert "run other" in notice["why"]


@pytest.mark.parametrize(
    "request_", [{"assignments": ("neighbors.k=3",)}, {"as_of": "night1"}], ids=["set", "as-of"]
)
def test_of_experiments_nobody_is_told(
    request_: dict[str, Any], tmp_path: Path, server: Receiver
) -> None:
    fail(NitamonoError, raw(tmp_path), **request_)
    assert server.received == []


def test_receivers_that_fail_change_neither_the_end_nor_cost_more_than_ten_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Receiver
) -> None:
    monkeypatch.setattr(watches, "SECONDS", 1.5)
    with hanging() as hangs, receiver(*[500] * 20) as broken:
        monkeypatch.setenv("HANGS", hangs)
        monkeypatch.setenv("BROKEN", broken.url)
        monkeypatch.setenv("NOBODY", nobody())
        names = ["HANGS", "BROKEN", "NOBODY", "UNSET"]
        settings = raw(
            tmp_path,
            notify=[{"on": ["failed"], "url_env": name} for name in [*names, "HOOK"]],
            metrics={"pushgateway": hangs, "textfile": str(tmp_path / "no" / "folder.prom")},
            lineage={"url": hangs, "file": str(tmp_path)},
        )
        started = time.monotonic()
        said = fail(InputError, settings)
    assert time.monotonic() - started < 5
    assert len(server.received) == 1
    for name in [*names, "the Pushgateway", "folder.prom", "lineage.url", str(tmp_path)]:
        assert f"{name} was not sent: " in said.replace(f"{tmp_path}/no/", "")
    assert json.loads(next((tmp_path / "store/runs").glob("*/run.json")).read_text())["status"] == (
        "failed"
    )


def test_a_slow_run_is_told_while_it_is_under_way(tmp_path: Path, server: Receiver) -> None:
    settings = raw(tmp_path)
    publish(Store.of(reading.from_mapping(settings)), 0.1, 0.2, 0.3)
    stream = io.StringIO()
    watch = Watch(
        reading.from_mapping(settings), "slow-night", Progress(stream), part="", tells=True
    )
    with watch.watching():
        # Waiting for the input is not slow.
        time.sleep(0.5)
        assert server.received == []
        watch.work_starts()
        deadline = time.monotonic() + 10
        while not server.received and time.monotonic() < deadline:
            time.sleep(0.05)
        (notice,) = server.contents
    assert (notice["event"], notice["run_id"], notice["usual_seconds"]) == (
        "slow",
        "slow-night",
        0.2,
    )
    assert 0.4 <= notice["seconds"] < 5


def test_a_quick_run_is_not_slow(tmp_path: Path, server: Receiver) -> None:
    settings = raw(tmp_path)
    publish(Store.of(reading.from_mapping(settings)), 0.2, 0.2, 0.2)
    watch = Watch(
        reading.from_mapping(settings), "night", Progress(io.StringIO()), part="", tells=True
    )
    with watch.watching():
        watch.work_starts()
        time.sleep(0.1)
    time.sleep(0.6)
    assert [notice["event"] for notice in server.contents] == []


def test_an_interruption_and_a_gate_are_told_with_their_codes(
    tmp_path: Path, server: Receiver
) -> None:
    config = reading.from_mapping(raw(tmp_path))
    for error in (KeyboardInterrupt(), GateError("recall is low")):
        watch = Watch(config, "night", Progress(io.StringIO()), part="", tells=True)
        with pytest.raises(type(error)), watch.watching():
            raise error
    assert [(one["event"], one["exit_code"]) for one in server.contents] == [
        ("failed", 130),
        ("held_back", 4),
    ]


def test_the_log_of_json_has_the_runs_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOG, "format", "json")
    said = fail(InputError, raw(tmp_path, notify=[]), run_id="night1")
    first, *_, last = [json.loads(line) for line in said.splitlines()]
    assert first["event"] == "run_started"
    assert {
        "event": "run_ended",
        "run_id": "night1",
        "status": "failed",
        "exit_code": 3,
    }.items() <= (last.items())
