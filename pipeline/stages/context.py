"""What a stage is, and the job: the config, store, records and session that stages work with."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from models import Handle, shipping
from models.handle import Method
from pipeline.catalogue import Snapshot, open_snapshot, source_of
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.stages.job_session import JobSession
from pipeline.storage.paths import StoragePath
from pipeline.store.arrow_files import Rows
from pipeline.store.fingerprint import fingerprint
from pipeline.store.scan import ItemRows
from pipeline.store.stage_record import StageRecord
from pipeline.store.state import StoreState, read_state
from pipeline.store.store import Store
from pipeline.terminal.progress import StageLine

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_Value = TypeVar("_Value")
# From so many rows a core on, what adaptive execution makes of a shuffle occupies every core.
_ROWS_OF_A_TASK = 20_000
# Stages that never build on an earlier version of their output.
_WITHOUT_BASE = {"ingest", "train"}


@dataclass
class StageResult:
    """What a stage returns.

    Attributes:
        tables: number of rows of each table that it wrote.
        counts: numbers that run.json and the run's page show.
        outputs: values that later stages need.
    """

    tables: dict[str, int]
    counts: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)


class Stage(Protocol):
    """What the module stage.py of each stage holds.

    Attributes:
        NAME: the stage's name.
        CODE_VERSION: the version of its code, a part of its output's name. Raise it in the commit
            that changes what the stage writes for the same inputs and settings, also where the
            change is in a module that it calls; leave it where the output stays the same, so that
            an upgrade recomputes nothing. tests/pipeline/stages/test_code_versions.py fails where
            it was forgotten.
    """

    NAME: str
    CODE_VERSION: int

    def inputs(self, job: "Job") -> dict[str, Any]:
        """All that decides the stage's output, except its code version."""

    def execute(self, job: "Job", version: str) -> StageResult:
        """Make the stage's tables under this version."""


def _release(frame: "DataFrame") -> None:
    from py4j.protocol import Py4JError

    # Of a JVM that has died, nothing is to be given back.
    with suppress(OSError, Py4JError):
        frame.unpersist()


def output_name(stage: str, code_version: int, inputs: dict[str, Any]) -> str:
    """The name of a stage's output: 16 hexadecimal digits.

    Args:
        stage: the stage's name.
        code_version: the stage's CODE_VERSION.
        inputs: the settings and inputs that decide the output.
    """
    return fingerprint({"stage": stage, "code": code_version, "inputs": inputs})


def output_missing(stage: str) -> UsageError:
    """The error that the output of a stage is needed and is not in the store."""
    return UsageError(
        f"the output of {stage} is not in the store under these settings; "
        f"run: nitamono {stage} --config FILE"
    )


class Job:
    """The context that the stages of a run work in.

    Attributes:
        config: the whole config.
        store: the store that everything is read from and written to.
        run_id: the run's id.
        publishing: whether the run publishes its table. A run that does not publish leaves alone
            what later runs will use: the pointers, the current model, the current quantiser.
        full: whether every stage computes its output without an earlier version of it.
        line: the progress line of the stage that is running.
        state: what can change in the store: it is read once.
        contents: sha256 of the files that a model is made of, by address: a run reads each once.
        used_versions: fingerprints of the earlier outputs that the run builds on.
        announce_use: writes `used_versions` into run.json, so that gc keeps these outputs.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        run_id: str,
        *,
        publishing: bool = True,
        full: bool = False,
        spark: "SparkSession | None" = None,
    ) -> None:
        """Open a job.

        Args:
            config: the whole config.
            store: the store that it reads and writes.
            run_id: the run's id.
            publishing: whether the run publishes.
            full: whether every stage computes its output without an earlier version of it.
            spark: a session that runs already; None to start one at its first use.
        """
        self.config = config
        self.store = store
        self.run_id = run_id
        self.publishing = publishing
        self.full = full
        self.line = StageLine("")
        self.contents: dict[str, str] = {}
        self.used_versions: set[str] = set()
        self.announce_use: Callable[[], None] = lambda: None
        self._session = JobSession(config, store.root, store.run_path(run_id) / "spark.log", spark)
        self._records: dict[str, StageRecord] = {}
        self._list_sizes: dict[str, npt.NDArray[np.int64]] = {}
        self._computed: dict[str, Any] = {}
        self._shared: dict[str, Any] = {}
        self._kept: list[DataFrame] = []

    def for_variant(self, name: str, config: Config) -> "Job":
        """The job of a variant of the table: the same run, with the same catalogue and lists.

        Args:
            name: the variant's name.
            config: its config.
        """
        job = copy(self)
        job.config, job._computed, job._records = config, {}, dict(self._records)
        job.state = self.state.of_variant(name)
        return job

    def read_state(self) -> None:
        """Read what can change in the store; the run works with that to its end."""
        self.state = read_state(self.store)

    @cached_property
    def state(self) -> StoreState:
        """What can change in the store, as it was at the run's start or when first asked for."""
        return read_state(self.store)

    @cached_property
    def catalogue_snapshot(self) -> Snapshot:
        """The state of the catalogue at its first use, and its rows."""
        return open_snapshot(self.spark, source_of(self.config))

    def once(self, name: str, compute: Callable[[], _Value], *, shared: bool = False) -> _Value:
        """What is computed under a name at its first use in the run.

        Args:
            name: the name.
            compute: computes it.
            shared: whether the variants of the table have the same.
        """
        values = self._shared if shared else self._computed
        if name not in values:
            values[name] = compute()
        value: _Value = values[name]
        return value

    def keep(self, frame: "DataFrame") -> "DataFrame":
        """The frame, its rows kept on Spark's disks until the job stops.

        Another run of the session would take kept rows for those of a file that has changed since.
        """
        from pyspark import StorageLevel

        kept = frame.persist(StorageLevel.DISK_ONLY)
        self._kept.append(kept)
        return kept

    def find_damage(self, record: StageRecord) -> str:
        """What is wrong with the output of a stage; empty if nothing is. Reads it once a run."""
        return self.store.find_damage(record, lambda: self.spark)

    @property
    def spark(self) -> "SparkSession":
        """The Spark session, started at the first call; its jobs show on the progress line."""
        spark = self._session.get(self.line)
        self.line.follow(spark.sparkContext, f"{self.run_id}-{id(self.line)}")
        return spark

    def explain_error(self, error: Exception) -> str:
        """The cause of an error and what to do about it, in one line."""
        return self._session.explain_error(error)

    def stop(self) -> None:
        """Stop the Spark session, if the job started it; else give back the disk it has used."""
        if "catalogue_snapshot" in self.__dict__:
            self.catalogue_snapshot.release()
        for frame in self._kept:
            _release(frame)
        self._session.stop()

    def fingerprint(self, stage: Stage) -> tuple[str, dict[str, Any]]:
        """The name of a stage's output, and the inputs that the name is made of."""
        inputs = stage.inputs(self)
        if self.full and stage.NAME not in _WITHOUT_BASE:
            inputs = inputs | {"full": True}
        return output_name(stage.NAME, stage.CODE_VERSION, inputs), inputs

    def set_record(self, record: StageRecord) -> None:
        """Set the record of a stage: later stages read the output that it names."""
        self._records[record.stage] = record

    def record(self, stage: str) -> StageRecord:
        """The record of an earlier stage.

        Raises:
            UsageError: the stage has no output under these settings.
        """
        if stage not in self._records:
            raise output_missing(stage)
        return self._records[stage]

    def read(self, table: str, stage: str) -> "DataFrame":
        """A table that an earlier stage made."""
        return self.store.read(self.spark, table, self.record(stage).version(table))

    def scan(self, table: str, stage: str, columns: Sequence[str]) -> Rows:
        """A table that an earlier stage made, for Python workers: see `Tables.scan`."""
        return self.store.scan(self.spark, table, self.record(stage).version(table), columns)

    def rows_of_items(self, table: str, stage: str, rows: ItemRows) -> "pa.Table":
        """Rows of a few items of a table that an earlier stage made, on the driver."""
        version = self.record(stage).version(table)
        return self.store.rows_of_items(self.spark, table, version, rows)

    def read_layer(self, table: str, stage: str) -> "DataFrame | None":
        """The rows of a table that an earlier stage has added to what it built on.

        None if the stage wrote the whole table; then all its rows are in it.
        """
        record = self.record(stage)
        base = record.outputs["base"]
        if base is None:
            return None
        return self.store.read_layer(self.spark, table, record.version(table), base)

    def list_sizes(self, version: str, nlist: int) -> "npt.NDArray[np.int64]":
        """How many rows each list of a version of the lists table has; counted once a run.

        Args:
            version: the version.
            nlist: number of lists.
        """
        if version not in self._list_sizes:
            sizes = np.zeros(nlist, dtype=np.int64)
            # One row a list is collected: a thousandth of the items or less.
            for row in self.store.list_sizes(self.spark, "lists", version).collect():
                sizes[row["list"]] = row["count"]
            self._list_sizes[version] = sizes
        return self._list_sizes[version]

    def ship(
        self, source: StoragePath | str, kind: str, method: Literal["auto"] | Method = "auto"
    ) -> Handle:
        """Make a model or another file available to the executors: see models.shipping.

        Raises:
            ModelError: the file can't be read, or can't be shipped by this method.
        """
        return shipping.ship(
            self.spark.sparkContext,
            source if isinstance(source, Path) else str(source),
            kind=kind,
            method=method,
            stores=self.config.object_stores(),
        )

    def spread(self, frame: "DataFrame", rows: int) -> "DataFrame":
        """The frame in enough partitions to occupy every core; small files come in too few.

        Args:
            frame: a frame with a column item_id.
            rows: its number of rows.
        """
        cores = self.spark.sparkContext.defaultParallelism
        partitions = min(cores, max(1, rows // 500))
        plan = frame._jdf.queryExecution().executedPlan()
        if plan.getClass().getSimpleName() == "AdaptiveSparkPlanExec":
            # To say how many partitions there are, Spark would run all shuffles of this plan. It
            # makes one partition of few rows; many keep every core busy.
            is_spread = rows >= cores * _ROWS_OF_A_TASK
        else:
            is_spread = frame.rdd.getNumPartitions() >= partitions
        return frame if is_spread else frame.repartition(partitions, "item_id")
