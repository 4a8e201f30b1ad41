"""What of tuning needs no cluster; tests/cluster/test_tune.py has the rest."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from pipeline.cli.main import execute
from pipeline.cluster.tuning import conf, page
from pipeline.cluster.tuning.search import Setup, Trial, best
from pipeline.errors import UsageError


def test_a_setup_gives_each_executor_its_share_and_counts_those_of_all_nodes() -> None:
    told = conf.of(Setup(4, 2, 1000), nodes=10)
    assert told["spark.executor.instances"] == "40"
    assert told["spark.cores.max"] == "80"
    assert told["spark.executor.memory"] == "400m"
    assert told["spark.executor.memoryOverhead"] == "600m"


def test_a_trial_keeps_the_users_settings_but_those_that_are_tried() -> None:
    given = {
        "spark.master": "spark://host:7077",
        "spark.executor.memory": "9g",
        "spark.executor.pyspark.memory": "1g",
        "spark.hadoop.some": "thing",
    }
    told = conf.in_trial(given, Setup(1, 1, 1000), nodes=1)
    assert told["spark.master"] == "spark://host:7077"
    assert told["spark.hadoop.some"] == "thing"
    assert told["spark.executor.memory"] == "400m"
    assert told["spark.task.maxFailures"] == "1"
    assert "spark.executor.pyspark.memory" not in told


def test_the_page_draws_each_trial_that_came_through_and_tells_why_others_did_not() -> None:
    trials = [
        Trial(Setup(1, 1, 2048), 40.0),
        Trial(Setup(2, 1, 1024), 20.0),
        Trial(Setup(4, 1, 512), None, "killed <here>"),
    ]
    text = page.html(trials, best(trials), 1000)
    drawn = ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])  # noqa: S314
    bars = [one for one in drawn if one.tag.endswith("rect")]
    widths = [int(bar.attrib["width"]) for bar in bars]
    assert widths[0] == 2 * widths[1]
    assert bars[0].attrib["fill"] != bars[1].attrib["fill"]
    assert any(one.text == "killed <here>" for one in drawn)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


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
