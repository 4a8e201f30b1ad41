"""{date} and {latest} in the catalogue's path, completeness, and waiting for it."""

import io
import json
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pipeline.catalogue import places, resolve
from pipeline.config import reading
from pipeline.config.sections import Config
from pipeline.errors import InputError, UsageError
from pipeline.runs.request import RunRequest
from pipeline.terminal.progress import Progress


def config(**catalogue: object) -> Config:
    return reading.from_mapping({"store": {"path": "store"}, "catalogue": catalogue})


def partition(root: Path, name: str, *files: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text("item_id,title\n1,a\n")
    return folder


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("dt={date}", "dt=2026-11-28"),
        ("{date:%Y/%m/%d}", "2026/11/28"),
        ("{date:%Y%m%d}.csv", "20261128.csv"),
    ],
)
def test_date_stands_for_the_night(tmp_path: Path, written: str, read: str) -> None:
    partition(tmp_path, read, "a.csv")
    found = resolve(config(path=f"{tmp_path}/{written}"), "2026-11-28")
    assert found.catalogue.path == f"{tmp_path}/{read}"


def test_date_is_todays_in_the_time_zone(tmp_path: Path) -> None:
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):  # 25 hours apart
        today = datetime.now(ZoneInfo(zone)).date().isoformat()
        partition(tmp_path, f"dt={today}", "a.csv")
        found = resolve(config(path=f"{tmp_path}/dt={{date}}", timezone=zone))
        assert found.catalogue.path.endswith(f"dt={today}")


def test_query_has_the_date_too() -> None:
    found = resolve(config(query="SELECT * FROM t WHERE dt = '{date}'"), "2026-11-28")
    assert found.catalogue.query == "SELECT * FROM t WHERE dt = '2026-11-28'"


def test_what_a_connector_loads_has_the_date_and_is_not_looked_for() -> None:
    chosen = config(
        format="bigquery", path="shop.items_{date:%Y%m%d}", options={"filter": "dt = '{date}'"}
    )
    found = resolve(chosen, "2026-11-28").catalogue
    assert (found.path, found.options) == ("shop.items_20261128", {"filter": "dt = '2026-11-28'"})


@pytest.mark.parametrize("day", ["28.11.2026", "2026-13-01"])
def test_what_is_no_date_is_refused(day: str) -> None:
    with pytest.raises(UsageError, match="no date; write YYYY-MM-DD"):
        resolve(config(path="dt={date}"), day)


def test_date_without_its_place_is_refused() -> None:
    with pytest.raises(UsageError, match="stands neither in catalogue"):
        resolve(config(path="items.csv"), "2026-11-28")


def test_latest_is_the_newest_complete_folder(tmp_path: Path) -> None:
    partition(tmp_path, "dt=2026-11-26", "a.csv", "_SUCCESS")
    partition(tmp_path, "dt=2026-11-27", "a.csv")
    partition(tmp_path, "dt=2026-11-28/_temporary", "a.csv")
    partition(tmp_path, "dt=2026-11-29")  # without a file
    partition(tmp_path, "dt=__HIVE_DEFAULT_PARTITION__", "a.csv")
    partition(tmp_path, "other=2027", "a.csv")
    path = f"{tmp_path}/dt={{latest}}"
    assert resolve(config(path=path)).catalogue.path.endswith("dt=2026-11-27")
    needs = config(path=path, require_success=True)
    assert resolve(needs).catalogue.path.endswith("dt=2026-11-26")


def test_latest_without_a_complete_folder_says_why(tmp_path: Path) -> None:
    partition(tmp_path, "dt=2026-11-27", "a.csv")
    partition(tmp_path, "dt=2026-11-28/_temporary", "a.csv")
    with pytest.raises(InputError) as caught:
        resolve(config(path=f"{tmp_path}/dt={{latest}}", require_success=True))
    text = str(caught.value)
    assert "dt=2026-11-28: it holds _temporary" in text
    assert "dt=2026-11-27: it holds no _SUCCESS" in text


def test_tonights_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dt=2026-11-28: not there yet; --wait-for-input"):
        resolve(config(path=f"{tmp_path}/dt={{date}}"), "2026-11-28")


def test_folder_that_is_complete_needs_success_only_if_it_is_set(tmp_path: Path) -> None:
    folder = partition(tmp_path, "dt=2026-11-28", "a.csv")
    needs = config(path=f"{tmp_path}/dt={{date}}", require_success=True)
    with pytest.raises(InputError, match="holds no _SUCCESS"):
        resolve(needs, "2026-11-28")
    (folder / "_SUCCESS").touch()
    assert resolve(needs, "2026-11-28").catalogue.path == str(folder)


def later(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Timer(0.3, act)
    thread.start()
    return thread


def test_waiting_ends_when_the_folder_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_POLL_SECONDS", 0.05)
    folder, said = partition(tmp_path, "dt=2026-11-28", "a.csv"), list[str]()
    needs = config(path=f"{tmp_path}/dt={{date}}", require_success=True)
    thread = later((folder / "_SUCCESS").touch)
    assert resolve(needs, "2026-11-28", 30, said.append).catalogue.path == str(folder)
    thread.join()
    assert len(said) == 1
    assert said[0].startswith("waiting up to 30 s: catalogue.path ")


def test_waiting_ends_with_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_POLL_SECONDS", 0.05)
    start = time.monotonic()
    with pytest.raises(InputError, match="not there yet"):
        resolve(config(path=f"{tmp_path}/items"), wait=0.2, say=lambda _: None)
    assert 0.2 <= time.monotonic() - start < 5


def test_what_is_no_file_is_not_waited_for() -> None:
    with pytest.raises(UsageError, match="waits for files"):
        resolve(config(table="lake.shop.items"), wait=5)


def test_night_without_a_catalogue_leaves_a_record(tmp_path: Path) -> None:
    chosen = reading.from_mapping(
        {
            "store": {"path": str(tmp_path / "store")},
            "catalogue": {"path": f"{tmp_path}/dt={{date}}"},
        }
    )
    request = RunRequest(date="2026-11-28", run_id="night")
    with pytest.raises(InputError, match="not there yet"):
        request.run(chosen, Progress(io.StringIO()))
    record = json.loads((tmp_path / "store" / "runs" / "night" / "run.json").read_text())
    assert record["status"] == "failed"
    assert "dt=2026-11-28: not there yet" in record["message"]
