"""Reuse: which output of an earlier run stands for a stage, so that the stage need not run."""

from collections.abc import Mapping

from pipeline.stages.context import Job, Stage, output_missing
from pipeline.stages.train import stage as train
from pipeline.store.stage_record import StageRecord


class Reuse:
    """Decides for each stage whether an output in the store is reused.

    Attributes:
        pinned: records of an earlier run that are used whatever the settings say, by stage
            (--as-of).
    """

    def __init__(self, job: Job, pinned: Mapping[str, StageRecord]) -> None:
        """Decide for the stages of one job.

        Args:
            job: a job that has the records of the stages before.
            pinned: see the class.
        """
        self._job = job
        self.pinned = pinned

    def reusable_record(self, stage: Stage, *, fresh: bool = False) -> StageRecord | None:
        """The record of the output that stands for a stage; None if the stage has to run.

        It is the pinned output; or for train the current model; or the output in the store whose
        fingerprint is that of the stage's code version, settings and inputs.

        Args:
            stage: the stage.
            fresh: whether a new model is trained though there is a current one.
        """
        if stage.NAME in self.pinned:
            return self.pinned[stage.NAME]
        if stage.NAME == train.NAME and not fresh:
            current = train.reusable_model(self._job)
            if current is not None:
                return current
        version, _ = self._job.fingerprint(stage)
        return self._job.store.find_record(stage.NAME, version)

    def required_record(self, stage: Stage) -> StageRecord:
        """The same, for a stage that is not to run.

        Raises:
            UsageError: its output is not in the store.
        """
        record = self.reusable_record(stage)
        if record is None:
            raise output_missing(stage.NAME)
        return record
