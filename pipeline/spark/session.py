"""The Spark session: started when a stage needs it, quiet, with settings that fit the machine."""

import os
import shutil
import sys
from typing import TYPE_CHECKING

from models.cache import FOLDER_VARIABLE, LIMIT_VARIABLE
from pipeline.errors import StageError
from pipeline.spark.failures import explained
from pipeline.spark.log import SparkLog

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def settings(given: dict[str, str]) -> dict[str, str]:
    """Spark's settings: what fits this machine, under what the user's [spark] says."""
    master = given.get("spark.master", "local[*]")
    chosen = {
        "spark.app.name": "nitamono",
        "spark.master": master,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "200",
        # A batch of long descriptions stays within bounds that a Python worker can hold.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "5000",
        "spark.sql.execution.arrow.maxBytesPerBatch": str(64 << 20),
        "spark.sql.execution.pyspark.udf.simplifiedTraceback.enabled": "true",
        "spark.sql.parquet.compression.codec": "zstd",
        # Catalogues have columns that differ in nothing else.
        "spark.sql.caseSensitive": "true",
        # pandas writes its times in nanoseconds, which Spark has no type for.
        "spark.sql.legacy.parquet.nanosAsLong": "true",
        # Without it Spark 4 refuses Shift_JIS and EUC-JP.
        "spark.sql.legacy.javaCharsets": "true",
        # Threads of BLAS and OpenMP beside Spark's own tasks only take turns.
        "spark.executorEnv.OMP_NUM_THREADS": "1",
        "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
        "spark.executorEnv.MKL_NUM_THREADS": "1",
        # Memory that a Python worker frees is kept for its next block: to ask the system for pages
        # again, and have them cleared, costs more than the block's arithmetic does.
        "spark.executorEnv.ARROW_DEFAULT_MEMORY_POOL": "system",
        "spark.executorEnv.MALLOC_MMAP_THRESHOLD_": str(1 << 30),
        "spark.executorEnv.MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1),
        # Vectors in float16 do not get smaller.
        "spark.shuffle.compress": "false",
        # Of what grows with the catalogue nothing is collected; the sample that the quantiser is
        # trained on can be more than Spark's own limit of 1g.
        "spark.driver.maxResultSize": "4g",
        "spark.log.level": "WARN",
    }
    for name in (FOLDER_VARIABLE, LIMIT_VARIABLE):
        if name in os.environ:
            chosen[f"spark.executorEnv.{name}"] = os.environ[name]
    if master.startswith("local"):
        cores = os.cpu_count() or 1
        chosen |= {
            # Between processes of one machine a task's start takes a third less than over TCP.
            "spark.python.unix.domain.socket.enabled": "true",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.memory": driver_memory(),
            "spark.sql.shuffle.partitions": str(max(8, 2 * cores)),
        }
    return chosen | given


def driver_memory() -> str:
    """A local driver's: a quarter of the machine's, 1 to 8 GiB; the rest is the Python workers'."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return f"{min(max(total // 4, 1024), 8192)}m"


def start(given: dict[str, str], log: SparkLog) -> "tuple[SparkSession, bool]":
    """Start a session; or, where a notebook or a test has one, make a sister of it.

    A sister shares the context and the executors and has SQL settings of its own, so that the
    other's stay as they are.

    Args:
        given: the user's [spark] settings.
        log: where the JVM and the Python workers write what they print.

    Returns:
        the session, and whether it was started here and has to be stopped.

    Raises:
        StageError: Java is missing or Spark does not start.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    chosen = settings(given)
    if SparkContext._active_spark_context is not None:
        running = SparkSession.builder.getOrCreate()
        master = str(running.sparkContext.master)
        return _sister(running, settings(given | {"spark.master": master})), False
    # spark-submit has a gateway of its own.
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    where = "what spark-submit printed says why" if submitted else f"its log is {log.kept}"
    try:
        if submitted:
            SparkContext._ensure_initialized()
            chosen = unsaid(given, dict(SparkConf().getAll()))
        elif SparkContext._gateway is None:
            _check_java()
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
            log.local.parent.mkdir(parents=True, exist_ok=True)
            with log.local.open("ab") as file:
                gateway = launch_gateway(  # type: ignore[no-untyped-call]
                    conf=SparkConf(loadDefaults=False).setAll(list(chosen.items())),
                    popen_kwargs={"stdout": file, "stderr": file},
                )
            SparkContext._ensure_initialized(gateway=gateway)
        return SparkSession.builder.config(map=dict(chosen)).getOrCreate(), True
    except (PySparkException, OSError) as error:
        raise StageError(f"Spark does not start: {error}; {where}") from error
    except Exception as error:
        if type(error).__module__.startswith("py4j"):
            why = explained(error, chosen, log.local)
            raise StageError(f"Spark does not start: {why}; {where}") from error
        raise


def unsaid(given: dict[str, str], said: dict[str, str]) -> dict[str, str]:
    """What is left to say to a session that spark-submit was asked for.

    Args:
        given: the user's [spark] settings.
        said: what the options of spark-submit and its spark-defaults.conf say: that stays. The
            master is always among it, with local[*] where nobody named one.

    Returns:
        [spark], and the defaults that fit the master, without what is said. A driver's memory is
        not among them: its JVM has started.
    """
    chosen = settings(given | said)
    late = {"spark.driver.memory", *said}
    return {name: value for name, value in chosen.items() if name not in late}


def _sister(session: "SparkSession", chosen: dict[str, str]) -> "SparkSession":
    sister = session.newSession()
    for name, value in chosen.items():
        if sister.conf.isModifiable(name):
            sister.conf.set(name, value)
    return sister


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if not found:
        where = f"in JAVA_HOME ({home})" if home else "on PATH"
        raise StageError(f"no java {where}; install Java 17 or later (make setup does)")
