"""The runner: runs stages in order, reuses outputs that exist, and publishes at the end."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NoReturn

from pipeline.config.sections import Config
from pipeline.errors import GateError, InputError, NitamonoError, StageError
from pipeline.export import catalog_publication, catalog_table
from pipeline.report import run_page
from pipeline.runs import input_checks, sizes
from pipeline.runs.failures import explained_failures
from pipeline.runs.invalidation import plan_stages
from pipeline.runs.pinned import pinned_records
from pipeline.runs.record import DONE, REUSED, Outcome, RunRecorder
from pipeline.runs.reuse import Reuse
from pipeline.runs.summary import stage_note
from pipeline.stages import CHAIN, NAMES
from pipeline.stages.context import Job, Stage, output_missing
from pipeline.stages.index import current_quantiser
from pipeline.stages.index import stage as index
from pipeline.stages.neighbors import stage as neighbors
from pipeline.stages.publish import gate
from pipeline.stages.publish import stage as publish
from pipeline.stages.train import definition, model_registry
from pipeline.stages.train import stage as train
from pipeline.store import lock, publications, store_format
from pipeline.store.pending import Pending
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress

# The stages that are run for each variant.
VARIANT_STAGES: tuple[Stage, ...] = (neighbors, publish)


class Runner:
    """Runs stages of one job.

    Attributes:
        outcome: what the run came to, so far.
    """

    def __init__(
        self,
        config: Config,
        run_id: str,
        progress: Progress,
        *,
        publishing: bool = True,
        experiment: bool = False,
        wait: float = 0.0,
        as_of_run: str = "",
        full: bool = False,
    ) -> None:
        """Open the store.

        Args:
            config: the whole config.
            run_id: the run's id.
            progress: prints the progress.
            publishing: whether the run may publish, and change the model and the quantiser that
                later runs use.
            experiment: whether the run goes on with a catalogue that is not as expected.
            wait: seconds to wait for another run that publishes.
            as_of_run: an earlier run, whose catalogue and model are used; empty for none.
            full: whether every stage computes its output without an earlier version of it.

        Raises:
            UsageError: the store or the earlier run can't be used.
        """
        self._store = Store.of(config)
        self._store.verifies, self._store.print_line = True, progress.print
        self._job = Job(config, self._store, run_id, publishing=publishing, full=full)
        self._progress = progress
        self._wait = wait
        self._is_experiment = experiment
        further = config.catalogue.further
        pinned = pinned_records(self._store, as_of_run, further) if as_of_run else {}
        self._reuse_rules = Reuse(self._job, pinned)
        self._only_trains = False
        # The job of each variant, and in `_suffix` that of the one whose stages are run.
        self._variants = {one.name: config.of_variant(one) for one in config.variant}
        self._variant_jobs: dict[str, Job] = {}
        self._suffix = ""
        self.outcome = Outcome(run_id)
        self._recorder = RunRecorder(self._job, self.outcome, progress)
        self._job.announce_use = self._recorder.write

    def plan(self, first: str, last: str, *, retrain: bool = False) -> list[tuple[str, str]]:
        """What `run` would do: each stage, and whether it would be reused or run, and why.

        Raises:
            UsageError: the output of a stage before `first` is not in the store.
        """
        for stage in CHAIN[: NAMES.index(first)]:
            self._job.set_record(self._reuse_rules.required_record(stage))
        stages = CHAIN[NAMES.index(first) : NAMES.index(last) + 1]
        own, after = plan_stages(self._job, self._reuse_rules, stages, retrain=retrain)
        # The stages of variants build on those before neighbors.
        shared = [stage.NAME for stage in stages if stage not in VARIANT_STAGES]
        for name in self._variants if last == publish.NAME else ():
            with self._within(name):
                after_shared = after if after in shared else None
                plan, _ = plan_stages(
                    self._job, self._reuse_rules, VARIANT_STAGES, after=after_shared
                )
                own += [(f"{stage}{self._suffix}", what) for stage, what in plan]
        return own

    def run(self, first: str, last: str, *, retrain: bool = False) -> Outcome:
        """Run the stages from first to last; the outputs of those before must be in the store.

        Raises:
            NitamonoError: the run failed. run.json says so too, unless another run holds the
                store's lock.
        """
        if self._store.format < store_format.FORMAT:
            self._progress.print(store_format.ADVICE)
        self._only_trains = first == last == train.NAME
        recorder = self._recorder
        with (
            recorder.stopping_spark(),
            self._page_at_end(),
            self._locked() as held_lock,
            recorder.recording(),
        ):
            if held_lock is not None:
                self._check_catalog_table()
            self._job.read_state()
            for stage in CHAIN[: NAMES.index(first)]:
                if not self._reuse(self._reuse_rules.required_record(stage)):
                    raise output_missing(stage.NAME)
                if self._job.publishing:
                    self._check_input(stage)
            for stage in CHAIN[NAMES.index(first) : NAMES.index(last) + 1]:
                fresh = stage.NAME == train.NAME and (retrain or self._only_trains)
                self._run_stage(stage, fresh=fresh)
                self._check_input(stage)
                self._recorder.write()
            if last == publish.NAME:
                for name in self._variants:
                    self._run_variant(name)
            if last == publish.NAME and held_lock is not None:
                retrained = retrain and NAMES.index(first) <= NAMES.index(train.NAME)
                self.outcome.version = self._publish(held_lock, retrained=retrained)
        return self.outcome

    def _run_variant(self, name: str) -> None:
        """Run the stages that a variant has of its own."""
        with self._within(name):
            for stage in VARIANT_STAGES:
                self._run_stage(stage, fresh=False)
                self._recorder.write()

    @contextmanager
    def _within(self, name: str) -> Iterator[None]:
        """Let the job be that of a variant; what the stages before it have made is its own too."""
        whole = self._job, self._reuse_rules, self._suffix
        if name not in self._variant_jobs:
            self._variant_jobs[name] = self._job.for_variant(name, self._variants[name])
        self._job, self._suffix = self._variant_jobs[name], f"@{name}"
        self._reuse_rules = Reuse(self._job, self._reuse_rules.pinned)
        try:
            yield
        except (InputError, GateError) as error:
            raise type(error)(f"variant {name}: {error}") from error
        finally:
            self._job, self._reuse_rules, self._suffix = whole

    def fail(self, error: NitamonoError) -> NoReturn:
        """Record that the run has failed before it began.

        Raises:
            NitamonoError: the error.
        """
        recorder = self._recorder
        with recorder.stopping_spark(), self._page_at_end(), recorder.recording():
            raise error

    def _page_at_end(self) -> AbstractContextManager[None]:
        max_items, run_id = self._job.config.report.map_items, self._job.run_id
        return run_page.write_at_end(self._store, run_id, max_items, self._progress.print)

    def _locked(self) -> AbstractContextManager[lock.Lock | None]:
        if not self._job.publishing:
            return nullcontext()
        holder, say = f"run {self._job.run_id}", self._progress.print
        return lock.hold_store(self._store, holder, wait=self._wait, say=say)

    def _publish(self, held_lock: lock.Lock, *, retrained: bool) -> str:
        measurements = self._measure()
        self.outcome.gate = measurements.counts()
        held_lock.check()
        publish.pass_gate(self._job, measurements, retrained=retrained)
        for name in self._variants:
            self._pass_gate_of_variant(name, held_lock, retrained=retrained)
        job, store, table = self._job, self._store, catalog_table.of_config(self._job.config)
        version = job.record(publish.NAME).fingerprint
        stages = {name: record.fingerprint for name, _, record in self.outcome.stages}
        if table is None:
            publications.publish(store, job.run_id, stages)
            return version
        with self._progress.stage(f"      {table.name}") as line:
            job.line = line
            pending = Pending(table.name, version, job.run_id, stages)
            with (
                explained_failures("publish", job),
                catalog_publication.committed(store, table, job.spark, pending),
            ):
                # The commit may have taken long.
                held_lock.check()
                publications.publish(store, job.run_id, stages)
        return version

    def _pass_gate_of_variant(self, name: str, held_lock: lock.Lock, *, retrained: bool) -> None:
        with self._within(name):
            measurements = self._measure()
            self.outcome.variant_gates[name] = measurements.counts()
            held_lock.check()
            publish.pass_gate(self._job, measurements, retrained=retrained)

    def _check_catalog_table(self) -> None:
        """Put in order what a killed run has left, and check that the table can be written to."""
        finished = catalog_publication.finish_pending(self._store, lambda: self._job.spark)
        if finished is not None and finished.is_rollback:
            model_registry.restore_current(self._store, finished.stages.get(train.NAME, ""))
        table = catalog_table.of_config(self._job.config)
        if table is not None:
            table.check(self._job.spark)

    def _check_input(self, stage: Stage) -> None:
        """Check what a stage has made of the catalogue against [expect].

        Raises:
            InputError: it is not as expected, and the run is no experiment.
        """
        found = input_checks.find(self._job, stage.NAME, self._progress)
        self.outcome.expectations += found
        is_experiment = self._is_experiment
        input_checks.judge(self._job, found, self._progress, is_experiment=is_experiment)

    def _measure(self) -> gate.Measurements:
        if not gate.needs_spark(self._job):
            return gate.measure(self._job)
        with self._progress.stage("      the gate") as line:
            self._job.line = line
            with explained_failures("publish", self._job):
                measurements = gate.measure(self._job)
            if measurements.change:
                line.note = f"{measurements.change.churn:.1%} of the neighbours replaced"
        return measurements

    def _run_stage(self, stage: Stage, *, fresh: bool) -> None:
        """Run one stage, or reuse its output.

        Args:
            stage: the stage.
            fresh: whether another model is trained though there is a current one.
        """
        number = f"[{NAMES.index(stage.NAME) + 1}/{len(NAMES)}]"
        name = f"{stage.NAME}{self._suffix}"
        existing = self._reuse_rules.reusable_record(stage, fresh=fresh)
        if existing is not None and self._reuse(existing):
            made_by = existing.run_id
            text = f"{number} {name:<10}  already done by run {made_by}"
            self._progress.print(text, "stage_reused", name, made_by=made_by)
            return
        version, inputs = self._job.fingerprint(stage)
        if stage.NAME == publish.NAME:
            run_page.prepare(self._job.config.report.map_items)
        with self._progress.stage(f"{number} {name}") as line:
            self._job.line = line
            with explained_failures(stage.NAME, self._job):
                result = stage.execute(self._job, version)
            line.note, line.tables = stage_note(result, self.outcome), result.tables
        record = StageRecord(
            stage=stage.NAME,
            fingerprint=version,
            run_id=self._job.run_id,
            inputs=inputs,
            tables=result.tables,
            counts=result.counts,
            outputs=result.outputs,
            seconds=round(line.seconds, 3),
        )
        self._store.write_record(record)
        self._add_to_outcome(record, DONE)
        self._adopt(record)

    def _reuse(self, record: StageRecord) -> bool:
        """Reuse an existing output; False if gc has just deleted it.

        gc deletes a record first, and then looks which outputs the runs under way use. So run.json
        has to name the output before this run looks whether the record is still there.
        """
        self._add_to_outcome(record, REUSED)
        self._recorder.write()
        if self._store.find_record(record.stage, record.fingerprint) is None:
            if record.stage in self._reuse_rules.pinned:
                raise StageError(
                    f"{record.stage}: nitamono gc is deleting the output that --as-of names; "
                    "choose a later run"
                )
            self.outcome.stages.pop()
            return False
        self._adopt(record)
        return True

    def _add_to_outcome(self, record: StageRecord, status: str) -> None:
        self._job.set_record(record)
        name = f"{record.stage}{self._suffix}"
        if status == DONE:
            self.outcome.written_bytes[name] = sizes.written_bytes(self._store, record)
        if record.stage == publish.NAME:
            variant = self._suffix.removeprefix("@")
            self.outcome.table_bytes[variant] = sizes.table_bytes(self._store, record)
        self.outcome.stages.append((name, status, record))

    def _adopt(self, record: StageRecord) -> None:
        """Let later runs use this model or quantiser, if this run publishes or only trains."""
        if record.stage in self._reuse_rules.pinned:
            return
        if not (self._job.publishing or self._only_trains):
            return
        if record.stage == train.NAME and "tokens" in record.inputs:
            own = definition.model_definition(record.inputs)
            key = definition.model_key(own, record.outputs["text_fingerprint"])
            if self._job.state.models.get(key) != record.fingerprint:
                self._store.models.set_current(key, record.fingerprint)
        elif record.stage == index.NAME:
            current_quantiser.adopt(self._job, record)
        elif record.stage == neighbors.NAME:
            current_quantiser.record_nprobe(self._job, record)
