"""What a run is asked to do, from a command line or a notebook."""

from dataclasses import dataclass

from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.runs import publishing
from pipeline.runs.runner import Outcome, Runner, check_run_id, new_run_id
from pipeline.stages import NAMES
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress


@dataclass(frozen=True)
class RunRequest:
    """A run.

    Attributes:
        first: the stage to start with; what comes before must be done.
        last: the stage to stop after.
        publish: whether it was told to publish, where that is left open.
        retrain: whether a new model is trained.
        full: whether it builds on no earlier night.
        as_of: a run whose catalogue and model are used; empty for none.
        wait: for another run that publishes, in seconds.
        run_id: its name; empty for the time of its start.
        assignments: the settings that were changed for it: section.key=value.
    """

    first: str = NAMES[0]
    last: str = NAMES[-1]
    publish: bool = False
    retrain: bool = False
    full: bool = False
    as_of: str = ""
    wait: float = 0.0
    run_id: str = ""
    assignments: tuple[str, ...] = ()

    def publishes(self, settings: Config) -> bool:
        """Whether it publishes.

        Raises:
            UsageError: what it is asked does not go together.
        """
        for stage in (self.first, self.last):
            if stage not in NAMES:
                raise UsageError(f"{stage} is no stage; they are {', '.join(NAMES)}")
        if NAMES.index(self.first) > NAMES.index(self.last):
            raise UsageError(f"--from {self.first} comes after --to {self.last}")
        if self.as_of and self.retrain:
            raise UsageError("--as-of uses that run's model, --retrain makes a new one; give one")
        if self.last != NAMES[-1]:
            if self.publish:
                raise UsageError(
                    f"--to {self.last} ends before there is a table that --publish could take"
                )
            return False
        if self.publish or self.as_of:
            return self.publish
        return publishing.wanted(settings, self.assignments, Store.of(settings))

    def plan(self, settings: Config) -> list[tuple[str, str]]:
        """Each stage, and whether it would be reused or run, and why.

        Raises:
            UsageError: what it is asked does not go together, or what comes before is missing.
        """
        runner = self.runner(settings, Progress(), publishing=self.publishes(settings))
        return runner.plan(self.first, self.last, retrain=self.retrain)

    def run(self, settings: Config, progress: Progress) -> Outcome:
        """Do it.

        Raises:
            NitamonoError: whatever ends the run.
        """
        runner = self.runner(settings, progress, publishing=self.publishes(settings))
        return runner.run(self.first, self.last, retrain=self.retrain)

    def runner(self, settings: Config, progress: Progress, *, publishing: bool) -> Runner:
        """Its runner."""
        return Runner(
            settings,
            check_run_id(self.run_id or new_run_id()),
            progress,
            publishing=publishing,
            wait=self.wait,
            as_of_run=self.as_of,
            full=self.full,
        )
