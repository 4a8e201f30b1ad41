"""A driver: whole runs in processes that are killed wherever they change the store.

Its argument is a folder to work in. In the end there are also several runs at once. It prints one
JSON object. The runs' processes are forked from one that has loaded everything and share its JVM,
so that none has to start Spark: but for that each is a run like any other, and SIGKILL takes it as
it would take any.

A run is killed at the first change of a kind that no run before it was killed at: before it, with
what was being written cut in half, or right after it. The next run goes on in the same store.
"""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway

from models import fasttext as _fasttext  # noqa: F401 - loaded once for all
from pipeline.config import reading as config
from pipeline.errors import NitamonoError
from pipeline.runs.runner import Runner
from pipeline.spark.session import settings
from pipeline.storage.files import read_json
from pipeline.store import leftovers
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress
from tests.conftest import QUICK_PLANS
from tests.pipeline.killer import Killer, wait

SETS = ("index.exact_below=0", "index.nlist=3", "neighbors.k=3", "model.dim=8", "model.epoch=2")
NO_MAP = "report.map_items=0"
WORDS = ("赤い 靴", "青い 靴", "赤い 帽子", "革 の 鞄", "布 の 鞄", "白い 皿", "青い 皿")
CATALOGUE = "items.csv"
Table = list[dict[str, Any]]


class Shop:
    """A store and its catalogue."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.root = folder, folder / "store"
        self.runs = 0
        (folder / "nitamono.toml").write_text(
            f'[store]\npath = "store"\n[catalogue]\npath = "../{CATALOGUE}"\n'
            "[model]\nmin_count = 1\n"
        )

    def start(self, *sets: str, killer: Killer | None = None, **options: Any) -> int:
        """Start a run in a process of its own; returns its pid."""
        self.runs += 1
        name = f"run{self.runs}"
        pid = os.fork()
        if pid:
            return pid
        code = 99
        try:
            connect()
            if killer:
                killer.arm()
            settings = config.load(self.folder / "nitamono.toml", (*SETS, NO_MAP, *sets), {})
            Runner(settings, name, Progress(io.StringIO()), **options).run("ingest", "publish")
            code = 0
        except NitamonoError as error:
            (self.folder / f"{name}.error").write_text(str(error))
            code = error.exit_code
        finally:
            if code == 99:
                import traceback

                traceback.print_exc()
            os._exit(code)

    def table(self) -> Table | None:
        """What a reader of LATEST sees."""
        latest = Store(str(self.root)).latest()
        return None if latest is None else pq.read_table(latest["path"]).to_pylist()

    def kill_on(self, seen: set[str], skip: str) -> list[Table | None]:
        """Runs, each killed at another change, until one comes through.

        Returns:
            what a reader saw after each.
        """
        note, tables = self.folder / "killed", []
        while True:
            status = wait(self.start(killer=Killer(self.root, seen, skip, note)))
            tables.append(self.table())
            if status != -signal.SIGKILL:
                if status:
                    raise RuntimeError(f"a run ended with {status}")
                return tables
            seen.add(note.read_text())


def catalogue(folder: Path, items: range) -> None:
    """Write tonight's catalogue."""
    with (folder / CATALOGUE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("item_id", "title"))
        writer.writerows((f"i{n:02d}", f"{WORDS[n % 7]} {n % 5}") for n in items)


def connect() -> None:
    """Make the driver's JVM this process's own."""
    SparkContext._gateway = SparkContext._jvm = None
    gateway = launch_gateway()  # type: ignore[no-untyped-call]
    SparkContext._ensure_initialized(gateway=gateway)
    conf = spark_conf()
    jvm = gateway.jvm
    context = jvm.org.apache.spark.SparkContext.getOrCreate(conf._jconf)
    SparkContext(conf=conf, gateway=gateway, jsc=jvm.JavaSparkContext(context))


def spark_conf() -> SparkConf:
    """The settings of the one session."""
    chosen = settings({"spark.master": "local[2]"}) | {
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.memory": "1g",
        "spark.log.level": "OFF",
        **QUICK_PLANS,
    }
    return SparkConf().setAll(list(chosen.items()))


def together(shop: Shop) -> dict[str, Any]:
    """Runs on one store at once: one that publishes, and others while it does."""
    before = shop.table()
    first = shop.start()
    name = f"run{shop.runs}"
    lock = shop.root / "locks"
    holder = f"run {name}"
    while not any(holder in (read_json(path) or {}).values() for path in lock.glob("publishing-*")):
        time.sleep(0.01)
    # Of the same settings, so of the same outputs.
    quiet = shop.start(publishing=False)
    refused = shop.start()
    error_file = shop.folder / f"run{shop.runs}.error"
    waits = shop.start(wait=100)
    codes = {"refused": wait(refused), "quiet": wait(quiet)}
    return {
        "codes": codes | {"first": wait(first), "waits": wait(waits)},
        "said": error_file.read_text(),
        "holder": name,
        "moved": shop.table() != before,
        "unfinished": [str(path) for path in leftovers.unfinished_paths(shop.root)],
        "table": shop.table(),
    }


def versions(root: Path) -> list[str]:
    """The versions of all tables of a store."""
    return sorted(path.relative_to(root).as_posix() for path in root.glob("tables/*/*"))


def main() -> None:
    """Two nights with kills, the second once more without, and several runs at once."""
    folder = Path(sys.argv[1])
    # Standard output is for the result.
    quiet = {"stdout": subprocess.DEVNULL}
    gateway = launch_gateway(spark_conf(), quiet)  # type: ignore[no-untyped-call]
    os.environ["PYSPARK_GATEWAY_PORT"] = str(gateway.java_parameters.port)
    os.environ["PYSPARK_GATEWAY_SECRET"] = gateway.gateway_parameters.auth_token
    shop, copy = Shop(folder / "killed"), Shop(folder / "undisturbed")
    seen: set[str] = set()
    report: dict[str, Any] = {}
    started = time.monotonic()
    for night, items, skip in (
        # Each kind of change once: those of tables and pointers in the night that finds some.
        ("first", range(30), r" tables|stages/(?!train|index)|pointers"),
        ("second", range(4, 36), "^$"),
    ):
        catalogue(folder, items)
        tables = shop.kill_on(seen, skip)
        report[night] = {"code": wait(copy.start()), "seen": tables, "expected": copy.table()}
    report |= {
        "sites": sorted(seen),
        "unfinished": [str(path) for path in leftovers.unfinished_paths(shop.root)],
        "versions": {each.folder.name: versions(each.root) for each in (shop, copy)},
        "seconds": time.monotonic() - started,
    }
    catalogue(folder, range(8, 40))
    report["together"] = together(shop)
    report["alone"] = {"code": wait(copy.start()), "table": copy.table()}
    sys.stdout.write(json.dumps(report))
    gateway.shutdown()


if __name__ == "__main__":
    main()
