"""When a run's page is written, and what happens if it can't be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.main import execute
from pipeline.errors import StageError, UsageError
from pipeline.report import run_page
from pipeline.store.store import Store
from tests.pipeline.report import handmade

ROWS = [handmade.example("a", "one"), handmade.example("b", "two")]


def config(folder: Path) -> str:
    file = folder / "nitamono.toml"
    file.write_text('[store]\npath = "store"\n[catalogue]\npath = "none.csv"\n')
    return str(file)


def store(folder: Path) -> Store:
    content = handmade.make_store(folder, handmade.run_json(), ROWS)
    content.set_latest("similar_items", handmade.VERSION, handmade.RUN)
    return content


def test_a_run_that_ends_has_its_page_and_says_no_more(tmp_path: Path) -> None:
    messages: list[str] = []
    run_store = store(tmp_path)
    with run_page.write_at_end(run_store, handmade.RUN, 0, messages.append):
        pass
    assert messages == []
    path = run_store.run_path(handmade.RUN) / run_page.FILE_NAME
    assert "<title>nitamono night7</title>" in path.read_text()


def test_a_run_that_fails_has_its_page_too_and_says_where(tmp_path: Path) -> None:
    messages: list[str] = []
    run_store = store(tmp_path)
    with (
        pytest.raises(StageError, match="embed failed"),
        run_page.write_at_end(run_store, handmade.RUN, 0, messages.append),
    ):
        raise StageError("embed failed")
    path = run_store.run_path(handmade.RUN) / run_page.FILE_NAME
    assert path.is_file()
    assert messages == [f"the run's page: {path}"]


def test_a_page_that_cannot_be_made_changes_nothing_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_page, "html", broken)
    messages: list[str] = []
    run_store = store(tmp_path)
    with run_page.write_at_end(run_store, handmade.RUN, 0, messages.append):
        pass
    assert len(messages) == 1
    assert "No space left on device" in messages[0]
    assert "nitamono report night7" in messages[0]
    with (
        pytest.raises(StageError, match="embed failed"),
        run_page.write_at_end(run_store, handmade.RUN, 0, messages.append),
    ):
        raise StageError("embed failed")
    assert not (run_store.run_path(handmade.RUN) / run_page.FILE_NAME).exists()


def test_an_interruption_of_the_page_is_none_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_page, "html", interrupted)
    messages: list[str] = []
    with run_page.write_at_end(store(tmp_path), handmade.RUN, 0, messages.append):
        pass
    assert messages == [
        "the run's page could not be made: interrupted; try: nitamono report night7"
    ]


def test_a_run_that_never_began_has_none(tmp_path: Path) -> None:
    messages: list[str] = []
    run_store = store(tmp_path)
    with run_page.write_at_end(run_store, "other", 0, messages.append):
        pass
    assert messages == []
    assert not run_store.run_path("other").exists()


def test_the_verb_makes_the_page_of_what_is_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store(tmp_path).run_path(handmade.RUN) / run_page.FILE_NAME
    execute(["report", "--config", config(tmp_path)])
    assert capsys.readouterr().out == f"{path}\n"
    assert path.is_file()
    out = tmp_path / "elsewhere.html"
    execute(["report", handmade.RUN, "--config", config(tmp_path), "--out", str(out)])
    assert out.read_text() == path.read_text()
    capsys.readouterr()
    execute(["report", "--config", config(tmp_path), "--json"])
    content = json.loads(capsys.readouterr().out)
    assert [item[1] for item in content["sample"]["items"]] == ["one", "two"]
    assert content["run"]["status"] == "published"


def test_what_is_not_there_has_no_page(tmp_path: Path) -> None:
    run_store = handmade.make_store(tmp_path, handmade.run_json(), ROWS)
    with pytest.raises(UsageError, match="nothing is published"):
        execute(["report", "--config", config(tmp_path)])
    with pytest.raises(UsageError, match="no run night8"):
        execute(["report", "night8", "--config", config(tmp_path)])
    run_store.set_latest("similar_items", handmade.VERSION, handmade.RUN)
    with pytest.raises(UsageError, match="can't be written"):
        execute(["report", "--config", config(tmp_path), "--out", str(tmp_path / "store")])


def test_a_table_that_gc_removed_leaves_the_figures(tmp_path: Path) -> None:
    run_store = store(tmp_path)
    run_store.discard_version("examples", handmade.VERSION)
    content = run_page.page_data(run_store, handmade.RUN, 10)
    assert content["sample"]["items"] == []
    assert content["quality"]["hubs"]["never_shown"] == 4


def test_neither_spark_nor_bokeh_s_python_is_loaded_for_it(tmp_path: Path) -> None:
    store(tmp_path)
    code = (
        "import sys; from pipeline.cli.main import execute; execute(sys.argv[1:]); "
        "sys.exit(str({'pyspark', 'bokeh', 'sklearn'} & set(sys.modules) or ''))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "report", "--config", config(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == "\n"
