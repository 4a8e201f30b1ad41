"""The checks of [expect], each as soon as the stage that it looks at is done."""

from typing import Protocol

from pipeline.errors import InputError
from pipeline.runs.failures import explained_failures
from pipeline.stages.context import Job
from pipeline.stages.ingest import published_items
from pipeline.stages.ingest import stage as ingest
from pipeline.stages.ingest.expectations import Expectation
from pipeline.stages.tokenize import drift
from pipeline.stages.tokenize import stage as tokenize
from pipeline.terminal.progress import Progress


class _Check(Protocol):
    """What a module that checks a stage's output holds."""

    def needs_spark(self, job: Job) -> bool:
        """Whether the store has to be read for it."""

    def check(self, job: Job) -> list[Expectation]:
        """What is expected, and what was found."""


_CHECKS: dict[str, _Check] = {ingest.NAME: published_items, tokenize.NAME: drift}


def find(job: Job, stage: str, progress: Progress) -> list[Expectation]:
    """What is expected of a stage's output, and what was found; empty where nothing is.

    Args:
        job: the run, which has the record of the stage.
        stage: the stage's name.
        progress: shows that the store is read for it, where it is.

    Raises:
        StageError: the store can't be read.
    """
    if stage not in _CHECKS:
        return []
    check = _CHECKS[stage]
    if not check.needs_spark(job):
        return check.check(job)
    with progress.stage("      expectations") as line:
        job.line = line
        with explained_failures(stage, job):
            return check.check(job)


def judge(job: Job, found: list[Expectation], progress: Progress, *, is_experiment: bool) -> None:
    """Stop the run if an expectation is not met; an experiment says so and goes on.

    Raises:
        InputError: naming all that is not as expected.
    """
    failed = [one for one in found if not one.is_met]
    if not failed:
        return
    message = published_items.message(job, failed)
    if not is_experiment:
        raise InputError(message)
    progress.print(f"{message}. This run does not publish, and goes on")
