"""The Spark session: started when a stage needs it, quiet, with settings that fit the machine."""

import os
import signal
import sys
from threading import current_thread, main_thread
from types import FrameType
from typing import TYPE_CHECKING

from models.cache import FOLDER_VARIABLE, LIMIT_VARIABLE
from pipeline.errors import StageError
from pipeline.redaction import SECRET_NAME
from pipeline.spark import class_archive
from pipeline.spark.failures import explain
from pipeline.spark.java import find_java
from pipeline.spark.log import SparkLog

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SHUFFLES = "spark.sql.shuffle.partitions"
# A JVM that works for some seconds only: what its second compiler makes faster in the long run, and
# its collector with many threads, cost more than the work.
BRIEF_JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
# Nobody waits for an answer of a job, so that the collector need not work beside it.
LONG_JVM = ("-XX:+UseParallelGC",)


def settings(user_settings: dict[str, str], *, brief: bool = False) -> dict[str, str]:
    """Spark's settings: those of the user's [spark], and for all others what fits this machine.

    Args:
        user_settings: the user's [spark].
        brief: whether the session has little work, so that starting it is the most of it.
    """
    master = user_settings.get("spark.master", "local[*]")
    defaults = {
        "spark.app.name": "nitamono",
        "spark.master": master,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        _SHUFFLES: "200",
        # A batch of long descriptions stays within bounds that a Python worker can hold.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "5000",
        "spark.sql.execution.arrow.maxBytesPerBatch": str(64 << 20),
        "spark.sql.execution.pyspark.udf.simplifiedTraceback.enabled": "true",
        "spark.sql.parquet.compression.codec": "zstd",
        # The tables' pages carry checksums.
        "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
        # Catalogues have columns that differ in nothing else.
        "spark.sql.caseSensitive": "true",
        # pandas writes its times in nanoseconds, which Spark has no type for.
        "spark.sql.legacy.parquet.nanosAsLong": "true",
        # Java's own lower case; the tables of ICU's take each JVM more than a second to make.
        "spark.sql.icu.caseMappings.enabled": "false",
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
        # Of what grows with the catalogue nothing is collected; the texts of a sample that is
        # evaluated can be more than Spark's own limit of 1g.
        "spark.driver.maxResultSize": "4g",
        # Spark's own pattern, and the clouds' names for secrets: for its web UI and event log.
        "spark.redaction.regex": f"(?i){SECRET_NAME}",
        "spark.log.level": "WARN",
    }
    for name in (FOLDER_VARIABLE, LIMIT_VARIABLE):
        if name in os.environ:
            defaults[f"spark.executorEnv.{name}"] = os.environ[name]
    if master.startswith("local"):
        cores = os.cpu_count() or 1
        defaults |= {
            # Between processes of one machine a task's start takes a third less than over TCP.
            "spark.python.unix.domain.socket.enabled": "true",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.memory": driver_memory(),
            _SHUFFLES: str(max(8, 2 * cores)),
            "spark.driver.extraJavaOptions": " ".join(
                [*class_archive.options(), *(BRIEF_JVM if brief else LONG_JVM)]
            ),
        }
    return defaults | user_settings


def driver_memory() -> str:
    """The memory of a local driver's JVM: a quarter of the machine's, 1 to 8 GiB.

    The rest is left to the Python workers.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return f"{min(max(total // 4, 1024), 8192)}m"


def keep_interruptible() -> None:
    """Let SIGINT interrupt this process when its session has stopped, too.

    PySpark's handler cancels the jobs first, which fails when there is no session any more.
    """
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or current_thread() is not main_thread():
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except Exception as error:
            raise KeyboardInterrupt from error

    signal.signal(signal.SIGINT, interrupt)


def start(
    user_settings: dict[str, str], log: SparkLog, *, brief: bool = False
) -> "tuple[SparkSession, bool]":
    """Start a session; or make a sibling of the session that a notebook or a test has started.

    A sibling shares the context and the executors and has its own SQL settings, so that those of
    the other session stay as they are.

    Args:
        user_settings: the user's [spark].
        log: the file for the output of the JVM and the Python workers.
        brief: whether a session started here has little work: see `settings`.

    Returns:
        the session, and whether it was started here and has to be stopped.

    Raises:
        StageError: Java is missing or Spark does not start.
    """
    from pyspark import SparkContext
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    # PySpark has no public name for this: getActiveSession knows the thread's own session only.
    if SparkContext._active_spark_context is not None:
        running = SparkSession.builder.getOrCreate()
        conf = dict(running.sparkContext.getConf().getAll())
        # How many tasks a shuffle has is for whoever set up the running session to say.
        shuffles = {_SHUFFLES: conf[_SHUFFLES]} if _SHUFFLES in conf else {}
        master = {"spark.master": conf["spark.master"]}
        return _sibling(running, settings(shuffles | user_settings | master)), False
    submitted = is_submitted()
    where = "what spark-submit printed says why" if submitted else f"its log is {log.destination}"
    try:
        if submitted:
            own = _start_submitted(user_settings)
        else:
            own = _start_own(settings(user_settings, brief=brief), log)
    except (PySparkException, OSError) as error:
        raise StageError(f"Spark does not start: {error}; {where}") from error
    except Exception as error:
        if type(error).__module__.startswith("py4j"):
            why = explain(error, settings(user_settings), log.local)
            raise StageError(f"Spark does not start: {why}; {where}") from error
        raise
    keep_interruptible()
    return own, True


def _start_submitted(user_settings: dict[str, str]) -> "SparkSession":
    """Start the session of a program that spark-submit runs, in the JVM of spark-submit."""
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    gateway = launch_gateway()  # type: ignore[no-untyped-call]
    pairs = gateway.jvm.org.apache.spark.SparkConf().getAll()
    submit_settings = {pair.productElement(0): pair.productElement(1) for pair in pairs}
    remaining = remaining_settings(user_settings, submit_settings)
    conf = SparkConf().setAll(list(remaining.items()))
    SparkContext(gateway=gateway, conf=conf)
    return SparkSession.builder.config(map=dict(remaining)).getOrCreate()


def _start_own(all_settings: dict[str, str], log: SparkLog) -> "SparkSession":
    """Start a session in a new JVM, or in the one that an earlier session has left."""
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    # PySpark has no public name for the JVM of a session that was stopped.
    if SparkContext._gateway is None:
        find_java()
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        log.local.parent.mkdir(parents=True, exist_ok=True)
        pairs = list(all_settings.items())
        with log.local.open("ab") as file:
            gateway = launch_gateway(  # type: ignore[no-untyped-call]
                conf=SparkConf(loadDefaults=False).setAll(pairs),
                popen_kwargs={"stdout": file, "stderr": file},
            )
        SparkContext(gateway=gateway, conf=SparkConf(loadDefaults=False).setAll(pairs))
    return SparkSession.builder.config(map=dict(all_settings)).getOrCreate()


def remaining_settings(
    user_settings: dict[str, str], submit_settings: dict[str, str]
) -> dict[str, str]:
    """The settings that a session under spark-submit still needs.

    Args:
        user_settings: the user's [spark].
        submit_settings: those of spark-submit's options and its spark-defaults.conf, which come
            first. The master is always among them, with local[*] where nobody has named one.

    Returns:
        [spark], and the defaults that fit the master, without `submit_settings`. The memory of the
        driver is left out: its JVM has started.
    """
    complete = settings(user_settings | submit_settings)
    fixed = {"spark.driver.memory", *submit_settings}
    return {name: value for name, value in complete.items() if name not in fixed}


def is_submitted() -> bool:
    """Whether spark-submit has started this process, and a JVM before it."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def _sibling(session: "SparkSession", sibling_settings: dict[str, str]) -> "SparkSession":
    sibling = session.newSession()
    for name, value in sibling_settings.items():
        if sibling.conf.isModifiable(name):
            sibling.conf.set(name, value)
    return sibling
