"""The known failures of Spark's processes: how to tell them, what they are, what to change.

The first entry whose pattern matches Spark's report applies. The patterns match the texts of Spark
4.3, of which tests/pipeline/spark/failures/ holds originals.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class FailurePattern:
    """One kind of failure.

    Attributes:
        pattern: a regular expression that matches Spark's report of it.
        what: what has failed; {0} stands for the pattern's first group, or for the whole match.
        do: what to do about it. Settings stand in brackets: [now NAME] is replaced by the setting's
            value, [more NAME] and [less NAME] also by twice or half of it.
        locally: the same for a local master; if empty, as `do`.
        standalone: the same for a spark:// master, which limits no executor's memory.
        only_with: the entry applies only where this setting is set.
        vague: the report says what was lost and not why: the driver's log may say more.
        final: the failure ends the driver, so in its log it is the cause and no earlier event.
    """

    pattern: str
    what: str
    do: str
    locally: str = ""
    standalone: str = ""
    only_with: str = ""
    vague: bool = False
    final: bool = False

    def remedy(self, settings: Mapping[str, str]) -> str:
        """What to do under these settings."""
        master = settings.get("spark.master", "local[*]")
        if master.startswith("local"):
            return self.locally or self.do
        return (self.standalone if master.startswith("spark://") else "") or self.do


_FEWER = (
    "run fewer tasks at a time: [less spark.executor.cores], or give the search's workers less: "
    "[less neighbors.worker_mb]"
)
_MORE_ROOM = f"give Python more room: [more spark.executor.memoryOverhead]; or {_FEWER}"
_ON_THE_HOST = (
    "a host's memory must hold its executors' spark.executor.memory and their Python workers: "
    f"{_FEWER}"
)
_FEWER_LOCALLY = (
    "run fewer tasks at a time: [less spark.master]; or give the search's workers less: "
    "[less neighbors.worker_mb]; or the JVM: [less spark.driver.memory]"
)
_MORE_DRIVER = "give it more: [more spark.driver.memory]"
_DISK_FULL = r"(No space left on device|Disk quota exceeded|File too large)"

FAILURE_PATTERNS = (
    # Damaged files.
    FailurePattern(
        r"while reading file (\S+?)\.?\s[\s\S]*could not verify (?:dictionary )?page integrity",
        "{0} is damaged: the checksum of a page is another",
        "nitamono check --config FILE says what is damaged in a store, and nitamono run makes it "
        "again",
    ),
    # Memory limits of a cluster manager.
    FailurePattern(
        r"Container killed by YARN for exceeding (?:physical|virtual) memory limits",
        "YARN killed an executor's container, because it and its Python workers used more memory "
        "than they had asked for",
        _MORE_ROOM,
    ),
    FailurePattern(
        r"SIGKILL, possible container OOM|OOMKilled",
        "Kubernetes killed an executor's pod, because it and its Python workers used more memory "
        "than they had asked for",
        _MORE_ROOM,
    ),
    # Memory of the JVMs.
    FailurePattern(
        r"executor \d+\)(?: \([^)]*\))?: java\.lang\.OutOfMemoryError: (?:Java heap space|GC over)|"
        r"[Ee]xited with code 52\b|\(JVM OOM\)|Exit status: 52\b",
        "an executor's Java heap is too small",
        "give it more: [more spark.executor.memory]; or fewer tasks at a time: "
        "[less spark.executor.cores]",
    ),
    FailurePattern(
        r"java\.lang\.OutOfMemoryError: (?:Java heap space|GC overhead limit exceeded)|"
        r"OutOfMemoryError thrown from the UncaughtExceptionHandler",
        "the driver's Java heap is too small",
        f"{_MORE_DRIVER} (with spark-submit by --driver-memory)",
        locally=f"{_MORE_DRIVER}; or run fewer tasks at a time: [less spark.master]",
        final=True,
    ),
    FailurePattern(
        r"is bigger than spark\.driver\.maxResultSize",
        "what tasks sent to the driver is larger than it takes",
        "let it take more: [more spark.driver.maxResultSize], and [more spark.driver.memory]",
    ),
    # Memory of the Python workers.
    FailurePattern(
        r"^(?:\S*MemoryError\b|OSError: \[Errno 12\])",
        "a Python worker came to the bound of its address space, spark.executor.pyspark.memory, "
        "which counts mapped models in full",
        "leave it unset: [now spark.executor.pyspark.memory]",
        only_with="spark.executor.pyspark.memory",
    ),
    FailurePattern(
        r"^(?:\S*MemoryError\b|OSError: \[Errno 12\])",
        "a Python worker got no more memory",
        _MORE_ROOM,
        locally=_FEWER_LOCALLY,
        standalone=_ON_THE_HOST,
    ),
    # Disks.
    FailurePattern(
        rf"(?:SPILL_OUT_OF_MEMORY|blockmgr-)[^\n]*{_DISK_FULL}|"
        rf"{_DISK_FULL}(?:\n\tat [^\n]*)*?\n\tat org\.apache\.spark\.storage\.",
        "the disk of Spark's temporary files is full ({0})",
        "free some, or name another: [now spark.local.dir] (on a cluster the workers' own "
        "setting, SPARK_LOCAL_DIRS or YARN's, comes first)",
    ),
    FailurePattern(
        _DISK_FULL,
        "the disk is full ({0})",
        "free some, or move store.path; Spark's temporary files are in [now spark.local.dir]",
    ),
    # Lost executors.
    FailurePattern(
        r"heartbeat timed out after (\d+) ms",
        "an executor was not heard of for {0} ms: its host is overloaded or cut off, or its JVM "
        "collects garbage all the time",
        "wait longer: [more spark.network.timeout]; or give it more: [more spark.executor.memory]; "
        "or fewer tasks at a time: [less spark.executor.cores]",
    ),
    FailurePattern(
        r"FetchFailed",
        "what tasks had written for others was lost with its executor, more often than Spark "
        "tries again",
        "see in the executors' logs why they die; let Spark try more often: "
        "[more spark.stage.maxConsecutiveAttempts]; an external shuffle service keeps such files: "
        "[now spark.shuffle.service.enabled]",
    ),
    FailurePattern(
        r"Command exited with code 137|[Ee]xit (?:status|code):? 137\b|exited with exit code 137",
        "an executor was killed (exit code 137), most often because memory ran out",
        _MORE_ROOM,
        standalone=_ON_THE_HOST,
    ),
    FailurePattern(
        r"Command exited with code 143|Exit status: 143\b|exit code 143\b|"
        r"deleted by a user or the framework|YARN event \(e\.g\., preemption\)|was preempted",
        "executors were taken away by the cluster (pre-empted, or their hosts were stopped)",
        "run it again: finished stages are kept",
    ),
    FailurePattern(
        r"Max number of executor failures \((\d+)\) reached",
        "{0} executors died one after the other",
        "see in their logs why",
    ),
    FailurePattern(
        r"Python worker exited unexpectedly",
        "a Python worker was killed or crashed (Python worker exited unexpectedly), most often "
        "because memory ran out",
        _MORE_ROOM,
        locally=_FEWER_LOCALLY,
        standalone=_ON_THE_HOST,
    ),
    # Missing files and packages on executors.
    FailurePattern(
        r"Class org\.apache\.hadoop\.fs\.s3a\.S3AFileSystem not found|"
        r"No FileSystem for scheme \"?s3a",
        "Spark lacks what reads s3a:// (hadoop-aws)",
        "add the release of your Spark's Hadoop: "
        'spark.jars.packages = "org.apache.hadoop:hadoop-aws:VERSION", where VERSION is that of '
        "the file hadoop-client-api-VERSION.jar in Spark's folder jars",
    ),
    FailurePattern(
        r"Class \S+\.Google(?:Hadoop)?FileSystem not found|No FileSystem for scheme \"?gs\b",
        "Spark lacks what reads gs:// (gcs-connector)",
        'name its jar: spark.jars = "PATH", with "-shaded.jar" at its end, from Maven Central\'s '
        "com/google/cloud/bigdataoss/gcs-connector",
    ),
    FailurePattern(
        r"Class \S+\.(?:Secure)?AzureBlobFileSystem not found|No FileSystem for scheme \"?abfs",
        "Spark lacks what reads abfss:// (hadoop-azure)",
        "add the release of your Spark's Hadoop: "
        'spark.jars.packages = "org.apache.hadoop:hadoop-azure:VERSION", where VERSION is that of '
        "the file hadoop-client-api-VERSION.jar in Spark's folder jars",
    ),
    FailurePattern(
        r'Cannot run program "([^"]+)": error=2',
        "an executor's host has no Python at {0}",
        "install it there, or name another: [now spark.pyspark.python]",
    ),
    FailurePattern(
        r"^ModuleNotFoundError: (No module named \S+)",
        "an executor's Python lacks a package ({0})",
        "install nitamono with what it needs on every host, or send it along: "
        "[now spark.archives], and [now spark.pyspark.python] in it",
    ),
    FailurePattern(
        r"PYTHON_VERSION_MISMATCH[^\n]*",
        "executors run another Python than the driver ({0})",
        "give them the same: [now spark.pyspark.python]",
    ),
    FailurePattern(
        r"FILE_NOT_EXIST\] [^\n]*?(file:\S+[^.\s])|FileNotFoundException: (?:File )?(file:\S+)",
        "an executor does not see a file that the driver has, or it has been deleted: {0}",
        "put it where all hosts have it: in an object store, or a file system that they share",
    ),
    # The driver's JVM and the session.
    FailurePattern(
        r"Master removed our application: (\S+)",
        "the cluster's master gave the job up ({0}): its executors did not start or died one "
        "after the other",
        "see why in the workers' folders, app-.../N/stderr",
        vague=True,
    ),
    FailurePattern(
        r"All masters are unresponsive",
        "no master answers at [now spark.master]",
        "correct spark.master, or start it",
        final=True,
    ),
    FailurePattern(
        r"SparkContext was shut down|SparkContext\.dagScheduler\(\)\" is null|stopped SparkContext",
        "Spark was stopped while it worked",
        "if nobody did it, the driver had not enough memory: [more spark.driver.memory]",
        vague=True,
    ),
    FailurePattern(
        r"Answer from Java side is empty|Error while (?:sending|receiving)|"
        r"^\[Errno (?:32|104|111)\]|^ConnectionRefusedError: |"
        # py4j's whole message where the connection broke.
        r"\AAn error occurred while calling \S+\Z",
        "Spark's driver, a Java process, has ended or was killed, most often because memory ran "
        "out",
        "the host's memory must hold [now spark.driver.memory] and what else runs there",
        locally=f"the machine's memory must hold the JVM and the Python workers: {_FEWER_LOCALLY}",
        vague=True,
    ),
)
