"""The examination: all that the doctor looks at, in an order in which a later check can be done."""

import platform
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import catalogue
from pipeline.cluster.doctor import host, memory, store_folder
from pipeline.cluster.doctor.finding import BAD, SKIPPED, Finding, Findings, recorded
from pipeline.config.sections import Config
from pipeline.errors import InputError, StageError, UsageError
from pipeline.spark import object_stores
from pipeline.stages.ingest import profile
from pipeline.stages.job_session import JobSession
from pipeline.storage.paths import StoragePath, storage_path
from pipeline.store.schemas import items_schema
from pipeline.terminal.progress import StageLine

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_OF_SPARK = ("connectors", "executors", "catalogue", "model cache", "memory")


def examine(config: Config, line: StageLine, items: int = 0) -> Findings:
    """Look at all that a first night needs; the store is as before when this ends.

    Args:
        config: the whole config.
        line: shows what is waited for.
        items: how many items the catalogue has; 0: those of the store, or a guess.

    Returns:
        the findings, in the order of the checks.
    """
    findings = host.check(config)
    store_findings = store_folder.check(config)
    findings += store_findings
    broken = [one.name for one in findings if one.state == BAD and one.name in ("java", "store")]
    if broken:
        return [*findings, *_skipped(("spark", *_OF_SPARK), broken[0])]
    with ExitStack() as stack:
        # The executors look for the store's folder.
        stack.enter_context(store_folder.probed_folder(config.store.path))
        root = storage_path(config.store.path, config.object_stores(), "store.path")
        if isinstance(root, Path):
            root.mkdir(parents=True, exist_ok=True)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nitamono-")))
        session = JobSession(config, root, folder / "spark.log", None)
        stack.callback(session.stop)
        spark = _start(session, findings, line)
        if spark is None:
            return [*findings, *_skipped(_OF_SPARK, "spark")]
        findings += _with_spark(config, session, spark, root, items)
    return findings


def _skipped(names: tuple[str, ...], broken: str) -> Findings:
    return [Finding(name, SKIPPED, f"not looked at: {broken} comes first") for name in names]


def _start(session: JobSession, findings: Findings, line: StageLine) -> "SparkSession | None":
    """Start Spark as a run does, and wait for executors, which look for the store's folder."""
    from pyspark import __version__ as installed

    started: list[SparkSession] = []
    with recorded(findings, "spark") as say:
        spark = session.get(line)
        if spark.version != installed:
            raise UsageError(
                f"the session is Spark {spark.version}, and PySpark is {installed}: install "
                f"pyspark=={spark.version} here, or that Spark on the cluster"
            )
        say(f"Spark {spark.version} on {spark.sparkContext.master}")
        started.append(spark)
    return started[0] if started else None


def _with_spark(
    config: Config, session: JobSession, spark: "SparkSession", root: StoragePath, items: int
) -> Findings:
    findings: Findings = []
    with recorded(findings, "connectors") as say:
        say(_connectors(config))
    with recorded(findings, "catalogue") as say:
        say(_catalogue(config, spark))
    if not items:
        # What is wrong with the catalogue has been said.
        with suppress(InputError, UsageError):
            items = memory.count_items(config)
    if not items:
        names = ("executors", "model cache", "memory")
        why = "not looked at: how many items the catalogue has is not known; give --items N"
        return [*findings, *(Finding(name, SKIPPED, why) for name in names)]
    hosts: list[memory.HostProbe] = []
    with recorded(findings, "executors", "see the executors' logs") as say:
        needs, what = memory.needs_of(config, items)
        hosts = memory.probe_executors(spark.sparkContext, needs.model)
        say(_executors(hosts, spark, root))
    if not hosts:
        return [*findings, *_skipped(("model cache", "memory"), "executors")]
    with recorded(findings, "model cache") as say:
        if problems := memory.cache_problems(hosts):
            raise UsageError("; ".join(problems))
        say("; ".join(one.cache_text for one in hosts))
    with recorded(findings, "memory") as say:
        text = memory.check(spark.sparkContext, hosts, needs, what)
        say(f"about {items:,} items: {text}")
    return findings


def _connectors(config: Config) -> str:
    """What Spark has fetched for the config; it would not have started without."""
    settings = object_stores.package_settings(config)
    named = [settings[name] for name in ("spark.jars.packages", "spark.jars") if name in settings]
    return f"Spark has fetched {', '.join(named)}" if named else "none are needed"


def _catalogue(config: Config, spark: "SparkSession") -> str:
    """Read a row of the catalogue with its columns mapped.

    Raises:
        InputError: it is not there, holds nothing, or a column is missing or can't be used.
    """
    # Tonight's, if its place has a date in it; it is not waited for.
    source = catalogue.source_of(catalogue.resolve(config, "", 0.0, lambda _: None))
    with catalogue.explained_damage(source):
        rows = catalogue.peek(spark, source)
        columns = catalogue.item_columns(rows, source)
        if rows.select(*columns).first() is None:
            raise InputError(f"{source.label}: holds no row that can be read")
    names = items_schema(source.further).names
    present = ", ".join(profile.columns_of(rows, source, names))
    return f"{source.label}: readable; columns {present}"


def _executors(hosts: list[memory.HostProbe], spark: "SparkSession", root: StoragePath) -> str:
    """Whether the executors' Python is the driver's, and whether they can write to the store.

    Raises:
        StageError: they are not alike.
        UsageError: an executor can't use the store.
    """
    own = platform.python_version()
    others = sorted(
        {f"{one.python} on {one.name}" for one in hosts if _minor(one.python) != _minor(own)}
    )
    if others:
        raise StageError(
            f"Python is {own} here and {', '.join(others)}: give the executors the driver's "
            "(spark.pyspark.python, or an archive of the environment)"
        )
    text = f"Python {own} on {', '.join(one.name for one in hosts)}"
    if isinstance(root, Path):
        return f"{text}; the store's folder is writable there"
    return f"{text}; {store_folder.check_from_executors(spark, root)}"


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def problems(findings: Findings) -> list[str]:
    """The names of what is not well."""
    return [one.name for one in findings if one.state == BAD]
