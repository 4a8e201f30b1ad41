"""The list of runs."""

import io
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import runs
from pipeline.config import reading as config
from pipeline.errors import InputError
from pipeline.report import trends
from pipeline.runs.runner import Runner
from pipeline.storage import file_owners
from pipeline.storage.files import read_json
from pipeline.store import run_records
from pipeline.store.rollback import rollback
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress
from pipeline.terminal.sparklines import sparkline
from tests.pipeline import fakes
from tests.pipeline.places import on_disk
from tests.pipeline.report import nights


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def ended_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_the_newest_is_first_and_the_published_one_is_marked(store: Store) -> None:
    for night in (1, 2):
        pointer = {"version": fakes.publish(store, night), "run_id": f"run{night}", "path": "p"}
        fakes.write_run_json(
            store,
            f"run{night}",
            status="published",
            started=f"2026-11-0{night}T00:00:00+00:00",
            counts={"items": 1000 * night},
            recall={"value": 0.98, "queries": 100},
            published=pointer,
        )
    run_list = run_records.list_runs(store)
    assert [(run.run_id, run.items, run.latest) for run in run_list] == [
        ("run2", 2000, True),
        ("run1", 1000, False),
    ]
    rollback(store)
    assert [run.latest for run in run_records.list_runs(store)] == [False, True]
    store.discard_version("similar_items", fakes.version(2))
    assert [run.kept for run in run_records.list_runs(store)] == [False, True]
    assert runs.lines(run_records.list_runs(store))[1].endswith(f"{fakes.version(2)}  deleted")
    lines = runs.lines(run_list)
    assert lines[1].split() == [
        *("run2", "2026-11-02", "00:00:00", "2", "published", "2,000", "0.9800"),
        *(fakes.version(2), "LATEST"),
    ]


def test_a_run_whose_process_is_gone_has_died(store: Store) -> None:
    this = asdict(file_owners.current_process())
    gone = this | {"pid": ended_process()}
    fakes.write_run_json(store, "mine", status="running", process=this)
    fakes.write_run_json(store, "gone", status="running", process=gone)
    elsewhere = gone | {"machine": "00000000"}
    fakes.write_run_json(store, "elsewhere", status="running", process=elsewhere)
    fakes.write_run_json(store, "earlier", status="running")
    assert {run.run_id: run.status for run in run_records.list_runs(store)} == {
        "mine": "running",
        "gone": "died",
        "elsewhere": "running",
        "earlier": "running",
    }
    seconds = {run.run_id: run.seconds for run in run_records.list_runs(store)}
    assert seconds["gone"] == 1.5
    assert seconds["mine"] > 60


def test_a_run_that_failed_is_listed_with_why(tmp_path: Path) -> None:
    file = tmp_path / "nitamono.toml"
    file.write_text('[store]\npath = "store"\n[catalogue]\npath = "none.csv"\n')
    settings = config.load(file, [], {})
    with pytest.raises(InputError):
        Runner(settings, "first", Progress(io.StringIO())).run("ingest", "publish")
    store = Store(settings.store.path)
    [run] = run_records.list_runs(store)
    assert (run.status, run.items, run.recall, run.version) == ("failed", None, None, None)
    assert "no such file" in run.message
    written = read_json(store.run_path("first") / "run.json")
    assert written["process"] == asdict(file_owners.current_process())
    assert runs.lines([run])[-1] == f"first: {run.message}"


def test_a_failed_experiment_is_no_night(tmp_path: Path) -> None:
    for run_id, publishing in (("night", True), ("tried", False)):
        settings = config.from_mapping(
            {
                "store": {"path": str(tmp_path / "store")},
                "catalogue": {"path": str(tmp_path / "none.csv")},
            }
        )
        runner = Runner(settings, run_id, Progress(io.StringIO()), publishing=publishing)
        with pytest.raises(InputError):
            runner.run("ingest", "publish")
    store = Store(settings.store.path)
    assert {
        run.run_id: trends.figures(run).is_experiment for run in run_records.list_runs(store)
    } == {"night": False, "tried": True}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("counts.items", {"counts": {"items": "many"}}),
        ("counts.gate", {"counts": {"gate": None}}),
        ("counts.quality", {"counts": {"quality": [1]}}),
        ("recall.queries", {"recall": {"value": 1.0}}),
        ("published.version", {"published": {}}),
        ("stages", {"stages": None}),
        ("stages.0", {"stages": ["ingest"]}),
        ("settings.publish", {"settings": {"publish": "x"}}),
        ("process.a", {"process": {"machine": "0", "pid": 1, "started": 1, "a": 1}}),
        ("started", {"started": "yesterday"}),
    ],
)
def test_a_part_of_another_form_is_named_and_keeps_no_other_run_from_being_shown(
    name: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    store = nights.make_store(tmp_path, [nights.night(1), nights.night(2, **changes)])
    said: list[str] = []
    store.print_line = said.append
    assert [one.run_id for one in trends.of_store(store)] == ["night001"]
    (line,) = said
    assert f"night002/run.json: damaged: it holds no valid {name}; if that run" in line


def test_damaged_files_and_folders_without_one_are_passed_over(store: Store) -> None:
    fakes.write_run_json(store, "whole")
    store.run_path("empty").mkdir()
    fakes.write_file(on_disk(store.run_path("damaged") / "run.json"))
    assert [run.run_id for run in run_records.list_runs(store)] == ["whole"]
    assert runs.lines([]) == ["no run yet"]


def test_the_last_runs_have_a_chart_of_each_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "terminal_width", lambda: 100)
    content = [nights.night(1), nights.failed(2), nights.held_back(3), nights.night(4)]
    content[3]["recall"]["value"] = 0.9
    figures = trends.of_store(nights.make_store(tmp_path, content))
    lines = list(runs.charts(figures))
    assert lines[1].startswith("night       .x!.  . published")
    assert "recall      █ █▁  0.9000 to 0.9886, last 0.9000" in lines
    assert "rows        ▁ ▆█  501,223 to 505,123, last 505,123" in lines
    assert "table       ▁ ▆█  3.0 MB" in lines
    assert "written     █ ▁▁  3.0 MB to 43.0 MB, last 3.0 MB" in lines
    # Of more nights than there is room for, the last are shown.
    assert list(runs.charts(figures * 40))[1].startswith(
        f"night       !.{'.x!.' * 11}  . published"
    )
    assert list(runs.charts([])) == []


@pytest.mark.parametrize(
    ("values", "line"),
    [([], ""), ([None], " "), ([3, 3], "▅▅"), ([0, None, 1, 2, 7], "▁ ▂▃█")],
)
def test_a_sparkline_has_a_bar_for_each_value(values: list[float | None], line: str) -> None:
    assert sparkline(values) == line
