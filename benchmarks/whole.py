"""A whole run on a made-up catalogue: what it uses, beside what its bare work would use.

    stages   seconds and CPU seconds of each stage, from Parquet to the moved pointer; Spark's start
             is in the first
    written  bytes of each table, and of all shuffles
    peaks    resident memory of the driver, the JVM and the largest Python worker
    bare     CPU seconds of the work that the stages exist for, in one process without Spark, one
             thread, measured on a part of the items and scaled: SudachiPy's analysis, the model's
             vectors, the products of vectors in as many comparisons as the run makes. For the
             training it is the CPU of the process that trains.

Titles have 38 characters in the mean; with --descriptions there are descriptions of 253.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from unittest.mock import patch

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.nightly import catalogue
from benchmarks.processes import KINDS, Sampler
from models import fasttext
from pipeline.config import reading as config
from pipeline.runs.runner import Runner
from pipeline.stages import CHAIN
from pipeline.stages.embed.batches import field_tokens
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress
from pipeline.text.clean import clean
from pipeline.text.split import split_text
from pipeline.text.tokenize import TextSettings, dictionary_of, prepare

_FILE_ITEMS = 250_000
# Items that the bare work is measured on.
_BARE_ITEMS = 100_000
_QUERIES, _LIST = 4_096, 1_000


def make(folder: Path, items: int, *, descriptions: bool) -> None:
    """Write the catalogue, in files of 250,000 items."""
    (folder / "items").mkdir(parents=True)
    for seed, start in enumerate(range(0, items, _FILE_ITEMS), 1):
        columns = catalogue(min(_FILE_ITEMS, items - start), seed)
        if not descriptions:
            del columns["description"]
        pq.write_table(pa.table(columns), folder / "items" / f"{seed:05d}.parquet")
    described = '\ncolumns = { description = "description" }' if descriptions else ""
    (folder / "nitamono.toml").write_text(
        f'[store]\npath = "store"\n[catalogue]\npath = "items"\nformat = "parquet"{described}\n'
    )


def run(folder: Path, sets: list[str]) -> dict[str, Any]:
    """Run all stages in this process, which is the driver."""
    events = folder / "events"
    events.mkdir()
    log = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.compress": "false",
    }
    settings = [*(f"{name}={value}" for name, value in log.items()), *sets]
    file = folder / "nitamono.toml"
    stages: dict[str, Any] = {}
    started = time.monotonic()
    with Sampler() as sampler, _measured(stages, sampler):
        before = sampler.cpu
        runner = Runner(config.load(file, tuple(settings), {}), "whole", Progress(io.StringIO()))
        outcome = runner.run("ingest", "publish")
        after = sampler.cpu
    wall = time.monotonic() - started
    total = {kind: round(after[kind] - before[kind], 1) for kind in KINDS}
    counts = {record.stage: record.counts for _, _, record in outcome.stages}
    tables = (folder / "store" / "tables").iterdir()
    written = {table.name: _bytes(table) for table in sorted(tables)}
    return {
        "wall": round(wall, 1),
        "cpu": round(sum(total.values()), 1),
        "cpu_of": total,
        "stages": stages,
        "written": written | {"shuffled": _shuffled(events)},
        "peaks": {kind: round(size / 1e6) for kind, size in sampler.peaks.items()},
        "counts": counts,
        "dim": outcome_dim(outcome.stages),
    }


def outcome_dim(stages: Any) -> int:  # noqa: ANN401 - of an Outcome
    """The dimensions of the vectors that a run has made."""
    return next(int(record.outputs["dim"]) for name, _, record in stages if name == "embed")


@contextmanager
def _measured(stages: dict[str, Any], sampler: Sampler) -> Iterator[None]:
    """Inside, each stage that is executed notes its seconds and CPU seconds."""
    patches = []
    for stage in CHAIN:
        module, execute = cast("ModuleType", stage), stage.execute

        def measured(*arguments: Any, name: str = stage.NAME, execute: Any = execute) -> Any:  # noqa: ANN401
            before, children, start = sampler.cpu, _children(), time.monotonic()
            result = execute(*arguments)
            after = sampler.cpu
            stages[name] = {
                "seconds": round(time.monotonic() - start, 1),
                "cpu": {kind: round(after[kind] - before[kind], 1) for kind in KINDS},
                "children": round(_children() - children, 1),
            }
            return result

        patches.append(patch.object(module, "execute", measured))
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


def _children() -> float:
    """CPU seconds of this process's children that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _shuffled(events: Path) -> int:
    """Bytes that the tasks of a run wrote for shuffles."""
    total = 0
    for file in events.rglob("*"):
        if not file.is_file():
            continue
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if '"Shuffle Bytes Written"' in line:
                    metrics = (json.loads(line).get("Task Metrics") or {}).get(
                        "Shuffle Write Metrics", {}
                    )
                    total += metrics.get("Shuffle Bytes Written", 0)
    return total


def bare(folder: Path, items: int, result: dict[str, Any]) -> dict[str, float]:
    """CPU seconds of the bare work, by stage."""
    store = Store(str(folder / "store"))
    share = items / min(items, _BARE_ITEMS)
    return {
        "tokenize": round(_analysis(folder) * share, 1),
        "train": result["stages"]["train"]["children"],
        "embed": round(_vectors(folder, store) * share, 1),
        "neighbors": round(_products(items, result), 1),
    }


def _head(paths: list[Path], columns: list[str]) -> pa.Table:
    """The first rows of a table's files."""
    parts: list[pa.Table] = []
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=[c for c in columns if c in file.schema.names]):
                parts.append(pa.Table.from_batches([batch]))
                if sum(part.num_rows for part in parts) >= _BARE_ITEMS:
                    return pa.concat_tables(parts).slice(0, _BARE_ITEMS)
    return pa.concat_tables(parts)


def _analysis(folder: Path) -> float:
    """SudachiPy's analysis of the texts as it gets them."""
    settings = TextSettings()
    tokenizer = dictionary_of(settings).tokenizer(mode=settings.split_mode)
    table = _head(sorted((folder / "items").glob("*.parquet")), ["title", "description"])
    pieces = [
        piece
        for column in table.columns
        for text in column.to_pylist()
        for piece in split_text(prepare(clean(text)))
    ]
    start = time.process_time()
    for piece in pieces:
        tokenizer.tokenize(piece)
    return time.process_time() - start


def _vectors(folder: Path, store: Store) -> float:
    """The model's vectors of tokens."""
    files = sorted((folder / "store" / "tables" / "tokens").rglob("*.parquet"))
    table = _head(files, ["title_tokens", "description_tokens"])
    loaded = config.load(folder / "nitamono.toml", (), {})
    settings = loaded.embed
    blend = fasttext.Blend(
        dim=settings.dim,
        lexical_weight=settings.lexical_weight or fasttext.Blend().lexical_weight,
        title_weight=settings.title_weight,
        description_weight=settings.description_weight,
        drop_phrases=settings.drop_phrases,
    )
    path = next((folder / "store" / "models").glob("*/model.safetensors"))
    model = fasttext.BlendEmbedder(cast("fasttext.Embedder", fasttext.load(path)), blend)
    columns = [column.to_pylist() for column in table.columns]
    texts = pa.array([list(fields) for fields in zip(*columns, strict=True)])
    batches = [field_tokens(model, texts.slice(at, 5_000)) for at in range(0, len(texts), 5_000)]
    start = time.process_time()
    for titles, descriptions in batches:
        model.embed_fields(titles, descriptions)
    return time.process_time() - start


def _products(items: int, result: dict[str, Any]) -> float:
    """As many products of vectors as the run has made."""
    dim, counts = result["dim"], result["counts"]
    rng = np.random.default_rng(0)
    queries, listed = (
        rng.standard_normal((rows, dim), dtype=np.float32) for rows in (_QUERIES, _LIST)
    )
    product = np.empty((_QUERIES, _LIST), dtype=np.float32)
    repeats = 20
    start = time.process_time()
    for _ in range(repeats):
        np.matmul(queries, listed.T, out=product)
    of_one = (time.process_time() - start) / (repeats * product.size)
    comparisons = counts["neighbors"]["distances"]
    return of_one * float(comparisons)


def main() -> None:
    """Run, and print a table, or one JSON object with --json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000, help="items of the catalogue")
    parser.add_argument("--descriptions", action="store_true", help="with descriptions")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    parser.add_argument("--set", action="append", default=[], help="a setting: section.key=value")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(run(arguments.folder, arguments.set)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        make(folder, arguments.items, descriptions=arguments.descriptions)
        # The driver is a process of its own, so that its memory is not that of the making.
        command = [sys.executable, "-m", "benchmarks.whole", "--run", "--folder", str(folder)]
        command += [part for setting in arguments.set for part in ("--set", setting)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
        result = json.loads(done.stdout)
        result["bare"] = bare(folder, arguments.items, result)
    result = {"items": arguments.items} | result
    result["bare_cpu"] = round(sum(result["bare"].values()), 1)
    if arguments.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(f"{key:<10} {value}")


if __name__ == "__main__":
    main()
