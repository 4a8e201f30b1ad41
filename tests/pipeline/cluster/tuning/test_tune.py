"""The parts of tuning that need no cluster; tests/cluster/test_tune.py has the rest."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from pipeline.cli.main import execute
from pipeline.cluster.tuning import conf, page
from pipeline.cluster.tuning.result import TuningResult, as_json
from pipeline.cluster.tuning.search import Setup, Trial, best
from pipeline.errors import UsageError
from pipeline.report import page_texts
from pipeline.report.page import FILES
from tests.browser import opened


def test_a_setup_gives_each_executor_its_share_and_counts_those_of_all_nodes() -> None:
    settings = conf.executor_settings(Setup(4, 2, 1000), nodes=10)
    assert settings["spark.executor.instances"] == "40"
    assert settings["spark.cores.max"] == "80"
    assert settings["spark.executor.memory"] == "400m"
    assert settings["spark.executor.memoryOverhead"] == "600m"


def test_a_trial_keeps_the_users_settings_but_those_that_are_tried() -> None:
    user_conf = {
        "spark.master": "spark://host:7077",
        "spark.executor.memory": "9g",
        "spark.executor.pyspark.memory": "1g",
        "spark.hadoop.some": "thing",
    }
    settings = conf.trial_settings(user_conf, Setup(1, 1, 1000), nodes=1)
    assert settings["spark.master"] == "spark://host:7077"
    assert settings["spark.hadoop.some"] == "thing"
    assert settings["spark.executor.memory"] == "400m"
    assert settings["spark.task.maxFailures"] == "1"
    assert "spark.executor.pyspark.memory" not in settings


def content() -> dict[str, Any]:
    """The content of a page with three trials, of which the second wins."""
    trials = [
        Trial(Setup(1, 1, 2048), 40.0),
        Trial(Setup(2, 1, 1024), 20.0),
        Trial(Setup(4, 1, 512), None, "killed <here>"),
    ]
    result = TuningResult("run1", 1000, trials, best(trials), Path("conf"), Path("page"))
    return as_json(result) | {"nitamono": "0.1.0"}


def test_the_page_shows_the_best_setup_and_why_others_failed(tmp_path: Path) -> None:
    file = tmp_path / "tune.html"
    file.write_bytes(page.html(content()))
    viewport = {"width": 400, "height": 800}
    with opened(file, locale="en-US", viewport=viewport) as window:
        expect(window.page.locator("#trials-chart canvas").first).to_be_visible()
        assert "Best: 2 × 1 cores, 1.0 GiB" in window.texts("h1")[0]
        assert window.texts("tbody td:nth-child(5)") == ["40.0", "20.0", "–"]
        outcomes = ["", "✓ best", "✕ failed"]
        assert window.texts("tbody td:nth-child(7)") == outcomes
        assert window.texts("#trials .note") == ["3: 4 × 1 cores, 512 MiB: killed <here>"]
        assert window.page.evaluate("document.documentElement.scrollWidth") == 400
        assert window.errors == []
        assert window.requests == []


def test_the_page_of_failures_is_in_the_reader_s_language(tmp_path: Path) -> None:
    file = tmp_path / "tune.html"
    failed = {"trials": content()["trials"][2:], "winner": None}
    file.write_bytes(page.html(content() | failed))
    with opened(file, locale="ja-JP") as window:
        assert "すべての構成が失敗" in window.texts("h1")[0]
        assert window.texts("tbody td:nth-child(7)") == ["✕ 失敗"]
        assert window.errors == []


def test_both_languages_have_every_text_that_the_page_shows() -> None:
    files = Path(page.__file__).with_name("files")
    texts = page_texts.merge(
        page_texts.load(FILES / "common.toml"), page_texts.load(files / "tune.toml")
    )
    script = (files / "tune.js").read_text(encoding="utf-8")
    names = set(re.findall(r'\bt\("(\w+)"', script))
    assert len(names) > 10
    for language in page_texts.LANGUAGES:
        assert names <= texts[language].keys()


@pytest.mark.parametrize("master", ["local[2]", "local-cluster[1,1,1024]"])
def test_a_local_master_is_refused_before_anything_is_made(tmp_path: Path, master: str) -> None:
    config = tmp_path / "nitamono.toml"
    config.write_text(
        f'[store]\npath = "store"\n[catalogue]\npath = "c.csv"\n[spark]\nmaster = "{master}"\n'
    )
    nodes = ("--node-cores", "2", "--node-memory", "2g")
    with pytest.raises(UsageError, match="has no executors to vary"):
        execute(["tune", "--config", str(config), *nodes])
    assert not (tmp_path / "store").exists()


def test_under_spark_submit_it_says_how_to_call_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "nitamono.toml"
    config.write_text('[store]\npath = "store"\n[catalogue]\npath = "c.csv"\n')
    monkeypatch.setenv("PYSPARK_GATEWAY_PORT", "1")
    with pytest.raises(UsageError, match="call nitamono itself"):
        execute(["tune", "--config", str(config), "--node-cores", "2", "--node-memory", "2g"])
