"""The Spark session: started when a stage needs it, quiet, with settings that fit the machine."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from models.cache import FOLDER_VARIABLE, LIMIT_VARIABLE
from pipeline.errors import StageError
from pipeline.explain import explained

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
            "spark.driver.memory": f"{_driver_memory_mb()}m",
            "spark.sql.shuffle.partitions": str(max(8, 2 * cores)),
        }
    return chosen | given


def _driver_memory_mb() -> int:
    """A quarter of the machine's memory, 1 to 8 GiB: the rest is the Python workers'."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return min(max(total // 4, 1024), 8192)


def start(given: dict[str, str], log: Path) -> "tuple[SparkSession, bool]":
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
        return _sister(SparkSession.builder.getOrCreate(), chosen), False
    # spark-submit has a gateway of its own.
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    try:
        if submitted:
            chosen = _under_submit(given)
        elif SparkContext._gateway is None:
            _check_java()
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as file:
                gateway = launch_gateway(  # type: ignore[no-untyped-call]
                    conf=SparkConf(loadDefaults=False).setAll(list(chosen.items())),
                    popen_kwargs={"stdout": file, "stderr": file},
                )
            SparkContext._ensure_initialized(gateway=gateway)
        return SparkSession.builder.config(map=dict(chosen)).getOrCreate(), True
    except (PySparkException, OSError) as error:
        raise StageError(f"Spark does not start: {error}; its log is {log}") from error
    except Exception as error:
        if type(error).__module__.startswith("py4j"):
            why = explained(error, chosen, log)
            raise StageError(f"Spark does not start: {why}; its log is {log}") from error
        raise


def _under_submit(given: dict[str, str]) -> dict[str, str]:
    """Settings for the session that spark-submit was asked for: what it was told comes first."""
    from pyspark import SparkConf, SparkContext

    SparkContext._ensure_initialized()
    told = dict(SparkConf().getAll())
    return settings(given | told) | told


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
