"""A file for spark-submit: the command nitamono, watched, and its executors killed where told.

    watched_run.py FOLDER embeddings:2,join:1,neighbors:1 run --config ...

A place is where an executor is killed, and after how many batches of a task: `embeddings` and
`neighbors` while that table is written, each batch as it comes, and `join` in the search, when
that many batches have come out of a task. After 0 batches is: when the file is whole, but before
its task has told of it. The first task that gets there kills its executor, once.
FOLDER gets a note of each kill, and one of every Python process that embeds: which executor it
belongs to, where that works, and which files of the host's cache are mapped.
"""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark import TaskContext

from pipeline.cli.main import main
from pipeline.stages.neighbors import search
from pipeline.storage.paths import StoragePath
from pipeline.store import arrow_files, tables
from pipeline.store.arrow_files import Count, Run

MAGIC = b"PAR1"  # Parquet files begin with it, and end with it when they are whole.
Places = dict[str, int]


def executor() -> int:
    """The pid of this Python worker's executor: its parent is the daemon, and that one's that."""
    stat = Path(f"/proc/{os.getppid()}/stat").read_text()
    return int(stat.rsplit(")", 1)[1].split()[1])


def whole(path: Path) -> bool:
    """Whether a Parquet file has been written to its end."""
    return path.read_bytes().endswith(MAGIC)


def kill(place: str, notes: Path, table: Path | None) -> None:
    """Kill this worker's executor, if nobody has done so at this place, and note it."""
    try:
        descriptor = os.open(notes / f"killed-{place}.json", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return
    context = TaskContext.get()
    assert context is not None
    mine = table.glob(f"part-{context.partitionId():05d}-*") if table else ()
    files = {path.name: whole(path) for path in mine if path.stat().st_size > len(MAGIC)}
    os.write(descriptor, json.dumps({"executor": executor(), "files": files}).encode())
    os.close(descriptor)
    os.kill(executor(), signal.SIGKILL)
    # Nothing of this task may come any more.
    signal.pause()


def look(notes: Path) -> None:
    """Note which files of the cache this process has mapped."""
    cache = re.escape(os.environ["NITAMONO_CACHE"])
    line = rf"^\S+ \S+ \S+ (\S+) (\d+) +({cache}/.*)$"
    mapped = re.findall(line, Path("/proc/self/maps").read_text(), re.M)
    works = str(Path(f"/proc/{executor()}/cwd").readlink())
    note = {"executor": executor(), "folder": works, "mapped": sorted(set(mapped))}
    (notes / f"process-{os.getpid()}.json").write_text(json.dumps(note))


def killing(run: Run, place: str, after: int, notes: Path, table: Path | None) -> Run:
    """A task that kills its executor after some batches."""

    def killed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for given, batch in enumerate(run(batches)):
            yield batch
            if place == "embeddings":
                look(notes)
            if given + 1 == after:
                kill(place, notes, table)

    return killed


def killing_untold(task: Run, place: str, notes: Path, table: Path) -> Run:
    """A task that kills its executor when it has written its file."""

    def killed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for told in task(batches):
            kill(place, notes, table)
            yield told

    return killed


def watch(notes: Path, places: Places) -> None:
    """Put the kills where they belong."""
    make_task, make_join = arrow_files._write_task, search._join

    def task(
        run: Run,
        folder: StoragePath,
        schema: pa.Schema,
        row_group_bytes: int,
        properties: Mapping[str, Any],
        count: Count,
    ) -> Run:
        where = Path(str(folder))
        table = where.parent.name
        if table in places or table == "embeddings":
            run = killing(run, table, places.get(table, -1), notes, where)
        made = make_task(run, folder, schema, row_group_bytes, properties, count)
        return killing_untold(made, table, notes, where) if places.get(table) == 0 else made

    def join(search: search.ListSearch, probed: search.ProbedLists) -> Any:
        run = make_join(search, probed)
        return killing(run, "join", places["join"], notes, None) if "join" in places else run

    arrow_files._write_task, search._join = task, join
    # Each batch a row group, so that it is in the file before the next is made.
    tables._ROW_GROUP_BYTES = 0


def run() -> None:
    """Run nitamono."""
    notes, told = Path(sys.argv[1]), sys.argv[2]
    places = {name: int(after) for name, _, after in (p.partition(":") for p in told.split(","))}
    watch(notes, {name: after for name, after in places.items() if name != "nowhere"})
    del sys.argv[1:3]
    main()


if __name__ == "__main__":
    # By its name, not as __main__: executors import what they need of it.
    from tests.cluster import watched_run

    watched_run.run()
