"""Time of `nitamono query`: one process for one text, and a thousand texts in one file.

The store is made once, in a folder that stays. It has Japanese titles without descriptions, as in
nightly.py, and the pipeline's defaults except for a short training. The queries are titles from
the same sources that are not in the catalogue.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.nightly import catalogue
from pipeline.config import reading as config
from pipeline.query.published import Published
from pipeline.store.store import Store

ITEMS, QUERIES = 1_000_000, 1_000
_PART = 100_000
_CONFIG = (
    '[store]\npath = "store"\n[catalogue]\npath = "items"\n'
    "[model]\nepoch = 1\nsample_items = 50000\nthreads = 2\n"
    '[spark]\nmaster = "local[2]"\n"driver.memory" = "4g"\n'
)
# Prints how many bytes the process read from files, as the kernel counts them.
_COUNTING_PROGRAM = (
    "import sys\nfrom pipeline.cli.main import execute\n"
    "def read():\n"
    "    lines = open('/proc/self/io').read().splitlines()\n"
    "    return int(lines[0].split()[1])\n"
    "import pipeline.query.answer\nbefore = read()\nexecute(sys.argv[1:])\n"
    "sys.stderr.write(str(read() - before))\n"
)


def make(folder: Path, items: int) -> None:
    """Write a catalogue, the titles for the queries, and a config."""
    (folder / "items").mkdir(parents=True)
    queries: list[pa.Table] = []
    part_queries = QUERIES * min(_PART, items) // items
    for seed in range(-(-items // _PART)):
        size = min(_PART, items - seed * _PART)
        columns = catalogue(size + part_queries, seed)
        rows = pa.table({name: columns[name] for name in ("item_id", "title", "category", "price")})
        # The rows are in random order, so the first ones can be the queries.
        pq.write_table(rows.slice(part_queries), folder / "items" / f"{seed:04d}.parquet")
        queries.append(rows.slice(0, part_queries))
    titles = pa.concat_tables(queries).select(["item_id", "title"])
    pq.write_table(titles, folder / "queries.parquet")
    (folder / "nitamono.toml").write_text(_CONFIG)


def run(folder: Path) -> float:
    """Run the pipeline once and return its seconds."""
    start = time.monotonic()
    command = [sys.executable, "-m", "pipeline.cli.main", "run", "--config", "nitamono.toml"]
    subprocess.run(command, cwd=folder, check=True)  # noqa: S603 - this Python
    return time.monotonic() - start


def _query(folder: Path, *arguments: str) -> tuple[float, float, str]:
    """Run one process; return its wall and CPU seconds and its output."""
    command = [
        sys.executable,
        "-m",
        "pipeline.cli.main",
        "query",
        "--config",
        "nitamono.toml",
        "--json",
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    process = subprocess.run(  # noqa: S603 - this Python
        [*command, *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True
    )
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return wall, cpu, process.stdout


def _bytes_read(folder: Path, title: str) -> int:
    """Measure the bytes that one query reads after its imports, with the dictionary."""
    query = ["query", "--config", "nitamono.toml", "--json", "--title", title]
    process = subprocess.run(  # noqa: S603 - this Python
        [sys.executable, "-c", _COUNTING_PROGRAM, *query],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return int(process.stderr.splitlines()[-1])


def _drop_page_cache(folder: Path) -> bool:
    """Ask the kernel to drop the store's pages from its cache; False if it has no such call."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in (folder / "store").rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def measure(folder: Path, singles: int) -> dict[str, Any]:
    """Measure queries to a store."""
    titles = pq.read_table(folder / "queries.parquet")["title"].to_pylist()
    cold = _drop_page_cache(folder)
    first, first_cpu, _ = _query(folder, "--title", titles[0])
    walls, cpus = [], []
    for title in titles[1 : 1 + singles]:
        wall, cpu, output = _query(folder, "--title", title)
        walls.append(wall)
        cpus.append(cpu)
        if not json.loads(output)["neighbours"]:
            raise SystemExit(f"no neighbour of {title}")
    wall, cpu, output = _query(folder, "--file", "queries.parquet")
    lines = [json.loads(line) for line in output.splitlines()]
    single = json.loads(_query(folder, "--title", titles[1])[2])["neighbours"]
    published = Published.of(Store.of(config.load(folder / "nitamono.toml", (), {}), make=False))
    neighbors, index = published.record("neighbors"), published.record("index")
    lists = sum(path.stat().st_size for path in Path(
        str(published.store.table_path("lists", index.fingerprint))).glob("*"))  # fmt: skip
    return {
        "items": published.record("ingest").tables["items"],
        "lists": index.outputs["lists"],
        "probes": neighbors.counts["probes"],
        "lists_bytes": lists,
        "single_first_seconds": round(first, 2),
        "single_first_out_of_the_page_cache": cold,
        "single_first_cpu_seconds": round(first_cpu, 2),
        "single_seconds": {"median": round(statistics.median(walls), 2),
                           "least": round(min(walls), 2), "most": round(max(walls), 2)},
        "single_cpu_seconds": round(statistics.median(cpus), 2),
        "single_bytes_read": _bytes_read(folder, titles[2]),
        "batch": len(lines),
        "batch_seconds": round(wall, 2),
        "batch_cpu_seconds": round(cpu, 2),
        "batch_ms_each": round(1000 * wall / len(lines), 2),
        "batch_equals_single": lines[1]["neighbours"] == single,
        "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def main() -> None:
    """Make the store if it does not exist, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", required=True, help="of the store; made if it does not exist")
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--singles", type=int, default=10, help="processes of one query")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    arguments = parser.parse_args()
    folder = Path(arguments.folder).absolute()
    run_seconds = None
    if not (folder / "nitamono.toml").is_file():
        make(folder, arguments.items)
    if not (folder / "store" / "tables" / "similar_items" / "LATEST").is_file():
        run_seconds = round(run(folder), 1)
    result = {"run_seconds": run_seconds, **measure(folder, arguments.singles)}
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<36} {value}")


if __name__ == "__main__":
    main()
