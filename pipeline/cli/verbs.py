"""The verbs beside the stages': runs, diff, rollback, gc, and those of modules of their own."""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from pipeline.cli import describe
from pipeline.cli.evaluate import EVALUATE
from pipeline.cli.export import EXPORT
from pipeline.cli.inspect import INSPECT
from pipeline.cli.query import QUERY
from pipeline.cli.report import REPORT
from pipeline.cli.size import SIZE
from pipeline.cli.tune import TUNE
from pipeline.cli.verb import Verb, positive, seconds
from pipeline.config.sections import Config
from pipeline.errors import NitamonoError, StageError
from pipeline.inspection.diff import diff
from pipeline.spark import s3a, session
from pipeline.spark.failures import explained
from pipeline.spark.log import SparkLog
from pipeline.stages.train import model_registry
from pipeline.store import gc, lock, publications, run_records
from pipeline.store.resolve import resolve
from pipeline.store.store import Store
from pipeline.terminal.output import print_json, print_lines
from pipeline.terminal.progress import Progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def _runs(given: argparse.Namespace, settings: Config) -> None:
    found = run_records.list_runs(Store.of(settings, make=False))
    if given.json:
        print_json([run.shown() for run in found])
    else:
        print_lines(describe.runs(found))


def _diff_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", metavar="A", help="a run, a version, or LATEST")
    parser.add_argument("after", metavar="B", help="the one to compare it with")
    parser.add_argument("--k", type=positive, metavar="K",
                        help="compare the first K neighbours; else neighbors.k")  # fmt: skip


def _diff(given: argparse.Namespace, settings: Config) -> None:
    store = Store.of(settings, make=False)
    names = (given.before, given.after)
    one, two = (resolve(store, name, with_table=True) for name in names)
    with _spark(settings, f"diff {given.before} {given.after}") as spark:
        found = diff(spark, store, one, two, given.k or settings.neighbors.k)
    if given.json:
        print_json(found)
    else:
        print_lines(describe.diff(found))


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Add what is said of a store that is in use."""
    parser.add_argument("--wait", type=seconds, default=0.0, metavar="SECONDS",
                        help="for another that publishes; else stop at once")  # fmt: skip


def _rollback_arguments(parser: argparse.ArgumentParser) -> None:
    add_wait(parser)
    parser.add_argument("version", nargs="?", metavar="VERSION",
                        help="a version that was published, or its run; "
                        "else what was published before the present one")  # fmt: skip


def _rollback(given: argparse.Namespace, settings: Config) -> None:
    store = Store.of(settings, make=False)
    with lock.hold_store(store, "nitamono rollback", wait=given.wait):
        was, now = publications.rollback(store, given.version)
        model_registry.restore(store, now.stages.get("train", ""))
    if given.json:
        print_json({"was": asdict(was), "now": asdict(now)})
    else:
        print_lines(describe.rollback(was, now))


def _gc_arguments(parser: argparse.ArgumentParser) -> None:
    add_wait(parser)
    parser.add_argument("--keep", type=positive, required=True, metavar="N",
                        help="keep the N versions published last, and LATEST")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="say what would be deleted")


def _gc(given: argparse.Namespace, settings: Config) -> None:
    store = Store.of(settings, make=False)
    if given.dry_run:
        found = gc.find_garbage(store, given.keep)
    else:
        with lock.hold_store(store, "nitamono gc", wait=given.wait):
            found = gc.collect(store, given.keep)
    if given.json:
        print_json(describe.garbage_json(found, store, dry_run=given.dry_run))
    else:
        print_lines(describe.garbage(found, store, dry_run=given.dry_run))


VERBS = (
    Verb("runs", "list the runs, the newest first", "", lambda _: None, _runs),
    Verb("diff", "compare the similar-item tables of two runs or versions", "RUN LATEST --k 5",
         _diff_arguments, _diff),
    Verb("rollback", "publish again what was published before, or the version named", "",
         _rollback_arguments, _rollback, group="keep"),
    Verb("gc", "delete what no published version and no run under way needs", "--keep 3 --dry-run",
         _gc_arguments, _gc, group="keep"),
    REPORT,
    INSPECT,
    QUERY,
    EXPORT,
    EVALUATE,
    SIZE,
    TUNE,
)  # fmt: skip


@contextmanager
def _spark(settings: Config, title: str) -> "Iterator[SparkSession]":
    """A session for reading, with its progress on stderr.

    Raises:
        StageError: Spark fails.
    """
    folder = Path(tempfile.mkdtemp(prefix="nitamono-"))
    with Progress().stage(title) as line:
        line.note = "starting Spark"
        spark, own = session.start(s3a.spark_settings(settings), SparkLog(folder / "spark.log"))
        line.note = ""
        line.follow(spark.sparkContext, f"{title}-{folder.name}")
        try:
            yield spark
        except NitamonoError:
            raise
        except Exception as error:
            known = session.settings(settings.spark)
            why = explained(error, known, folder / "spark.log")
            raise StageError(f"{title} failed: {why}. More is in {folder}") from error
        finally:
            if own:
                spark.stop()
    rmtree(folder, ignore_errors=True)
