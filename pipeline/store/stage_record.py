"""The record of a stage's output."""

from dataclasses import dataclass, field
from typing import Any

from pipeline.store.schemas import MOVES

# The type of each field that every release has written.
RECORD_FIELDS = {
    "stage": str,
    "fingerprint": str,
    "run_id": str,
    "inputs": dict,
    "tables": dict,
    "counts": dict,
    "outputs": dict,
}


@dataclass(frozen=True)
class StageRecord:
    """The record of a stage's output; it is written last, so an output with a record is complete.

    Attributes:
        stage: the stage's name.
        fingerprint: 16 hexadecimal digits, of the stage's code version, settings and inputs.
        run_id: the run that made the output.
        inputs: the values that the fingerprint was made of.
        tables: number of rows of each table that the stage wrote.
        counts: numbers that run.json and the run's page show.
        outputs: values that later stages need, such as the model's sha256.
        seconds: how long the stage took.
    """

    stage: str
    fingerprint: str
    run_id: str
    inputs: dict[str, Any]
    tables: dict[str, int]
    counts: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def version(self, table: str) -> str:
        """The version of one of its tables."""
        version: str = self.outputs["moves"] if table in MOVES else self.fingerprint
        return version
