"""The result of a tuning, formatted as JSON, as a table, and as a conf file."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.cluster.sizing.memory_size import readable
from pipeline.cluster.tuning import conf
from pipeline.cluster.tuning.search import Trial
from pipeline.storage.paths import StoragePath


@dataclass(frozen=True)
class TuningResult:
    """The trials of a tuning, and its files.

    Attributes:
        run_id: the run.
        items: approximate number of items that each trial embedded.
        trials: all trials, in order.
        winner: the best trial; None if all failed.
        conf: the file of the winner's settings.
        page: the file of the page.
    """

    run_id: str
    items: int
    trials: list[Trial]
    winner: Trial | None
    conf: StoragePath
    page: StoragePath


def as_json(result: TuningResult) -> dict[str, Any]:
    """The result for programs; memory in MiB."""
    return {
        "run_id": result.run_id,
        "items": result.items,
        "trials": [_trial_json(trial) for trial in result.trials],
        "winner": _trial_json(result.winner) if result.winner else None,
        "conf": str(result.conf),
        "page": str(result.page),
    }


def _trial_json(trial: Trial) -> dict[str, Any]:
    return asdict(trial.setup) | {"seconds": trial.seconds, "why": trial.failure}


def rows(result: TuningResult) -> Iterator[list[str]]:
    """A row of each trial: executors, cores, memory, seconds, items a second, outcome."""
    for trial in result.trials:
        setup = trial.setup
        yield [
            str(setup.executors),
            str(setup.cores),
            readable(setup.memory),
            "-" if trial.seconds is None else f"{trial.seconds:,.1f}",
            "-" if not trial.seconds else f"{result.items / trial.seconds:,.0f}",
            "best" if trial == result.winner else (trial.failure and f"failed: {trial.failure}"),
        ]


def conf_lines(
    result: TuningResult, winner: Trial, nodes: int, cores: int, memory: float
) -> Iterator[str]:
    """A file of the winner's settings for spark-submit --properties-file.

    Args:
        result: the result.
        winner: its winner.
        nodes: number of nodes.
        cores: cores of a node.
        memory: memory of a node for executors, MiB.
    """
    yield (
        f"# nitamono tune, run {result.run_id}: the best of {len(result.trials)} setups, nodes "
        f"{nodes}, each of {cores} cores and {readable(memory)}"
    )
    for name, value in conf.executor_settings(winner.setup, nodes).items():
        yield f"{name}  {value}"
