"""Memory of a host during embed, compared with the plan of `nitamono size`.

The benchmark puts a packed model of random vectors (2,000,000 words and as many n-gram rows of 300
dimensions are 4.9 GB) and tokens of generated items into a store. Then it runs the real embed
stage on executors of local-cluster, with the settings that `size` plans for a node with so many
cores. It embeds enough items for every worker to have renewed its cache of word rows, because only
then the worker has its largest size. Once a second it reads the proportional set size (each shared
page counted once) of the executors' JVMs and of all Python processes below them. `measured` is the
largest sum; `planned` is the line `embed` of the plan. Both are without the driver, and without
pages of files that no process has mapped.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.pss import Sampler
from models import fasttext
from models.content import file_sha256
from models.fasttext import add_statistics
from models.fasttext.bytestrings import ByteStrings, offsets_from_lengths
from models.fasttext.catalogue_statistics import TABLE_SIZE, CatalogueStatistics
from models.fasttext.packing import FILE_NAME, write_packed
from models.fasttext.row_sums import Floats, normalize_rows
from models.fasttext.source import Header
from pipeline.cluster.sizing import memory_size, plan, requirements
from pipeline.cluster.sizing.memory_size import MIB
from pipeline.config import reading as config
from pipeline.stages.context import Job
from pipeline.stages.embed import stage as embed
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

_TEXT = "benchmark"
_ROWS = 1 << 14
_FILES = 16
_LETTERS = 26


@dataclass(frozen=True)
class Size:
    """Sizes of the model and of the data.

    Attributes:
        words: words in the vocabulary.
        buckets: n-gram rows.
        dim: length of a vector.
        items: items to embed.
        title, description: mean number of tokens of each.
        unknown: share of tokens that are not in the vocabulary.
    """

    words: int
    buckets: int
    dim: int
    items: int
    title: int = 16
    description: int = 64
    unknown: float = 0.02


def words_of(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Return a word of eight Latin letters for each number: uint8[n, 8]."""
    powers = _LETTERS ** np.arange(8)
    # The words of neighbouring numbers share no letters.
    mixed = (numbers * 104_729_000_003) % _LETTERS**8
    return (97 + mixed[:, None] // powers % _LETTERS).astype(np.uint8)


class RandomModel:
    """The source of a packed model of random vectors."""

    kept_ngrams = None

    def __init__(self, size: Size) -> None:
        self._size = size
        self._rng = np.random.default_rng(0)
        self.header = Header("skipgram", size.dim, size.words, size.buckets, 3, 6, 1)
        chars = words_of(np.arange(size.words)).ravel()
        self.words = ByteStrings.from_chars(chars, offsets_from_lengths(np.full(size.words, 8)))

    def vectors(self) -> Iterator[tuple[Floats, npt.NDArray[np.bool_]]]:
        """See models.fasttext.source.Source."""
        for rows in self._random(self._size.words):
            yield rows, normalize_rows(rows)

    def rows(self) -> Iterator[Floats]:
        """See models.fasttext.source.Source."""
        return self._random(self._size.buckets)

    def _random(self, count: int) -> Iterator[Floats]:
        for start in range(0, count, _ROWS):
            shape = (min(_ROWS, count - start), self._size.dim)
            yield self._rng.random(shape, dtype=np.float32) - np.float32(0.5)


def make_model(folder: Path, size: Size) -> Path:
    """Write a packed model, with statistics of random counts."""
    folder.mkdir(parents=True)
    path = folder / FILE_NAME
    model = RandomModel(size)
    write_packed(model, model.header, path, float16=False)
    counts = np.random.default_rng(1).integers(0, 1000, (2, TABLE_SIZE)).astype(np.int32)
    direction = np.zeros(size.dim, np.float32)
    add_statistics(path, CatalogueStatistics(100_000, counts[0], counts[1], direction))
    return path


def write_tokens(folder: Path, size: Size) -> None:
    """Write the tokens table, with word frequencies by Zipf's law."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(2)
    cumulative = np.cumsum(1 / np.arange(1, size.words + 1))
    for file in range(_FILES):
        items = size.items // _FILES
        means = (size.title, size.description)
        fields = [_texts(rng, cumulative, items, mean, size) for mean in means]
        ids = pa.array([f"{file:02}-{number:09}" for number in range(items)])
        hashes = pa.nulls(items, pa.binary())
        names = ["item_id", "title_tokens", "description_tokens", "text"]
        table = pa.table([ids, *fields, hashes], names)
        pq.write_table(table, folder / f"part-{file:02}.parquet", row_group_size=20_000)


def _texts(
    rng: np.random.Generator,
    cumulative: npt.NDArray[np.float64],
    items: int,
    mean: int,
    size: Size,
) -> pa.Array:
    """Return strings of words separated by spaces."""
    lengths = np.maximum(rng.poisson(mean, items), 1)
    total = int(lengths.sum())
    in_vocabulary = np.searchsorted(cumulative, rng.random(total) * cumulative[-1])
    outside = size.words + rng.integers(0, size.words, total)
    words = words_of(np.where(rng.random(total) < size.unknown, outside, in_vocabulary))
    chars = np.concatenate([words, np.full((total, 1), 32, np.uint8)], axis=1).ravel()
    offsets = np.concatenate([[0], np.cumsum(lengths)]) * 9
    # The space after the last word of each text is removed.
    mask = np.ones(len(chars), dtype=bool)
    mask[offsets[1:] - 1] = False
    ends = (offsets - np.arange(len(offsets))).astype(np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(chars[mask])]
    return pa.Array.from_buffers(pa.string(), items, buffers)


def job_of(folder: Path, size: Size, spark: dict[str, str]) -> Job:
    """Make a store with a model and tokens, and a job on it."""
    store = Store(str(folder))
    print("making the model ...", file=sys.stderr)
    packed = make_model(folder / "model", size)
    sha256 = file_sha256(packed)
    store.models.path(sha256).parent.mkdir(parents=True, exist_ok=True)
    store.models.save(packed.parent, sha256, packed.name)
    print("making the tokens ...", file=sys.stderr)
    write_tokens(Path(str(store.table_path("tokens", "t"))), size)
    file = folder / "nitamono.toml"
    file.write_text(f'[store]\npath = "{folder}"\n[catalogue]\npath = "none.csv"\n')
    settings = [f"{name}={value}" for name, value in spark.items()]
    job = Job(config.load(file, ['model.ship="path"', *settings], {}), store, "benchmark")
    outputs = {"text_fingerprint": _TEXT, "base": None, "why": "a benchmark"}
    rows = {"tokens": size.items}
    job.set_record(StageRecord("tokenize", "t", "benchmark", {}, rows, {}, outputs))
    model = {"kind": "fasttext", "sha256": sha256, "file": packed.name, "dim": size.dim}
    model |= {"text_fingerprint": _TEXT, "statistics": True}
    job.set_record(StageRecord("train", "m", "benchmark", {}, {}, {}, model))
    return job


def plan_of(size: Size, workers: int, memory_mib: float) -> plan.Plan:
    """Return what `nitamono size` plans for one node with so many cores."""
    settings = config.defaults([], {})
    model = fasttext.estimate_size(size.words, size.buckets, size.dim)
    node = plan.Node(workers, memory_mib, 1)
    return plan.make_plan(node, requirements.for_fasttext(settings, model, size.items))


def run(size: Size, node_plan: plan.Plan, parent: str) -> dict[str, Any]:
    """Embed and measure the memory.

    Args:
        size: of the model and the data.
        node_plan: the plan to compare with.
        parent: the folder for temporary files.
    """
    with tempfile.TemporaryDirectory(prefix="nitamono-benchmark-", dir=parent) as name:
        job = job_of(Path(name), size, spark_settings(node_plan))
        _ = job.spark
        model_bytes = job.store.models.file(job.record("train")).stat().st_size
        print("embedding ...", file=sys.stderr)
        start = time.monotonic()
        with Sampler() as memory:
            record = embed.execute(job, "e")
        seconds = time.monotonic() - start
        job.stop()
    planned = planned_memory(node_plan)
    peak = asdict(memory.peak) | {"total": memory.peak.total}
    measured = {name: peak[name] / MIB for name in planned}
    return {
        "workers": node_plan.tasks,
        "executors": node_plan.executors,
        "planned_mib": {name: round(value) for name, value in planned.items()},
        "measured_mib": {name: round(value) for name, value in measured.items()},
        "planned_over_measured": round(planned["total"] / measured["total"], 3),
        "workers_at_peak": memory.peak.workers,
        "model_bytes": model_bytes,
        "items": record.tables["embeddings"],
        "seconds": round(seconds, 1),
        "model_loads": record.counts["model_loads"],
    }


def spark_settings(node_plan: plan.Plan) -> dict[str, str]:
    """Return the settings of a local cluster with the planned executors."""
    executors, cores, heap = node_plan.executors, node_plan.cores, node_plan.heap
    return {
        "spark.master": f"local-cluster[{executors},{cores},{heap}]",
        "spark.executor.memory": f"{heap}m",
        "spark.executor.cores": str(cores),
        "spark.driver.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "ERROR",
    }


def planned_memory(node_plan: plan.Plan) -> dict[str, float]:
    """Return the planned memory of embed by kind, in MiB."""
    (stage,) = (stage for stage in node_plan.requirements.stages if stage.name == "embed")
    return {
        "jvm": node_plan.executors * (node_plan.heap + node_plan.off_heap),
        "python": node_plan.python_workers(stage),
        "files": stage.shared,
        "total": node_plan.node_memory(stage),
    }


def show(results: dict[str, Any]) -> None:
    """Print the results as a table."""
    print(f"{'MiB':<12}{'planned':>10}{'measured':>10}")
    for name, planned in results["planned_mib"].items():
        print(f"{name:<12}{planned:>10,}{results['measured_mib'][name]:>10,}")
    print(f"planned over measured: {results['planned_over_measured']:.3f}")


def main() -> int:
    """Run the benchmark."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--words", type=int, default=2_000_000)
    parser.add_argument("--buckets", type=int, default=2_000_000)
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--items", type=int, default=480_000)
    parser.add_argument("--title", type=int, default=16)
    parser.add_argument("--description", type=int, default=64)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--memory", type=memory_size.argument, default=24 * 1024.0)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    arguments = parser.parse_args()
    size = Size(
        arguments.words,
        arguments.buckets,
        arguments.dim,
        arguments.items,
        arguments.title,
        arguments.description,
    )
    results = run(size, plan_of(size, arguments.workers, arguments.memory), arguments.folder)
    show(results)
    if arguments.json:
        print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
