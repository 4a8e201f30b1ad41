"""What the DAG's tasks are given, without Airflow: two nights of them, stage by stage."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import WriteCsv
from tests.pipeline.conftest import InProcess

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "airflow"))

from nitamono_stages import CONFIG, ENTRY, RUN_ID, STAGES, arguments  # noqa: E402

from pipeline.cluster.submit.command import IMAGE_CONFIG, IMAGE_ENTRY  # noqa: E402
from pipeline.stages import NAMES  # noqa: E402


def test_every_stage_is_a_task_and_the_image_has_what_they_name() -> None:
    assert tuple(NAMES) == STAGES
    assert (ENTRY, CONFIG) == (IMAGE_ENTRY, IMAGE_CONFIG)


def test_the_arguments_are_those_of_the_commands_that_are_kept() -> None:
    kept = (ROOT / "tests/golden/airflow/commands.txt").read_text(encoding="utf-8").splitlines()
    for stage, line in zip(STAGES, kept, strict=True):
        words = shlex.split(line)
        assert words[words.index(ENTRY) + 1 :] == [
            word.replace("{{ dag_run.run_after | ts_nodash }}", "20261127T020000")
            for word in arguments(stage)
        ]
    assert RUN_ID.startswith("nightly-")


def test_the_dag_asks_spark_for_what_submit_asks_for() -> None:
    kept = (ROOT / "tests/golden/airflow/commands.txt").read_text(encoding="utf-8").splitlines()
    lines = (ROOT / "deploy/kubernetes/submit.sh").read_text(encoding="utf-8").partition("\n")[2]
    plain = lines.replace("\\\n", " ")

    def options(line: str) -> set[tuple[str, str]]:
        words = shlex.split(line.replace("=/opt/nitamono/kubernetes/", "="))
        words = words[1 : words.index(ENTRY)]
        return {pair for pair in zip(words[::2], words[1::2], strict=True) if pair[0] != "--name"}

    assert all(options(line) == options(plain) for line in kept)


@pytest.mark.slow
@pytest.mark.usefixtures("spark")
def test_stage_by_stage_a_night_publishes_and_the_next_one_does_not_train(
    in_process: InProcess, tmp_path: Path, write_csv: WriteCsv
) -> None:
    rows = [(f"{n:03d}", f"商品 {n % 9} 番 KH-{n % 5}00{'ABC'[n % 3]}", "説明") for n in range(66)]
    config = tmp_path / "nitamono.toml"

    def night(name: str, count: int, stages: Sequence[str]) -> dict[str, Any]:
        catalogue = write_csv(rows[:count], name=f"{name}.csv")
        config.write_text(
            f'[store]\npath = "store"\n[catalogue]\npath = "{catalogue.name}"\n'
            "[model]\ndim = 16\nepoch = 1\n"
        )
        for stage in stages:
            in_process(*arguments(stage, f"nightly-{name}", str(config)))
        file = tmp_path / f"store/runs/nightly-{name}/run.json"
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found

    first = night("n1", 60, STAGES)
    assert first["status"] == "published"
    assert {one["made_by"] for one in first["stages"]} == {"nightly-n1"}
    second = night("n2", 66, STAGES[: STAGES.index("train") + 1])
    assert [(one["stage"], one["made_by"]) for one in second["stages"]] == [
        ("ingest", "nightly-n2"),
        ("tokenize", "nightly-n2"),
        ("train", "nightly-n1"),
    ]
