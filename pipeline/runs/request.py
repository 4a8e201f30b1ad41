"""The request for a run, from a command line or a notebook: what it asks, and its checks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pipeline.catalogue import resolve, today, with_dates
from pipeline.config.sections import Config
from pipeline.errors import DamagedError, InputError, UsageError
from pipeline.monitoring.watch import Watch
from pipeline.runs.record import Outcome, new_run_id
from pipeline.runs.runner import Runner
from pipeline.stages import NAMES
from pipeline.store import run_records
from pipeline.store.names import check_new_name
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress

# Sections that say where and how a run works, not what its table holds.
_SECTIONS_WITHOUT_EFFECT = {
    *("store", "s3", "gcs", "azure", "spark"),
    *("expect", "publish", "report", "notify", "metrics", "lineage"),
}


@dataclass(frozen=True)
class RunRequest:
    """A request for a run.

    Attributes:
        first: the stage to start with; the outputs of those before must be in the store.
        last: the stage to stop after.
        publish: whether --publish was given.
        retrain: whether a new model is trained.
        full: whether every stage computes its output without an earlier version of it.
        as_of: an earlier run, whose catalogue and model are used; empty for none.
        wait: seconds to wait for another run that publishes.
        run_id: the run's id; empty for the time of its start.
        date: the night that {date} stands for, YYYY-MM-DD; empty: today.
        wait_for_input: seconds to wait for a catalogue that is not there or not complete.
        assignments: the settings that were changed for this run: section.key=value.
    """

    first: str = NAMES[0]
    last: str = NAMES[-1]
    publish: bool = False
    retrain: bool = False
    full: bool = False
    as_of: str = ""
    wait: float = 0.0
    run_id: str = ""
    date: str = ""
    wait_for_input: float = 0.0
    assignments: tuple[str, ...] = ()

    def publishes(self, settings: Config) -> bool:
        """Whether the run publishes its table.

        Raises:
            UsageError: the options do not go together.
        """
        for stage in (self.first, self.last):
            if stage not in NAMES:
                raise UsageError(f"{stage} is no stage; they are {', '.join(NAMES)}")
        if NAMES.index(self.first) > NAMES.index(self.last):
            raise UsageError(f"--from {self.first} comes after --to {self.last}")
        if self.as_of and (self.date or self.wait_for_input):
            raise UsageError("--as-of reads no catalogue; leave out --date and --wait-for-input")
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
        return publishes_by_default(settings, self.assignments, Store.of(settings))

    def _is_experiment(self, settings: Config) -> bool:
        """Whether nothing that the run makes is meant to be published, by another command neither.

        A scheduler may call stage after stage, and publish with the last.
        """
        if self.last == NAMES[-1]:
            return not self.publishes(settings)
        store = Store.of(settings)
        return bool(self.as_of) or not publishes_by_default(settings, self.assignments, store)

    def plan(self, settings: Config) -> list[tuple[str, str]]:
        """Each stage, and whether it would be reused or run, and why.

        Raises:
            UsageError: the options do not go together, or an earlier stage has no output.
        """
        runner = self._runner(settings, self.run_id or new_run_id(), Progress())
        return runner.plan(self.first, self.last, retrain=self.retrain)

    def run(self, settings: Config, progress: Progress) -> Outcome:
        """Run the stages.

        Raises:
            NitamonoError: the run failed.
        """
        run_id = self.run_id or new_run_id()
        watch = Watch(
            settings, run_id, progress, part=self._part(), tells=not self._is_trial(settings)
        )
        with watch.watching():
            try:
                runner = self._runner(settings, run_id, progress)
            except InputError as error:
                # A night without a catalogue leaves a record too.
                self._new_runner(settings, run_id, progress).fail(error)
            watch.work_starts()
            outcome = runner.run(self.first, self.last, retrain=self.retrain)
            if outcome.version is not None:
                watch.published()
            return outcome

    def _part(self) -> str:
        """The stages of a run that is a part of the chain; empty for a run of all stages."""
        if (self.first, self.last) == (NAMES[0], NAMES[-1]):
            return ""
        return self.first if self.first == self.last else f"{self.first}-{self.last}"

    def _is_trial(self, settings: Config) -> bool:
        """Whether somebody tries something out, so that nobody else is told of the run."""
        if self.publish:
            return False
        return bool(self.as_of) or _is_experiment(settings, self.assignments)

    def _runner(self, settings: Config, run_id: str, progress: Progress) -> Runner:
        """The runner, with the catalogue of the night.

        Raises:
            UsageError: the options do not go together.
            InputError: the night's catalogue is not there or not complete.
        """
        if self.as_of:
            settings = with_dates(settings, _date_of(settings, self.as_of))
        else:
            settings = resolve(settings, self.date, self.wait_for_input, progress.print)
        return self._new_runner(settings, run_id, progress)

    def _new_runner(self, settings: Config, run_id: str, progress: Progress) -> Runner:
        return Runner(
            settings,
            check_new_name(run_id),
            progress,
            publishing=self.publishes(settings),
            experiment=self._is_experiment(settings),
            wait=self.wait,
            as_of_run=self.as_of,
            full=self.full,
        )


def _date_of(settings: Config, run_id: str) -> date:
    """The date that an earlier run went by, or else today's."""
    run = run_records.find_run(Store.of(settings), run_id)
    sections = run.settings if run else {}
    days = [] if settings.edits.date else [(sections.get("edits") or {}).get("date")]
    ranks = [(settings.rank, sections.get("rank"))]
    earlier = {one["name"]: one["rank"] for one in sections.get("variant") or ()}
    ranks += [(one.rank, earlier.get(one.name)) for one in settings.variant if one.rank]
    for rank, before in ranks:
        # What the config fixes is not the day of the run.
        if rank.fresh is not None and not rank.fresh.date:
            days.append(((before or {}).get("fresh") or {}).get("date"))
    day = next(filter(None, days), None)
    return date.fromisoformat(day) if day else today(settings.catalogue)


def publishes_by_default(config: Config, assignments: Sequence[str], store: Store) -> bool:
    """Whether a run of all stages publishes if the command line does not say so.

    A run whose settings are changed by --set is an experiment: it publishes only if nothing has
    been published yet. If the config says `publish = true`, --set may also name the catalogue.

    Args:
        config: the config, with the changes.
        assignments: the changes: section.key=value.
        store: the store that the run publishes in.
    """
    section = config.publish
    if not section.publish or not _has_published(store):
        return section.publish
    named = [assignment.partition("=")[0].strip() for assignment in assignments]
    return "publish.publish" in named or not _is_experiment(config, assignments)


def _is_experiment(config: Config, assignments: Sequence[str]) -> bool:
    """Whether assignments name a section that decides what a table holds."""
    named = {text.partition("=")[0].strip().partition(".")[0] for text in assignments}
    allowed = {"catalogue"} if "publish" in config.publish.model_fields_set else set()
    return bool(named - _SECTIONS_WITHOUT_EFFECT - allowed)


def _has_published(store: Store) -> bool:
    """Whether anything is published; if LATEST is damaged, something is: the run restores it."""
    try:
        return store.latest() is not None
    except DamagedError:
        return True
