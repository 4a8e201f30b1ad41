"""A job: one run of some stages on one store, with one Spark session at most."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from models import Handle, shipping
from models.handle import Method
from pipeline.config.sections import Config
from pipeline.errors import UsageError
from pipeline.spark import executors, s3a, session
from pipeline.spark.failures import explain
from pipeline.spark.log import SparkLog
from pipeline.storage.paths import StoragePath
from pipeline.store.fingerprint import fingerprint
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from pipeline.terminal.progress import StageLine

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_NEVER_BUILT_ON_ANOTHER = {"ingest", "train"}


@dataclass
class StageResult:
    """What a stage returns: rows of each table, counts for the page, values for later stages."""

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


def output_name(stage: str, code_version: int, inputs: dict[str, Any]) -> str:
    """The name of a stage's output: 16 hexadecimal digits.

    Args:
        stage: the stage's name.
        code_version: the stage's CODE_VERSION.
        inputs: the settings and inputs that decide the output.
    """
    return fingerprint({"stage": stage, "code": code_version, "inputs": inputs})


def output_missing(stage: str) -> UsageError:
    """That a stage's output is needed and has not been made."""
    return UsageError(
        f"the output of {stage} is not in the store under these settings; "
        f"run: nitamono {stage} --config FILE"
    )


class Job:
    """What stages work with.

    Attributes:
        config: the whole config.
        store: where everything is read from and written to.
        run_id: the run's name.
        publishing: whether the run publishes its table. One that does not leaves alone what later
            runs will use: the pointers, the current model, the lasting quantiser.
        full: whether nothing may build on an earlier night.
        line: the progress line of the stage under way.
        used: fingerprints of what it builds on.
        announce: lets others know of what is used, so that it is not collected.
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
            store: what it reads and writes.
            run_id: the run's name.
            publishing: whether the run publishes.
            full: whether nothing may build on an earlier night.
            spark: a session that is there already; else one is started at the first use.
        """
        self.config = config
        self.store = store
        self.run_id = run_id
        self.publishing = publishing
        self.full = full
        self.line = StageLine("")
        self.used: set[str] = set()
        self.announce: Callable[[], None] = lambda: None
        self._spark = spark
        self._own_spark = False
        self._log: SparkLog | None = None
        self._conf: dict[str, str] = {}
        self._records: dict[str, StageRecord] = {}

    @property
    def spark(self) -> "SparkSession":
        """The Spark session, started at the first call."""
        if self._spark is None:
            self.line.note = "starting Spark"
            self._log = SparkLog(self.store.run_path(self.run_id) / "spark.log")
            given = s3a.spark_settings(self.config)
            self._spark, self._own_spark = session.start(given, self._log)
            self.line.note = ""
            context = self._spark.sparkContext
            self._conf = dict(context.getConf().getAll())
            root = self.store.root
            executors.check(context, root if isinstance(root, Path) else None, self.line)
        self.line.follow(self._spark.sparkContext, f"{self.run_id}-{id(self.line)}")
        return self._spark

    def explained(self, error: Exception) -> str:
        """What a failure is and what to do about it, in one line."""
        own = {"neighbors.worker_mb": str(self.config.neighbors.worker_mb)}
        log = self._log.local if self._log is not None else None
        return explain(error, session.settings(self.config.spark) | self._conf | own, log)

    def stop(self) -> None:
        """Stop the Spark session, if it was started here."""
        if self._spark is not None and self._own_spark:
            from py4j.protocol import Py4JError

            # A JVM that has died can't be stopped; why the run ended has still to be told.
            with suppress(OSError, Py4JError):
                self._spark.stop()
        if self._log is not None:
            self._log.save()
        self._spark = self._log = None

    def fingerprint(self, stage: Stage) -> tuple[str, dict[str, Any]]:
        """The name of a stage's output, and the inputs that it was made of."""
        inputs = stage.inputs(self)
        if self.full and stage.NAME not in _NEVER_BUILT_ON_ANOTHER:
            inputs = inputs | {"full": True}
        return output_name(stage.NAME, stage.CODE_VERSION, inputs), inputs

    def resolve(self, record: StageRecord) -> None:
        """From now on this record stands for its stage."""
        self._records[record.stage] = record

    @property
    def fingerprints(self) -> dict[str, str]:
        """Those of the stages that are done."""
        return {name: record.fingerprint for name, record in self._records.items()}

    def record(self, stage: str) -> StageRecord:
        """The record of an earlier stage.

        Raises:
            UsageError: it has not been made with these settings.
        """
        if stage not in self._records:
            raise output_missing(stage)
        return self._records[stage]

    def read(self, table: str, stage: str) -> "DataFrame":
        """A table that an earlier stage made."""
        return self.store.read(self.spark, table, self.record(stage).version(table))

    def ship(
        self, source: StoragePath | str, kind: str, method: Literal["auto"] | Method = "auto"
    ) -> Handle:
        """Make a model or another file available to the executors: see models.shipping.

        Raises:
            ModelError: it can't be read, or can't travel by this method.
        """
        return shipping.ship(
            self.spark.sparkContext,
            source if isinstance(source, Path) else str(source),
            kind=kind,
            method=method,
            s3=self.config.s3.options(),
        )

    def spread(self, frame: "DataFrame", rows: int) -> "DataFrame":
        """The frame in enough partitions to occupy every core; small files come in too few."""
        wanted = min(self.spark.sparkContext.defaultParallelism, max(1, rows // 500))
        if frame.rdd.getNumPartitions() >= wanted:
            return frame
        return frame.repartition(wanted, "item_id")
