"""The Spark session of a job: started when a stage first needs it, stopped when the job ends."""

from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from pipeline.catalogue import Source, source_of, total_bytes
from pipeline.config.sections import Config
from pipeline.errors import InputError
from pipeline.spark import executors, object_stores, session
from pipeline.spark.failures import explain
from pipeline.spark.log import SparkLog
from pipeline.stages import python_daemon
from pipeline.storage.paths import StoragePath
from pipeline.terminal.progress import StageLine

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# About 50,000 titles, or a tenth of it if the files are not compressed.
_BRIEF_UP_TO_BYTES = 4 << 20


class JobSession:
    """Starts and stops the Spark session of a job, and explains its errors."""

    def __init__(
        self, config: Config, root: StoragePath, log_file: StoragePath, spark: "SparkSession | None"
    ) -> None:
        """Start nothing yet.

        Args:
            config: the whole config.
            root: the store's folder, which the executors must be able to read.
            log_file: the file for what Spark prints.
            spark: a session that runs already, which is used and not stopped; None to start one.
        """
        self._config, self._root, self._log_file = config, root, log_file
        self._spark = spark
        self._started_here = False
        self._log: SparkLog | None = None
        self._conf: dict[str, str] = {}
        self._starting: Thread | None = None

    def get(self, line: StageLine) -> "SparkSession":
        """The session, started at the first call.

        Args:
            line: the progress line that says so.

        Raises:
            StageError: Spark does not start, or its executors can't read the store.
        """
        if self._spark is None:
            line.note = "starting Spark"
            self._log = SparkLog(self._log_file)
            settings = object_stores.spark_settings(self._config)
            if not session.is_submitted():  # whose master is not in the config
                settings = with_daemon(settings)
            brief = self._is_brief()
            self._spark, self._started_here = session.start(settings, self._log, brief=brief)
            line.note = ""
            if self._started_here and python_daemon.is_used(settings):
                self._starting = python_daemon.start(self._spark)
            context = self._spark.sparkContext
            self._conf = dict(context.getConf().getAll())
            executors.check(context, self._root if isinstance(self._root, Path) else None, line)
        return self._spark

    def _is_brief(self) -> bool:
        """Whether the catalogue is so small that starting Spark is the most of a run."""
        source = source_of(self._config)
        try:
            return isinstance(source, Source) and total_bytes(source) <= _BRIEF_UP_TO_BYTES
        except (InputError, OSError):  # the stage that reads it says so
            return False

    def explain_error(self, error: Exception) -> str:
        """The cause of an error and what to do about it, in one line."""
        conf = session.settings(self._config.spark) | self._conf
        conf["neighbors.worker_mb"] = str(self._config.neighbors.worker_mb)
        return explain(error, conf, self._log.local if self._log is not None else None)

    def stop(self) -> None:
        """Stop the session if it was started here, and keep its log."""
        if self._spark is not None and self._started_here:
            from py4j.protocol import Py4JError

            if self._starting is not None:
                # It must not use a session that is being stopped.
                self._starting.join()
            # A JVM that has died can't be stopped; the user must still be told why the run ended.
            with suppress(OSError, Py4JError):
                self._spark.stop()
        if self._log is not None:
            self._log.save()
        self._spark = self._log = None


def with_daemon(settings: dict[str, str]) -> dict[str, str]:
    """The settings, with the daemon of Python workers if the master is local and none is set."""
    defaults = python_daemon.settings()
    master = settings.get("spark.master", "local")
    is_local = master == "local" or master.startswith("local[")
    return settings if not is_local or settings.keys() & defaults else settings | defaults
