"""An upgrade of a store: each step once, whatever it is killed at; and stores of later releases."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.cli.main import execute
from pipeline.cli.verbs import VERBS
from pipeline.cluster.doctor import store_folder
from pipeline.cluster.doctor.finding import BAD
from pipeline.config import reading
from pipeline.errors import DamagedError, UsageError
from pipeline.store import check, publications, store_format, upgrade
from pipeline.store.store import Store
from tests.pipeline import fakes
from tests.pipeline.places import on_disk
from tests.pipeline.store.kept import NAMES, SECRET, KeptStore

ROOT = Path(__file__).parents[3]
WITHOUT_LISTS = "0.2.0"


def upgraded(kept: KeptStore) -> KeptStore:
    for step in upgrade.find_steps(kept.open()):
        step.execute()
    return kept


@pytest.fixture
def kept(tmp_path: Path) -> KeptStore:
    """The store of a release that wrote no lists of files, and secrets into run.json."""
    return KeptStore(WITHOUT_LISTS, tmp_path / "kept")


def test_of_secrets_in_run_json_the_names_are_left_and_all_tables_get_lists(
    kept: KeptStore,
) -> None:
    before = kept.contents()
    assert {path for path, content in before.items() if SECRET.encode() in content} == {
        "runs/night1/run.json",
        "runs/night2/run.json",
    }
    statuses = {part.status for part in check.check(check.find_version(kept.open()))}
    assert statuses == {check.OK, check.NO_CHECKSUMS}
    after = upgraded(kept).contents()
    assert not [path for path, content in after.items() if SECRET.encode() in content]
    assert b"spark.hadoop.fs.s3a.secret.key" in after["runs/night1/run.json"]
    store = kept.open()
    assert store.format == store_format.FORMAT
    for name in ("night1", "LATEST"):
        parts = list(check.check(check.find_version(store, name)))
        assert {part.status for part in parts} == {check.OK}
    # Nothing else has changed.
    changed = {path for path in after if before.get(path) != after[path]}
    assert {path for path in changed if not path.endswith("_files.json")} == {
        "runs/night1/run.json", "runs/night2/run.json", store_format.NAME,
    }  # fmt: skip
    assert before.keys() <= after.keys()
    assert list(upgrade.find_steps(store)) == []


def test_what_becomes_damaged_after_an_upgrade_is_found_by_its_checksum(kept: KeptStore) -> None:
    upgraded(kept)
    store = kept.open()
    latest = store.latest()
    assert latest is not None
    [file] = on_disk(store.table_path("similar_items", latest["version"])).glob("*.parquet")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    problems = [part.problem for part in check.check(check.find_version(kept.open()))]
    assert [text for text in problems if "sha256" in text] != []


@pytest.mark.parametrize("name", NAMES)
def test_an_upgrade_that_ends_after_any_step_is_finished_by_the_next(
    name: str, tmp_path: Path
) -> None:
    whole = upgraded(KeptStore(name, tmp_path / "whole")).contents()
    broken_off = KeptStore(name, tmp_path / "broken off")
    steps = 0
    while step := next(upgrade.find_steps(broken_off.open()), None):
        step.execute()
        steps += 1
        store = broken_off.open()
        parts = check.check(check.find_version(store))
        assert [part.problem for part in parts if part.problem] == []
        last = step.path.name == store_format.NAME
        assert (store.format == store_format.FORMAT) == last
    assert broken_off.contents() == whole
    assert steps == (1 if name != WITHOUT_LISTS else len([1 for path in whole
        if path.endswith("_files.json")]) + 3)  # fmt: skip


def test_a_damaged_version_is_said_and_gets_no_list(kept: KeptStore) -> None:
    store = kept.open()
    latest = store.latest()
    assert latest is not None
    folder = on_disk(store.table_path("similar_items", latest["version"]))
    [file] = folder.glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-50])
    said: list[str] = []
    store.print_line = said.append
    for step in upgrade.find_steps(store):
        step.execute()
    [line] = said
    assert str(file) in line
    assert line.endswith("it gets no list of files")
    assert not (folder / "_files.json").exists()
    assert kept.open().format == store_format.FORMAT


def test_what_was_published_before_there_were_entries_gets_one(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    version = fakes.publish(store, 1)
    shutil.rmtree(on_disk(store.root / "publications"))
    (on_disk(store.root) / store_format.NAME).unlink()
    store = Store(str(tmp_path / "store"))
    steps = [step.path.name for step in upgrade.find_steps(store)]
    assert steps == ["000000.json", store_format.NAME]
    for step in upgrade.find_steps(store):
        step.execute()
    [entry] = publications.entries(store)
    assert (entry.number, entry.version) == (0, version)
    current = publications.current(store)
    assert current is not None
    assert replace(current, time="") == replace(entry, time="")
    fakes.publish(store, 2)
    assert [entry.number for entry in publications.entries(store)] == [0, 1]
    assert publications.entries(store)[1].before == 0


def test_the_command_says_what_it_does_and_does_nothing_if_it_is_asked_what(
    kept: KeptStore, capsys: pytest.CaptureFixture[str]
) -> None:
    before = kept.contents()
    arguments = ["upgrade", "--config", str(kept.file)]
    execute([*arguments, "--dry-run"])
    planned = capsys.readouterr().out
    assert kept.contents() == before
    assert "runs/night1/run.json: secrets are masked" in planned
    execute([*arguments, "--json"])
    done = json.loads(capsys.readouterr().out)
    assert (done["format_before"], done["format"], done["dry_run"]) == (0, 1, False)
    assert [f"{step['path']}: {step['text']}" for step in done["steps"]] == planned.splitlines()
    execute(arguments)
    assert capsys.readouterr().out == "nothing to do: the store has format 1\n"


def test_a_new_store_says_its_format_from_the_start(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    content = json.loads((on_disk(store.root) / store_format.NAME).read_text())
    assert content.keys() == {"format", "nitamono"}
    assert store.format == content["format"] == store_format.FORMAT
    assert list(upgrade.find_steps(store)) == []


STORE_VERBS = [
    (name, *VERBS[name].example.split())
    for name, verb in VERBS.items()
    if verb.config != "none"
    and name not in ("submit", "size", "tune", "export", "query", "profile", "doctor")
]
STORE_VERBS += [
    ("query", "--title", "x"), ("export", "--to", "jsonl", "--out", "out"), ("model", "list"),
    ("tune", "--node-cores", "16", "--node-memory", "60g", "--nodes", "2",
     "--set", "spark.master=spark://nowhere:7077"),
]  # fmt: skip


@pytest.mark.parametrize("words", STORE_VERBS, ids=lambda words: words[0])
def test_a_store_of_a_later_release_is_refused_by_every_verb_and_left_as_it_is(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "store"))
    file = on_disk(store.root) / store_format.NAME
    file.write_text(json.dumps({"format": store_format.FORMAT + 1, "nitamono": "9.1.0"}))
    (tmp_path / "items.csv").write_text("item_id,title\na,b\n")
    config = tmp_path / "nitamono.toml"
    config.write_text('[store]\npath = "store"\n[catalogue]\npath = "items.csv"\n')
    with pytest.raises(UsageError, match=r"install nitamono 9\.1\.0 or a later one") as error:
        execute([*words, "--config", str(config)])
    assert error.value.exit_code == 2
    assert [path.name for path in on_disk(store.root).iterdir()] == [store_format.NAME]
    (found,) = store_folder.check(reading.load(str(config), []))
    assert (found.name, found.state) == ("store", BAD)
    assert "install nitamono 9.1.0 or a later one" in found.text


@pytest.mark.parametrize("content", ["", "[]", '{"format": "1"}', "null"])
def test_a_damaged_marker_is_no_earlier_format(content: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    (on_disk(store.root) / store_format.NAME).write_text(content)
    with pytest.raises(DamagedError, match="nitamono upgrade"):
        Store(str(tmp_path / "store"), make=False)


@pytest.mark.slow
def test_sigkill_at_every_change_leaves_what_the_next_upgrade_finishes(tmp_path: Path) -> None:
    whole = upgraded(KeptStore(WITHOUT_LISTS, tmp_path / "whole")).contents()
    killed = KeptStore(WITHOUT_LISTS, tmp_path / "killed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.pipeline.killed_upgrades", str(killed.file)],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sites = json.loads(done.stdout)
    tables = ("items", "embeddings", "similar_items")
    lists = {f"replace tables/{table}/version=HASH/_files.json" for table in tables}
    assert {"replace runs/RUN/run.json", "replace store.json", *lists} <= set(sites)
    assert killed.contents() == whole
