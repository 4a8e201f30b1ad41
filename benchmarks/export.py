"""Speed of nitamono export into a running PostgreSQL or redis.

`--to` is the server's address, as for the command. The table is generated: 10 neighbours an item,
ids of 13 characters, in 16 files. The memory and the disk of the server decide the speed, so
compare runs on the same server.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cli.main import execute
from pipeline.export.postgres import digest
from pipeline.export.source import Source
from pipeline.store.store import Store

_K, _FILES = 10, 16


def make_table(store: Store, version: str, items: int) -> None:
    """Write a generated table and publish it."""
    folder = Path(str(store.table_path("similar_items", version)))
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    file_items = -(-items // _FILES)
    for number in range(_FILES):
        first, last = number * file_items, min(items, (number + 1) * file_items)
        ids = pa.array([f"SKU-{item:09d}" for item in range(first, last)])
        count = (last - first) * _K
        table = pa.table(
            {
                "item_id": ids.take(pa.array(np.repeat(np.arange(last - first), _K))),
                "rank": pa.array(np.tile(np.arange(1, _K + 1, dtype=np.int32), last - first)),
                "similar_id": pa.array([f"SKU-{i:09d}" for i in rng.integers(0, items, count)]),
                "score": pa.array(rng.random(count, dtype=np.float32)),
            }
        )
        pq.write_table(table, folder / f"part-{number:05d}.parquet", compression="zstd")
    store.set_latest("similar_items", version, "benchmark")


def read_alone(store: Store) -> float:
    """Measure the seconds to read and hash all rows in one thread."""
    source, start = Source.resolve(store, "LATEST"), time.monotonic()
    for number in range(len(source.files)):
        for batch in source.batches(number):
            digest.row_digest(batch)
    return time.monotonic() - start


def main() -> None:
    """Export once for each number of jobs, and print the speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", required=True)
    parser.add_argument("--items", type=int, default=300_000)
    parser.add_argument("--jobs", default="1,2,4")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    exports = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("nitamono.toml").write_text('[store]\npath = "store"\n[catalogue]\npath = "x.csv"\n')
        store = Store("store")
        make_table(store, "generated", arguments.items)
        alone = read_alone(store)
        print(f"reading and hashing alone  {arguments.items * _K / alone:12,.0f} rows/s")
        for jobs in arguments.jobs.split(","):
            out, start = io.StringIO(), time.monotonic()
            with contextlib.redirect_stdout(out):
                execute(["export", "--config", "nitamono.toml", "--to", arguments.to, "--json",
                         "--again", "--jobs", jobs])  # fmt: skip
            seconds = time.monotonic() - start
            rows = json.loads(out.getvalue())["rows"]
            exports.append({"jobs": int(jobs), "rows": rows, "seconds": round(seconds, 1)})
            print(
                f"{jobs:>2} jobs  {rows:,} rows  {seconds:6.1f} s  {rows / seconds:10,.0f} rows/s"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"memory at most  {peak:,} MiB")
    if arguments.json:
        print(json.dumps({"exports": exports, "read_alone_seconds": alone, "peak_mib": peak}))


if __name__ == "__main__":
    main()
