"""SIGKILL at changes of the store, and several runs on one store at once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
STAGES = ("ingest", "tokenize", "train", "embed", "index", "neighbors", "publish")
# The last of every stage, and tokenize's both.
TABLES = ("quarantine", "changes", "tokens", "embeddings", "lists", "short_lists", "similar_items")


SITES = [
    "link locks/publishing-N.json",
    "replace runs/RUN/run.json",
    *(f"replace stages/{stage}/HASH.json" for stage in STAGES),
    *(f"rename tables/{table}/version=HASH" for table in TABLES),
    "rename models/HASH",
    "replace models/current/HASH.json",
    "link quantisers/HASH.npy",
    "replace quantisers/current/HASH.json",
    *(f"replace tables/{table}/LATEST" for table in ("items", "embeddings", "similar_items")),
    "replace tables/similar_items/LATEST, done",
    "replace publications/N.json",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of the driver, tests.pipeline.killed_runs."""
    folder = tmp_path_factory.mktemp("crashes")
    done = subprocess.run(
        [sys.executable, "-m", "tests.pipeline.killed_runs", folder],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ
        | {"NITAMONO_CACHE": str(folder / "cache"), "PYSPARK_PYTHON": sys.executable},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_runs_are_killed_at_each_of_the_changes(report: dict[str, Any]) -> None:
    assert [site for site in SITES if site not in report["sites"]] == []


@pytest.mark.parametrize("night", ["first", "second"])
def test_a_reader_sees_a_whole_version_and_in_the_end_that_of_an_undisturbed_night(
    report: dict[str, Any], night: str
) -> None:
    assert report[night]["code"] == 0
    before = None if night == "first" else report["first"]["expected"]
    seen, expected = report[night]["seen"], report[night]["expected"]
    assert len(expected) > 80
    assert before != expected
    moved = seen.index(expected)
    assert all(table == before for table in seen[:moved])
    assert all(table == expected for table in seen[moved:])


def test_nothing_is_left_of_dead_runs(report: dict[str, Any]) -> None:
    assert report["unfinished"] == []
    assert report["versions"]["killed"] == report["versions"]["undisturbed"]


def test_of_two_that_publish_one_waits_and_one_that_does_not_publish_is_not_held_up(
    report: dict[str, Any],
) -> None:
    together = report["together"]
    assert together["codes"] == {"first": 0, "quiet": 0, "refused": 5, "waits": 0}
    assert f"the store is in use by run {together['holder']} (host " in together["said"]
    assert together["moved"]
    assert together["unfinished"] == []
    assert report["alone"]["code"] == 0
    assert together["table"] == report["alone"]["table"]
