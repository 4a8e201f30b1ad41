"""When pages are made, and what comes of it if they can't be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.main import execute
from pipeline.errors import StageError, UsageError
from pipeline.report import page, write
from pipeline.store.store import Store
from tests.pipeline.report import hand

ROWS = [hand.example("a", "one"), hand.example("b", "two")]


def config(folder: Path) -> str:
    file = folder / "nitamono.toml"
    file.write_text('[store]\npath = "store"\n[catalogue]\npath = "none.csv"\n')
    return str(file)


def store(folder: Path) -> Store:
    found = hand.store(folder, hand.about(), ROWS)
    found.point("similar_items", hand.VERSION, hand.RUN)
    return found


def test_a_run_that_ends_has_its_page_and_says_no_more(tmp_path: Path) -> None:
    said: list[str] = []
    kept = store(tmp_path)
    with write.afterwards(kept, hand.RUN, 0, said.append):
        pass
    assert said == []
    assert "<title>nitamono night7</title>" in (kept.run_path(hand.RUN) / write.NAME).read_text()


def test_a_run_that_fails_has_its_page_too_and_says_where(tmp_path: Path) -> None:
    said: list[str] = []
    kept = store(tmp_path)
    with (
        pytest.raises(StageError, match="embed failed"),
        write.afterwards(kept, hand.RUN, 0, said.append),
    ):
        raise StageError("embed failed")
    path = kept.run_path(hand.RUN) / write.NAME
    assert path.is_file()
    assert said == [f"the run's page: {path}"]


def test_a_page_that_cannot_be_made_changes_nothing_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "html", broken)
    said: list[str] = []
    kept = store(tmp_path)
    with write.afterwards(kept, hand.RUN, 0, said.append):
        pass
    assert len(said) == 1
    assert "No space left on device" in said[0]
    assert "nitamono report night7" in said[0]
    with (
        pytest.raises(StageError, match="embed failed"),
        write.afterwards(kept, hand.RUN, 0, said.append),
    ):
        raise StageError("embed failed")
    assert not (kept.run_path(hand.RUN) / write.NAME).exists()


def test_an_interruption_of_the_page_is_none_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(page, "html", interrupted)
    said: list[str] = []
    with write.afterwards(store(tmp_path), hand.RUN, 0, said.append):
        pass
    assert said == ["the run's page could not be made: interrupted; try: nitamono report night7"]


def test_a_run_that_never_began_has_none(tmp_path: Path) -> None:
    said: list[str] = []
    kept = store(tmp_path)
    with write.afterwards(kept, "other", 0, said.append):
        pass
    assert said == []
    assert not kept.run_path("other").exists()


def test_the_verb_makes_the_page_of_what_is_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store(tmp_path).run_path(hand.RUN) / write.NAME
    execute(["report", "--config", config(tmp_path)])
    assert capsys.readouterr().out == f"{path}\n"
    assert path.is_file()
    out = tmp_path / "elsewhere.html"
    execute(["report", hand.RUN, "--config", config(tmp_path), "--out", str(out)])
    assert out.read_text() == path.read_text()
    capsys.readouterr()
    execute(["report", "--config", config(tmp_path), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [item[1] for item in found["sample"]["items"]] == ["one", "two"]
    assert found["run"]["status"] == "published"


def test_what_is_not_there_has_no_page(tmp_path: Path) -> None:
    kept = hand.store(tmp_path, hand.about(), ROWS)
    with pytest.raises(UsageError, match="nothing is published"):
        execute(["report", "--config", config(tmp_path)])
    with pytest.raises(UsageError, match="no run night8"):
        execute(["report", "night8", "--config", config(tmp_path)])
    kept.point("similar_items", hand.VERSION, hand.RUN)
    with pytest.raises(UsageError, match="can't be written"):
        execute(["report", "--config", config(tmp_path), "--out", str(tmp_path / "store")])


def test_a_table_that_gc_removed_leaves_the_figures(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.discard("examples", hand.VERSION)
    found = write.of(kept, hand.RUN, 10)
    assert found["sample"]["items"] == []
    assert found["quality"]["hubs"]["never_shown"] == 4


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
