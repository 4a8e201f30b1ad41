"""How fast a table gets into a PostgreSQL or a redis that runs: nitamono export, step by step.

`--to` is the server's address, as the verb takes it. The table is made up: 10 neighbours an item,
ids of 13 characters, in 16 files. The server's own memory and disk decide, so compare on one.
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
from pipeline.export import digest
from pipeline.export.source import Source
from pipeline.store.store import Store

_K, _FILES = 10, 16


def make(store: Store, version: str, items: int) -> None:
    """Write a made-up table and publish it."""
    folder = Path(str(store.table_path("similar_items", version)))
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    per = -(-items // _FILES)
    for number in range(_FILES):
        first, last = number * per, min(items, (number + 1) * per)
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
    """Seconds that reading all rows and their hashes takes, in one thread."""
    source, start = Source.of(store, "LATEST"), time.monotonic()
    for number in range(len(source.files)):
        for batch in source.batches(number):
            digest.of(batch)
    return time.monotonic() - start


def main() -> None:
    """Export once for each number of jobs, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", required=True)
    parser.add_argument("--items", type=int, default=300_000)
    parser.add_argument("--jobs", default="1,2,4")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("nitamono.toml").write_text('[store]\npath = "store"\n[catalogue]\npath = "x.csv"\n')
        store = Store("store")
        make(store, "made-up", given.items)
        alone = read_alone(store)
        print(f"reading and hashing alone  {given.items * _K / alone:12,.0f} rows/s")
        for jobs in given.jobs.split(","):
            out, start = io.StringIO(), time.monotonic()
            with contextlib.redirect_stdout(out):
                execute(["export", "--config", "nitamono.toml", "--to", given.to, "--json",
                         "--again", "--jobs", jobs])  # fmt: skip
            seconds = time.monotonic() - start
            rows = json.loads(out.getvalue())["rows"]
            found.append({"jobs": int(jobs), "rows": rows, "seconds": round(seconds, 1)})
            print(
                f"{jobs:>2} jobs  {rows:,} rows  {seconds:6.1f} s  {rows / seconds:10,.0f} rows/s"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"memory at most  {peak:,} MiB")
    if given.json:
        print(json.dumps({"exports": found, "read_alone_seconds": alone, "peak_mib": peak}))


if __name__ == "__main__":
    main()
