"""The page of a store: bounded, whole, in two languages, and no danger to a run."""

import json
import os
import re
from pathlib import Path

from pipeline.report import page, run_page, store_page, trends
from pipeline.store.store import Store
from tests.pipeline.places import on_disk
from tests.pipeline.report import nights
from tests.pipeline.report.scripts import Scripts


def test_the_figures_are_those_of_run_json(tmp_path: Path) -> None:
    runs = [nights.night(1), nights.failed(2), nights.held_back(3)]
    store = nights.make_store(tmp_path, runs)
    first, failed, held_back = trends.of_store(store)
    assert (first.run_id, first.recall) == ("night001", runs[0]["recall"]["value"])
    assert first.quarantined == 40 / runs[0]["counts"]["rows_read"]
    assert (first.min_recall, first.max_churn) == (0.97, 0.5)
    # What was reused took no time in this night.
    assert "train" not in first.stages
    assert first.stages["embed"] == runs[0]["stages"][3]["seconds"]
    assert (failed.status, failed.recall, failed.items, failed.stages) == ("failed", None, None, {})
    assert (held_back.status, held_back.churn) == ("held_back", 0.61)
    counts = runs[0]["counts"]
    assert (first.table_bytes, first.written_bytes) == (
        counts["table_bytes"],
        counts["written_bytes"],
    )
    assert (failed.table_bytes, failed.written_bytes) == (None, None)


def test_of_a_year_the_last_ninety_runs_are_read_and_shown(tmp_path: Path) -> None:
    store = nights.make_store(tmp_path, [nights.night(n) for n in range(1, 366)], pages=False)
    for number in range(1, 366):
        path = on_disk(store.run_path(f"night{number:03d}") / "run.json")
        if number <= 365 - trends.MAX_RUNS:
            path.write_text("damaged: it would be said if it were read")
        os.utime(path, (1_790_000_000 + number, 1_790_000_000 + number))
    said: list[str] = []
    store.print_line = said.append
    content = store_page.page_data(store)
    last = range(366 - trends.MAX_RUNS, 366)
    assert [run["run_id"] for run in content["runs"]] == [f"night{number:03d}" for number in last]
    assert said == []
    assert len(json.dumps(content)) < 80_000


def test_runs_without_a_name_are_in_the_order_of_their_start_whatever_their_files_times(
    tmp_path: Path,
) -> None:
    names = [f"202611{day:02d}T010000.000Z" for day in range(1, 8)]
    runs = [nights.night(n, run_id=name, started=f"2026-11-0{n}T01:00:00+00:00")
            for n, name in enumerate(names, start=1)]  # fmt: skip
    # A copy of a store has files that are all new.
    store = nights.make_store(tmp_path, list(reversed(runs)))
    assert [one.run_id for one in trends.of_store(store, 3)] == names[-3:]


def test_a_run_links_to_its_page_if_it_has_one(tmp_path: Path) -> None:
    store = nights.make_store(tmp_path, [nights.night(1), nights.night(2)])
    on_disk(store.run_path("night001") / "report.html").unlink()
    pages = [run["page"] for run in store_page.page_data(store)["runs"]]
    assert pages == [None, "runs/night002/report.html"]


def test_no_text_gets_out_of_its_place_and_both_languages_have_every_word(tmp_path: Path) -> None:
    odd = "</script><script>alert(1)</script>"
    store = nights.make_store(tmp_path, [nights.failed(1) | {"message": odd}])
    html = on_disk(store_page.write(store)).read_text(encoding="utf-8")
    scripts = Scripts(html)
    assert [name for name, _ in scripts.texts] == ["words", "data", None, None, None]
    assert json.loads(dict(scripts.texts)["data"])["runs"][0]["message"] == odd
    words = json.loads(dict(scripts.texts)["words"])
    assert words["en"].keys() == words["ja"].keys()
    own = "".join(script(name) for name in ("store.js", "store_charts.js"))
    assert set(re.findall(r'\bt\("(\w+)"', own)) <= words["en"].keys()
    for name, text in words["en"].items():
        marks = sorted(re.findall(r"\{\w+\}", text))
        assert marks == sorted(re.findall(r"\{\w+\}", words["ja"][name]))


def script(name: str) -> str:
    return (page.FILES / name).read_text(encoding="utf-8")


def test_a_page_that_can_t_be_written_does_not_change_the_end_of_a_run(tmp_path: Path) -> None:
    store = nights.make_store(tmp_path, [nights.night(1)])
    on_disk(store.root / store_page.FILE_NAME).mkdir()
    said: list[str] = []
    with run_page.write_at_end(store, "night001", 0, said.append):
        pass
    assert "report" in on_disk(store.run_path("night001") / "report.html").read_text()
    [line] = said
    assert line.startswith("the store's page could not be made: ")
    assert line.endswith("try: nitamono report --store")


def test_a_run_that_never_began_writes_no_page(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    with run_page.write_at_end(store, "other", 0, lambda _: None):
        pass
    assert not (store.root / store_page.FILE_NAME).exists()
