"""A stage's output for the same inputs changes with its code version only, and with it its name."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

import models
import pipeline
from pipeline.stages import CHAIN, NAMES
from pipeline.stages.context import Stage
from pipeline.store.stage_record import StageRecord
from tests.pipeline.shop import Shop
from tests.pipeline.stages import golden
from tests.pipeline.stages.golden_comparison import failure_of

_EMBED = CHAIN[NAMES.index("embed")]
# Later stages are named by the content of items and models: where a raised stage writes the same
# content as before, their outputs are reused.
_RENAMED = {
    "ingest": {"ingest"},
    "tokenize": {"tokenize", "train", "embed", "index", "neighbors", "publish"},
    "train": {"train"},
    "embed": {"embed", "index", "neighbors", "publish"},
    "index": {"index", "neighbors", "publish"},
    "neighbors": {"neighbors", "publish"},
    "publish": {"publish"},
}


@pytest.mark.parametrize("stage", CHAIN, ids=NAMES)
def test_the_output_is_the_stored_one(
    stage: Stage, spark: SparkSession, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    outputs = {case: golden.run(stage, case, spark, tmp_path / case) for case in golden.CASES}
    stored = golden.stored(stage.NAME)
    failure = failure_of(stage, stored, outputs) if stored else "no stored output: make golden"
    forgotten = failure.startswith(f"the output of {stage.NAME} has changed")
    if request.config.getoption("--write-golden") and failure and not forgotten:
        golden.write(stage, outputs)
        pytest.skip(f"wrote the outputs of {stage.NAME}")
    assert not failure, failure


def _failure(**changes: object) -> str:
    """The failure for the stored outputs of embed compared with changed copies of them."""
    stored = golden.stored("embed")
    assert stored is not None
    changed = {case: replace(output, **changes) for case, output in stored[1].items()}  # type: ignore[arg-type]
    return failure_of(_EMBED, stored, changed)


def test_a_changed_output_asks_for_another_number() -> None:
    assert _failure() == ""
    failure = _failure(tables={"embeddings": []})
    assert "raise CODE_VERSION in pipeline/stages/embed/stage.py and run: make golden" in failure
    assert "exact: table embeddings: 41 rows before, 0 now" in failure


def test_another_number_asks_for_other_stored_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_EMBED, "CODE_VERSION", _EMBED.CODE_VERSION + 1)
    for failure in (_failure(), _failure(tables={"embeddings": []})):
        assert failure.startswith("the stored output of embed is of code version")
        assert failure.endswith("run: make golden")


def test_other_inputs_ask_for_other_stored_outputs() -> None:
    failure = _failure(inputs="0" * 16, tables={"embeddings": []})
    assert failure == "the stored output of embed is of other inputs or settings: run: make golden"


def _names(folder: Path) -> dict[str, str]:
    """The names of all stages' outputs in a run whose stages have written the stored outputs."""
    job = golden.new_job("exact", folder)
    names = {}
    for stage in CHAIN:
        stored = golden.stored(stage.NAME)
        assert stored is not None
        names[stage.NAME], _ = job.fingerprint(stage)
        record: StageRecord = golden.record_of(stage.NAME, stored[1]["exact"], names[stage.NAME])
        job.set_record(record)
    return names


@pytest.mark.parametrize("stage", CHAIN, ids=NAMES)
def test_a_raised_number_renames_the_output_and_what_is_made_of_it(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _names(tmp_path)
    assert _names(tmp_path) == before
    monkeypatch.setattr(stage, "CODE_VERSION", stage.CODE_VERSION + 1)
    after = _names(tmp_path)
    assert {name for name in NAMES if after[name] != before[name]} == _RENAMED[stage.NAME]


def test_changed_comments_and_docstrings_recompute_nothing(shop: Shop, tmp_path: Path) -> None:
    for package in (models, pipeline):
        source = Path(package.__path__[0])
        target = tmp_path / source.name
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        for module in target.rglob("*.py"):
            text = module.read_text(encoding="utf-8")
            changed = text.replace('"""', '"""Changed: ', 1) if text.startswith('"""') else text
            module.write_text(f"{changed}# Changed.\n", encoding="utf-8")
    script = (
        "import pipeline, models; from pipeline.cli.main import main; "
        "assert pipeline.__doc__.startswith('Changed: '), pipeline.__file__; "
        "assert models.__doc__.startswith('Changed: '), models.__file__; main()"
    )
    options = ("run", "--config", str(shop.file), "--dry-run", "--json")
    result = subprocess.run(
        [sys.executable, "-c", script, *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)["stages"]
    assert [stage["stage"] for stage in plan] == list(NAMES)
    assert {stage["action"] for stage in plan} == {"reuse"}, plan
