"""Whole runs and what their receivers are told, from the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import SPARK_CONF
from tests.pages import ROOT
from tests.pipeline.conftest import InProcess
from tests.pipeline.monitoring.receivers import Receiver, hanging, nobody, receiver
from tests.pipeline.monitoring.test_lineage import check
from tests.pipeline.sample_shop import MODEL, SAMPLES, SampleShop, copy_shop, head

RECEIVERS = """
[[notify]]
on = ["failed", "held_back", "published", "slow"]
url_env = "HOOK"
[[notify]]
on = ["published"]
command = ["sh", "-c", "cat > notice.json"]
[metrics]
textfile = "nitamono.prom"
pushgateway = "{url}"
labels = {{ shop = "samples" }}
[lineage]
file = "lineage.jsonl"
url = "{url}/api/v1/lineage"
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiver() as own:
        monkeypatch.setenv("HOOK", f"{own.url}/hook-of-the-shop")
        yield own


def write_config(folder: Path, url: str, more: str = "") -> str:
    file = folder / "nitamono.toml"
    file.write_text(
        f'[store]\npath = "store"\n[catalogue]\npath = "items.csv"\n{MODEL}'
        f"[publish]\nmax_churn = 1.0\n{RECEIVERS.format(url=url)}{more}"
    )
    return str(file)


def metrics(folder: Path) -> dict[str, float]:
    """The values of the text file that have no label but the shop."""
    families = text_string_to_metric_families((folder / "nitamono.prom").read_text("utf-8"))
    samples = (one for family in families for one in family.samples)
    return {one.name: one.value for one in samples if one.labels == {"shop": "samples"}}


def test_a_night_that_publishes_tells_everybody(
    published_samples: Path,
    tmp_path: Path,
    in_process: InProcess,
    server: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = copy_shop(published_samples, tmp_path / "shop")
    monkeypatch.chdir(shop.folder)
    file = write_config(shop.folder, server.url)
    printed = json.loads(in_process("run", "--config", file, "--run-id", "night2", "--json"))
    assert_everybody_was_told(shop, server, printed["version"])


def assert_everybody_was_told(shop: SampleShop, server: Receiver, version: str) -> None:
    """See that notice, metrics and lineage of night2 have arrived everywhere."""
    by_path: dict[str, list[bytes]] = {}
    for _, path, _, content in server.received:
        by_path.setdefault(path, []).append(content)
    (notice,) = map(json.loads, by_path["/hook-of-the-shop"])
    assert notice == json.loads((shop.folder / "notice.json").read_text("utf-8"))
    assert (notice["event"], notice["run_id"], notice["version"]) == (
        "published",
        "night2",
        version,
    )
    assert Path(notice["page"]).is_file()
    (pushed,) = by_path["/metrics/job/nitamono/shop/samples"]
    assert b"nitamono_run_success 1" in pushed
    values = metrics(shop.folder)
    items = len(shop.published("items")["item_id"])
    assert values["nitamono_items"] == items == notice["items"]
    assert values["nitamono_table_rows"] == len(shop.published()["item_id"])
    latest = shop.store.latest()
    assert latest is not None
    files = list(Path(latest["path"]).glob("*.parquet"))
    assert values["nitamono_table_bytes"] == sum(path.stat().st_size for path in files)
    events = [json.loads(event) for event in by_path["/api/v1/lineage"]]
    lines = (shop.folder / "lineage.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == events
    for event in events:
        check(event)
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]
    (table,) = events[1]["outputs"]
    assert table["facets"]["version"]["datasetVersion"] == version


def nitamono(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", *words, "--log", "json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SPARK_CONF_DIR": str(SPARK_CONF)}
        | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def events_of(ended: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The events of the log; what Java prints is left out."""
    return [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]


@pytest.mark.slow
def test_nights_in_processes_of_their_own_with_good_and_bad_receivers(tmp_path: Path) -> None:
    head(SAMPLES / "night1.csv", tmp_path / "items.csv", 200)
    with (tmp_path / "items.csv").open("a", encoding="utf-8") as catalogue:
        catalogue.write("EMPTY\n")
    shop = SampleShop(tmp_path, tmp_path / "items.csv")
    with receiver() as good:
        file = write_config(tmp_path, good.url)
        hook = f"{good.url}/hook-of-the-shop"
        first = nitamono(tmp_path, "run", "--config", file, "--run-id", "night2", HOOK=hook)
        assert first.returncode == 0, first.stderr
        latest = shop.store.latest()
        assert latest is not None
        assert_everybody_was_told(shop, good, latest["version"])
    stages = [event["stage"] for event in events_of(first) if event["event"] == "stage_ended"]
    assert stages == ["ingest", "tokenize", "train", "embed", "index", "neighbors", "publish"]
    assert {event["run_id"] for event in events_of(first)} == {"night2"}
    with hanging() as hangs, receiver(*[500] * 99) as broken:
        more = "".join(
            f'[[notify]]\non = ["failed"]\nurl_env = "{name}"\n' for name in ("BAD", "GONE")
        )
        file = write_config(tmp_path, hangs, more)
        second = nitamono(
            *(tmp_path, "run", "--config", file, "--set", "expect.max_quarantined=0"),
            HOOK=hangs,
            BAD=broken.url,
            GONE=nobody(),
        )
        ended_at = datetime.now(UTC)
    assert second.returncode == 3, second.stderr
    events = events_of(second)
    (end,) = (event for event in events if event["event"] == "run_ended")
    assert (end["status"], end["exit_code"]) == ("failed", 3)
    assert (ended_at - datetime.fromisoformat(end["time"])).total_seconds() < 10
    missed = [event["text"] for event in events if "was not sent" in event.get("text", "")]
    assert len(missed) == 6, "START and FAIL, metrics, three notices"
    assert events[-1]["event"] == "error"
    assert events[-1]["exit_code"] == 3
    assert len(broken.received) > 1
    values = metrics(tmp_path)
    assert values["nitamono_run_exit_code"] == 3
    assert "nitamono_recall_ratio" not in values, "nothing was computed"
