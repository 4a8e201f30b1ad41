"""A stage's output for the same inputs changes with its code version only."""

from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.stages import CHAIN, NAMES
from pipeline.stages.context import Stage
from tests.pipeline.stages import golden


@pytest.mark.parametrize("stage", CHAIN, ids=NAMES)
def test_the_output_is_the_stored_one(
    stage: Stage, spark: SparkSession, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    outputs = {case: golden.run(stage, case, spark, tmp_path / case) for case in golden.CASES}
    stored = golden.stored(stage.NAME)
    failure = golden.failure(stage, stored, outputs) if stored else "no stored output: make golden"
    changed_alone = failure.startswith(f"the output of {stage.NAME} has changed")
    if request.config.getoption("--write-golden") and failure and not changed_alone:
        golden.write(stage, outputs)
        pytest.skip(f"wrote the outputs of {stage.NAME}")
    assert not failure, failure
