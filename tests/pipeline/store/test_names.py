"""A name in a command is the name of a run or version, and never a path."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.errors import UsageError
from pipeline.report import run_page
from pipeline.runs.pinned import pinned_records
from pipeline.store import run_records
from pipeline.store.names import check_name
from pipeline.store.resolve import resolve
from pipeline.store.rollback import rollback
from pipeline.store.store import Store
from tests.pipeline import fakes

NO_NAMES = ["../../x", "/etc", "a/b", "..", ".", "a\0b", "", "a\\b", "-x", "x" * 101, "\x1b["]
USES: dict[str, Callable[[Store, str], object]] = {
    "resolve": resolve,
    "report": lambda store, name: run_page.page_data(store, name, 10),
    "--as-of": lambda store, name: pinned_records(store, name, {}),
    "rollback": rollback,
    "a run's record": run_records.find_run,
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    for night in (1, 2):
        fakes.publish(store, night)
    # What a path would lead to, if it were followed.
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "run.json").write_text(json.dumps({"run_id": "x", "status": "done"}))
    return store


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_path_is_no_name(name: str) -> None:
    with pytest.raises(UsageError, match="is no name of a run or version") as raised:
        check_name(name)
    assert str(raised.value).isprintable()


def test_a_name_that_a_command_takes_leads_out_of_no_store(store: Store) -> None:
    for use, look_up in USES.items():
        with pytest.raises(UsageError, match="is no name of a run or version"):
            look_up(store, "../../x")
            pytest.fail(f"{use} follows a path")


@pytest.mark.parametrize("name", ["../x", "LATEST"])
def test_a_new_run_gets_a_name_of_its_own(store: Store, config_file: Path, name: str) -> None:
    words = ["run", "--config", str(config_file), "--run-id", name, "--dry-run"]
    with pytest.raises(UsageError, match="name"):
        main.execute(words)


VERBS = [
    ["report"],
    ["inspect", "x", "--version"],
    ["diff", "LATEST"],
    ["rollback"],
    ["run", "--as-of"],
    ["ingest", "--run-id"],
    ["export", "--to", "jsonl", "--out", "out", "--version"],
]


def test_verbs_refuse_paths(store: Store, config_file: Path) -> None:
    for verb, *rest in VERBS:
        with pytest.raises(UsageError, match="is no name of a run or version"):
            main.execute([verb, "--config", str(config_file), *rest, "../../x"])
            pytest.fail(f"{verb} follows a path")


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    file = tmp_path / "nitamono.toml"
    (tmp_path / "items.csv").write_text("item_id,title\n1,a\n")
    file.write_text('[store]\npath = "store"\n[catalogue]\npath = "items.csv"\n')
    return file
