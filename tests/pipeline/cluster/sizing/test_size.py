"""What `nitamono size` prints, against the formula and the example of docs/."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from models.cache import FOLDER_VARIABLE, LIMIT_VARIABLE
from pipeline.cli.main import execute
from pipeline.cluster.sizing import work
from pipeline.errors import UsageError
from tests.pages import ROOT, Page

PAGE = Page(ROOT / "docs" / "sizing-and-tuning.md")
NODES = ("--node-cores", "16", "--node-memory", "64g", "--nodes", "10", "--items", "300000000")
MODEL = ("--words", "2000000", "--buckets", "2000000", "--dim", "300")
LIBRARY = ("--set", "model.engine=library", "--set", "embed.method=mean")


@pytest.fixture(autouse=True)
def _no_cache_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process set the cache's folder."""
    for name in (FOLDER_VARIABLE, LIMIT_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def size(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    execute(["size", *arguments])
    return capsys.readouterr().out


def size_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(size(capsys, *arguments, "--format", "json"))
    return result


def formula(**parameters: float) -> dict[str, float]:
    """The page's formula, evaluated line by line."""
    (block,) = PAGE.blocks("text")
    values: dict[str, Any] = dict(parameters) | {"min": min, "max": max, "__builtins__": {}}
    for line in block.text.splitlines():
        name, _, expression = line.strip().partition(" = ")
        values[name] = eval(expression, values)  # noqa: S307 - our own page
    return values


@pytest.mark.parametrize(("cores", "memory"), [("16", "64g"), ("4", "24g"), ("8", "16g")])
def test_the_plan_follows_from_the_formula_of_the_page(
    capsys: pytest.CaptureFixture[str], cores: str, memory: str
) -> None:
    nodes = ("--node-cores", cores, "--node-memory", memory, "--items", "300000000")
    result = size_json(capsys, *nodes, *MODEL)
    expected = formula(
        cores=result["cores"],
        executors=result["executors_a_node"],
        tasks=result["tasks_a_node"],
        words=2_000_000,
        vector=448,
        lists=75_000,
        worker_mb=1500,
        sample_items=1_200_000,
        model=result["model"]["packed"] / 2**20,
    )
    assert result["heap"] == expected["heap"]
    jvms = result["executors_a_node"] * expected["jvm"]
    for stage in ("embed", "neighbors"):
        assert result["stages"][stage]["node"] == pytest.approx(jvms + expected[stage], abs=1)
    assert expected["together"] <= result["node"]["usable"]
    assert result["conf"]["spark.executor.memory"] == f"{expected['heap']}m"
    on_yarn = size_json(capsys, *nodes, *MODEL, "--cluster", "yarn")["conf"]
    overhead = float(on_yarn["spark.driver.memoryOverhead"].removesuffix("m"))
    assert overhead == pytest.approx(expected["driver"], abs=1)


def test_one_task_more_would_not_fit_or_has_no_core(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = ("--node-cores", "8", "--node-memory", "16g", "--items", "1000000")
    result = size_json(capsys, *nodes, *MODEL)
    free = result["node"]["usable"] - max(stage["node"] for stage in result["stages"].values())
    assert 0 <= free < min(stage["worker"] for stage in result["stages"].values()) + 512
    assert "memory is short" in result["reasons"][0]


def test_the_example_of_the_page_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    command = next(PAGE.commands()).removeprefix("nitamono size ")
    printed = size(capsys, *shlex.split(command)).splitlines()
    example = PAGE.blocks("console")[0].text.splitlines()[2:]
    shown = [line for line in example if "..." not in line]
    assert [line for line in printed if line in shown] == shown
    assert len(shown) > 25


def test_a_private_copy_is_counted_for_every_worker(capsys: pytest.CaptureFixture[str]) -> None:
    mapped = size_json(capsys, *NODES, *MODEL)
    library = size_json(capsys, *NODES, *MODEL, *LIBRARY)
    # 7.2 GB of .bin in each of its workers.
    worker = library["stages"]["embed"]["worker"] * 2**20
    assert worker > library["model"]["binary"] > 7e9
    assert library["stages"]["embed"]["model"] == 0
    assert mapped["tasks_a_node"] == 15
    assert library["tasks_a_node"] < 7
    assert any("memory is short" in reason for reason in library["reasons"])


def test_the_method_mean_keeps_fewer_rows(capsys: pytest.CaptureFixture[str]) -> None:
    result = size_json(capsys, *NODES, *MODEL, "--set", "embed.method=mean")
    assert result["vector_dim"] == 300
    assert result["stages"]["embed"]["worker"] == 220 + 3 * 32
    assert '`embed.method = "mean"` `rows` is 32' in PAGE.text


def test_on_kubernetes_the_container_has_room_for_the_models_pages(
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = ("--set", "neighbors.worker_mb=500")
    pods = size_json(capsys, *NODES, *MODEL, *small, "--cluster", "kubernetes")
    overhead = int(pods["conf"]["spark.executor.memoryOverhead"].removesuffix("m"))
    embed = pods["stages"]["embed"]
    assert pods["executors_a_node"] == 1
    assert overhead >= pods["jvm_beside_heap"] + embed["workers"] + embed["model"]
    hosts = size_json(capsys, *NODES, *MODEL, *small, "--cluster", "yarn")
    overhead = int(hosts["conf"]["spark.executor.memoryOverhead"].removesuffix("m"))
    assert overhead * hosts["executors_a_node"] < embed["workers"] + embed["model"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "spark.executor.pyspark.memory=4g"), "RLIMIT_AS"),
        (("--set", "spark.executor.memory=8g", "--cluster", "kubernetes"), "exit code 137"),
        (("--set", "spark.executor.cores=16", "--set", "spark.executor.memory=40g"), "16 tasks"),
        (("--cache", "/dev/shm/models"), "is in memory here"),  # noqa: S108
        (("--cluster", "yarn"), "smaps-based-rss"),
    ],
)
def test_what_kills_jobs_is_warned_of(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    warnings = size_json(capsys, *NODES, *MODEL, *arguments)["warnings"]
    assert any(words in warning for warning in warnings)
    plain = size_json(capsys, *NODES, *MODEL, "--cluster", "kubernetes")["warnings"]
    assert not any(words in warning for warning in plain)


def test_a_folder_that_cant_hold_the_model_is_warned_of(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    huge = ("--words", "900000000", "--buckets", "900000000", "--dim", "300")
    nodes = ("--node-cores", "2", "--node-memory", "9t", "--items", "1000")
    warnings = size_json(capsys, *nodes, *huge, "--cache", str(tmp_path))["warnings"]
    assert any(f"{tmp_path} has" in warning for warning in warnings)


def test_a_node_too_small_for_one_task_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = ("--node-cores", "2", "--node-memory", "8g", "--items", "1000")
    with pytest.raises(UsageError, match=r'one task takes 9.* model\.engine = "mapped"'):
        size(capsys, *nodes, *MODEL, *LIBRARY)


def test_hours_and_bytes_are_those_of_the_benchmarks(capsys: pytest.CaptureFixture[str]) -> None:
    """benchmarks/README.md: 300M items of 300 dimensions: 39 core-hours, 192 GB and 208 GB."""
    cost = size_json(capsys, *NODES, *MODEL, *LIBRARY)["cost"]
    hours = cost["core_hours"]
    assert hours["index"] + hours["neighbors"] == pytest.approx(39, rel=0.02)
    assert cost["shuffle_bytes"]["neighbors"] == pytest.approx(192e9, rel=0.01)
    assert cost["shuffle_bytes"]["lists"] == pytest.approx(208e9, rel=0.02)


@pytest.mark.parametrize("items", ["100000000", "300000000", "1000000000"])
def test_no_worker_allocates_more_for_a_larger_catalogue(
    capsys: pytest.CaptureFixture[str], items: str
) -> None:
    result = size_json(capsys, *NODES[:-1], items, *MODEL)
    worker_mib = 1_500 * 1e6 / 2**20  # the default of neighbors.worker_mb
    assert result["largest"]["a Python worker"]["mib"] < worker_mib / 3
    assert result["largest"]["driver's Python"]["mib"] < 1_100  # 1.2 million vectors in float16
    assert result["largest"]["driver's JVM"]["mib"] < 100
    # Memory is spent on more tasks instead.
    assert result["tasks"]["search"] * 1_500e6 / (16 * 448 + 400) > int(items)
    assert result["tasks"]["recall"] <= 4 * 150


def test_the_lists_of_a_plan_are_as_uneven_as_those_of_the_benchmarks() -> None:
    sizes = work.uneven_sizes(75_000_000, 75_000)
    assert abs(int(sizes.sum()) - 75_000_000) < 75_000
    assert (sizes.astype(float) ** 2).mean() / sizes.mean() ** 2 == pytest.approx(1.3, abs=0.02)


def test_conf_and_submit_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    conf = size_json(capsys, *NODES, *MODEL)["conf"]
    lines = size(capsys, *NODES, *MODEL).splitlines()
    assert dict(line.split() for line in lines if line and line[0] != "#") == conf
    submit = size(capsys, *NODES, *MODEL, "--format", "submit")
    assert dict(re.findall(r"--conf (\S+)=(\S+) ", submit)) == conf


def test_the_config_says_model_settings_and_k(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    vectors = tmp_path / "words.vec"
    vectors.write_text("3 2\na 1 2\nb 3 4\nc 5 6\n")
    config = tmp_path / "nitamono.toml"
    config.write_text(
        '[store]\npath = "s"\n[catalogue]\npath = "c.csv"\n[neighbors]\nk = 7\n'
        '[model]\npath = "words.vec"\n[embed]\ndim = 100\n'
    )
    result = size_json(capsys, *NODES, "--config", str(config))
    assert (result["k"], result["model"]["words"], result["vector_dim"]) == (7, 3, 100)


def test_without_a_model_it_says_how_to_name_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="give --model FILE, or --words N"):
        size(capsys, *NODES)


def test_on_one_machine_the_drivers_jvm_does_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    machine = ("--node-cores", "4", "--node-memory", "24g", "--items", "10000", *MODEL)
    local = size_json(capsys, *machine, "--cluster", "local")
    cluster = size_json(capsys, *machine)
    assert local["conf"]["spark.master"] == "local[4]"
    assert local["conf"]["spark.driver.memory"] == cluster["conf"]["spark.executor.memory"]
    assert not any("executor" in name for name in local["conf"])
    with pytest.raises(UsageError, match="is one machine"):
        size(capsys, *machine, "--cluster", "local", "--nodes", "2")
