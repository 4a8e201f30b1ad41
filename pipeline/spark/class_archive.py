"""The archive of Spark's classes, which the JVM of a local session maps instead of loading them.

    python -m pipeline.spark.class_archive

makes the archive, as `make setup` does: a file of 170 MB in the environment's folder
share/nitamono. With it Spark's start takes a third less CPU time (Java's class data sharing;
benchmarks/README.md). It belongs to one Spark and one Java; with others, or without it, sessions
start as they would without an archive.
"""

import hashlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import StageError
from pipeline.spark import object_stores
from pipeline.spark.java import find_java

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from pyspark.sql import SparkSession

_SUFFIX = ".jsa"


def _folder() -> Path:
    return Path(sys.prefix) / "share" / "nitamono"


def path() -> Path:
    """The file of the archive for this environment's Spark and this host's Java.

    Raises:
        StageError: there is no java.
    """
    jars, java = object_stores.spark_jars(), Path(find_java()).resolve()
    times = [file.stat().st_mtime_ns for file in (jars, java)]
    name = hashlib.sha256(repr((str(jars), str(java), times)).encode()).hexdigest()[:16]
    return _folder() / f"spark-classes-{name}{_SUFFIX}"


def options() -> list[str]:
    """The options by which a JVM maps the archive; none if there is none."""
    try:
        archive = path()
    except (StageError, OSError):
        return []
    return [f"-XX:SharedArchiveFile={archive}"] if archive.is_file() else []


def make() -> Path:
    """Make the archive, unless it is there: start Spark, use it a little, and let it end.

    Returns:
        its file.

    Raises:
        StageError: Spark does not start, or Java makes no archive.
    """
    archive = path()
    if archive.is_file():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".making-") as room:
        fresh = Path(room) / archive.name
        _run_spark(Path(room), fresh)
        if not fresh.is_file():
            raise StageError("Java made no archive of Spark's classes; Spark starts without it")
        # Those of an earlier Java or Spark.
        for old in archive.parent.glob(f"*{_SUFFIX}"):
            old.unlink()
        fresh.replace(archive)
    return archive


def _run_spark(room: Path, archive: Path) -> None:
    """Start a session whose JVM writes the archive as it ends, and wait for that."""
    from pyspark import SparkContext

    from pipeline.spark import session
    from pipeline.spark.log import SparkLog

    options = " ".join([*session.BRIEF_JVM, f"-XX:ArchiveClassesAtExit={archive}"])
    user_settings = {"spark.master": "local[2]", "spark.driver.extraJavaOptions": options}
    spark, _ = session.start(user_settings, SparkLog(room / "spark.log"))
    _use(spark, room)
    spark.stop()
    # PySpark has no public name for the JVM. It ends when nothing writes to it any more.
    gateway = SparkContext._gateway
    assert gateway is not None  # noqa: S101 - a session has just run in it
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()


def _use(spark: "SparkSession", room: Path) -> None:
    """Use what a run uses: the classes that are loaded for it are archived."""
    from pyspark import StorageLevel
    from pyspark.sql import Observation, Window
    from pyspark.sql import functions as F

    def same(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return batches

    text = room / "rows.csv"
    text.write_text("item_id,title\n" + "".join(f"i{n},title {n}\n" for n in range(100)))
    rows = spark.read.csv(str(text), header=True).persist(StorageLevel.DISK_ONLY)
    rank = F.row_number().over(Window.partitionBy("title").orderBy("item_id"))
    observed = rows.withColumn("rank", rank).observe(Observation("rows"), F.count("*"))
    observed.write.parquet(str(room / "table"))
    table = spark.read.parquet(str(room / "table")).repartition(2, "item_id")
    joined = table.join(rows.select("item_id"), "item_id", how="left_semi")
    joined.orderBy("item_id").mapInArrow(same, joined.schema).toArrow()
    table.select(F.explode(F.split("title", " ")).alias("token")).groupBy("token").count().collect()
    rows.unpersist()


def _main() -> None:
    if not path().is_file():
        sys.stderr.write("archiving Spark's classes, so that it starts faster\n")
        make()


if __name__ == "__main__":
    try:
        _main()
    except StageError as error:
        sys.exit(str(error))
