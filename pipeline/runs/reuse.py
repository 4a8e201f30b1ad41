"""Reuse: which output of an earlier run stands for a stage, so that the stage need not run."""

from collections.abc import Iterator, Mapping

from pipeline.errors import DamagedError
from pipeline.stages.context import Job, Stage, output_missing
from pipeline.stages.train import definition
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
        fingerprint is that of the stage's code version, settings and inputs. A damaged output is
        said, and the stage has to run.

        Args:
            stage: the stage.
            fresh: whether a new model is trained though there is a current one.

        Raises:
            DamagedError: a pinned output is damaged.
        """
        for record in self._candidates(stage, fresh=fresh):
            damage = self._job.find_damage(record)
            if not damage:
                return record
            if stage.NAME in self.pinned:
                raise DamagedError(damage, "--as-of needs it: choose another run")
            self._job.store.say(f"{damage}. The output of {record.stage} is made again")
        return None

    def required_record(self, stage: Stage) -> StageRecord:
        """The same, for a stage that is not to run.

        Raises:
            UsageError: its output is not in the store.
            DamagedError: its output is damaged.
        """
        for record in self._candidates(stage):
            if damage := self._job.find_damage(record):
                raise DamagedError(
                    damage, f"to have it made again, run: nitamono {stage.NAME} --config FILE"
                )
            return record
        raise output_missing(stage.NAME)

    def _candidates(self, stage: Stage, *, fresh: bool = False) -> Iterator[StageRecord]:
        """The records of the outputs that may stand for a stage, the best first."""
        if stage.NAME in self.pinned:
            yield self.pinned[stage.NAME]
            return
        current = definition.reusable_model(self._job) if stage.NAME == train.NAME else None
        if current is not None and not fresh:
            yield current
        version, _ = self._job.fingerprint(stage)
        record = self._job.store.find_record(stage.NAME, version)
        if record is not None:
            yield record
