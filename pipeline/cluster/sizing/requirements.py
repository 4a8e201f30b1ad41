"""Memory requirements of the stages: of a JVM, of a Python worker, of files that workers share.

All sizes are in MiB. docs/ explains the formula under Sizing; a test compares the two.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models import static
from models.disk import size as size_of
from models.fasttext import ModelSize
from pipeline.cluster.sizing.memory_size import MIB
from pipeline.config.sections import Config
from pipeline.retrieval import quantiser

# Spark keeps 300 MiB of a heap for itself (UnifiedMemoryManager.RESERVED_SYSTEM_MEMORY_BYTES), and
# gives tasks 60% of the rest: 307 of the 512 MiB for each task, enough for two shuffle
# partitions of 128 MiB.
RESERVED_HEAP_MIB, HEAP_PER_TASK_MIB = 300, 512
# What a JVM takes outside its heap: the minimum of Spark's own default, and its share of the heap.
MIN_OFF_HEAP_MIB, OFF_HEAP_SHARE = 384, 0.10
# A Python worker with its libraries, a batch and what is computed from it, without rows of words:
# benchmarks/memory.py --words 1000 --buckets 1000, 215 MiB.
WORKER_MIB = 220
# The cache of word rows in a worker (models/fasttext/weighted_rows.py). While the cache is renewed
# there are three times as many rows: the old ones, the new ones, and those that stay.
WORD_ROWS_MIB, WORD_ROWS_COPIES = 256, 3
# The cache of vectors of words outside the vocabulary (models/fasttext/row_cache.py), the only
# one that embed.method = "mean" has.
UNKNOWN_WORDS_MIB = 32

Engine = Literal["mapped", "library", "encoder"]


@dataclass(frozen=True)
class StageMemory:
    """Memory that a stage takes.

    Attributes:
        name: the stage.
        worker: private memory of one Python worker, MiB.
        shared: files that all workers of a host map, MiB.
        explanation: what the worker's memory consists of.
    """

    name: str
    worker: float
    shared: float
    explanation: str


@dataclass(frozen=True)
class Requirements:
    """Memory that a catalogue and a model need.

    Attributes:
        engine: mapped: one copy of the model a host; library and encoder: one a Python worker.
        model: size of the model's file, as it is shipped, MiB.
        private_copy: size of a worker's own copy of the model, MiB; 0 if the model is mapped.
        dim: length of an item's vector.
        stages: the stages that take most.
    """

    engine: Engine
    model: float
    private_copy: float
    dim: int
    stages: tuple[StageMemory, ...]

    @property
    def worker(self) -> float:
        """The largest private memory of a Python worker, MiB."""
        return max(stage.worker for stage in self.stages)


def jvm(cores: int) -> tuple[int, int]:
    """MiB of an executor's heap, and of what its JVM takes outside the heap."""
    heap = RESERVED_HEAP_MIB + HEAP_PER_TASK_MIB * cores
    return heap, max(MIN_OFF_HEAP_MIB, int(OFF_HEAP_SHARE * heap))


def vector_dim(config: Config, model_dim: int) -> int:
    """Length of an item's vector."""
    from models.fasttext import Blend

    is_alone = config.model.kind == "onnx" and config.embed.lexical_weight is None
    if config.embed.method != "blend" or is_alone:
        return model_dim
    return model_dim + Blend(dim=config.embed.dim).lexical_dim(model_dim)


def for_fasttext(config: Config, size: ModelSize, items: int) -> Requirements:
    """Requirements with a fastText model.

    Args:
        config: the sections [model], [embed], [index] and [neighbors] are read.
        size: size of the model.
        items: number of items in the catalogue.
    """
    dim = vector_dim(config, size.dim + size.beside)
    if config.model.engine == "library":
        copy = size.library / MIB
        return _requirements(config, "library", size.binary / MIB, copy, dim, items, 0.0)
    word_rows: float = UNKNOWN_WORDS_MIB
    if config.embed.method != "mean":
        word_rows = min(WORD_ROWS_MIB, size.words * 4 * dim / MIB)
    return _requirements(config, "mapped", size.packed / MIB, 0.0, dim, items, word_rows)


def for_static(config: Config, path: Path, items: int) -> Requirements:
    """Requirements with a static model, of which a host has one mapped copy.

    Args:
        config: the sections [embed], [index] and [neighbors] are read.
        path: the packed file, or a directory that holds it or is to be packed.
        items: number of items in the catalogue.

    Raises:
        ModelError: it is no static model.
    """
    packed = static.find_packed(path)
    if packed is not None:
        dim = static.load(packed).dim
    else:
        dim = config.model.truncate_dim or static.read_source(path).rows.shape[1]
    model_bytes = size_of(packed or path)
    vector = vector_dim(config, dim)
    return _requirements(config, "mapped", model_bytes / MIB, 0.0, vector, items, WORD_ROWS_MIB)


def for_encoder(config: Config, model_bytes: int, dim: int, items: int) -> Requirements:
    """Requirements with a sentence encoder: one copy a worker.

    The memory that the encoder needs while it computes is not counted.

    Args:
        config: the sections [index] and [neighbors] are read.
        model_bytes: size of the encoder's directory.
        dim: length of its vectors, without the letters.
        items: number of items in the catalogue.
    """
    mib = model_bytes / MIB
    return _requirements(config, "encoder", mib, mib, vector_dim(config, dim), items, 0.0)


def ngram_rows(config: Config, words: int, buckets: int | None = None) -> int:
    """N-gram rows of a model that is still to be trained.

    Args:
        config: the section [model] is read.
        words: words of its vocabulary.
        buckets: what stands for model.bucket; None: that itself.
    """
    if config.model.maxn == 0:
        return 0
    rows = config.model.bucket if buckets is None else buckets
    return int(rows) or min(2_000_000, max(10_000, 20 * words))


def list_count(config: Config, items: int) -> int:
    """Number of lists that the index will have; 1 if the search is exact."""
    if items < config.index.exact_below:
        return 1
    return config.index.nlist or quantiser.list_count(items, config.index.sample_items)


def _requirements(
    config: Config,
    engine: Engine,
    model: float,
    private_copy: float,
    dim: int,
    items: int,
    word_rows: float,
) -> Requirements:
    explanation = f"{WORKER_MIB} + {WORD_ROWS_COPIES} x {word_rows:.0f} for rows of words"
    if private_copy:
        explanation = f"{WORKER_MIB} + {private_copy:,.0f} for a copy of the model of its own"
    worker = WORKER_MIB + WORD_ROWS_COPIES * word_rows + private_copy
    embed = StageMemory("embed", worker, 0 if private_copy else model, explanation)
    bound = config.neighbors.worker_mb * 1_000_000 / MIB
    centroids = list_count(config, items) * dim * 4 / MIB
    # Spark reuses Python workers, so they still hold what embed has loaded.
    left_by_embed = private_copy or word_rows
    explanation = (
        f"{bound:.0f} by neighbors.worker_mb + {left_by_embed:,.0f} of "
        f"{'the model' if private_copy else 'rows of words'} that embed left + "
        f"{centroids:.0f} for centroids"
    )
    neighbors = StageMemory("neighbors", bound + left_by_embed + centroids, 0.0, explanation)
    return Requirements(engine, model, private_copy, dim, (embed, neighbors))
