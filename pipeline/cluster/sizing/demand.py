"""How much memory the stages take: of a JVM, of a Python worker, of what a host shares.

In MiB. The terms stand in the README under Sizing, where a test holds them to this.
"""

from dataclasses import dataclass
from typing import Literal

from models.fasttext import ModelSize
from pipeline.cluster.sizing.amount import MIB
from pipeline.config.sections import Config
from pipeline.retrieval import quantiser

# Spark keeps 300 MiB of a heap for itself (UnifiedMemoryManager.RESERVED_SYSTEM_MEMORY_BYTES), and
# gives tasks 60% of the rest: of 512 MiB a task 307, more than two shuffle partitions of 128 MiB.
HEAP_MIB, HEAP_A_TASK_MIB = 300, 512
# What a JVM takes beside its heap: the least of Spark's own default, and its share.
JVM_MIB, JVM_SHARE = 384, 0.10
# A Python worker with its libraries, a batch and what becomes of it, without words' rows:
# benchmarks/memory.py --words 1000 --buckets 1000, 215 MiB.
WORKER_MIB = 220
# Rows of words that a worker keeps (models/fasttext/words.py), and how many times so much there
# is while they are turned over: the old rows, the new, and those that stay.
ROWS_MIB, TURNED_OVER = 256, 3
# Vectors of words outside the vocabulary (models/fasttext/kept.py); all that the method mean keeps.
UNKNOWN_MIB = 32

Engine = Literal["mapped", "library", "encoder"]


@dataclass(frozen=True)
class Stage:
    """What a stage takes.

    Attributes:
        name: of the stage.
        worker: MiB of a Python worker's own.
        shared: MiB of files that all workers of a host map.
        why: what the worker's memory consists of.
    """

    name: str
    worker: float
    shared: float
    why: str


@dataclass(frozen=True)
class Demand:
    """What a catalogue and a model ask for.

    Attributes:
        engine: mapped: one copy of the model a host; library and encoder: one a Python worker.
        model: MiB of the model's file, as it is shipped.
        copy: MiB of a worker's own copy; 0 where it is mapped.
        dim: length of an item's vector.
        stages: those that take most.
    """

    engine: Engine
    model: float
    copy: float
    dim: int
    stages: tuple[Stage, ...]

    @property
    def worker(self) -> float:
        """MiB of a Python worker's own, at most."""
        return max(stage.worker for stage in self.stages)


def jvm(cores: int) -> tuple[int, int]:
    """MiB of an executor's heap, and of what its JVM takes beside it."""
    heap = HEAP_MIB + HEAP_A_TASK_MIB * cores
    return heap, max(JVM_MIB, int(JVM_SHARE * heap))


def vector_dim(config: Config, model_dim: int) -> int:
    """Length of an item's vector."""
    from models.fasttext import Blend

    if config.model.kind == "onnx" or config.embed.method != "blend":
        return model_dim
    return model_dim + Blend(dim=config.embed.dim).lexical(model_dim)


def of_fasttext(config: Config, size: ModelSize, items: int) -> Demand:
    """What a fastText model asks for, under a config's settings.

    Args:
        config: [model], [embed], [index] and [neighbors] of it.
        size: of the model.
        items: in the catalogue.
    """
    dim = vector_dim(config, size.dim)
    if config.model.engine == "library":
        copy = size.library / MIB
        return _demand(config, "library", size.binary / MIB, copy, dim, items, 0.0)
    kept: float = UNKNOWN_MIB
    if config.embed.method != "mean":
        kept = min(ROWS_MIB, size.words * 4 * dim / MIB)
    return _demand(config, "mapped", size.packed / MIB, 0.0, dim, items, kept)


def of_encoder(config: Config, file: int, dim: int, items: int) -> Demand:
    """What a sentence encoder asks for: a copy a worker. What it calculates with is not in it.

    Args:
        config: [index] and [neighbors] of it.
        file: bytes of its directory.
        dim: length of its vectors.
        items: in the catalogue.
    """
    return _demand(config, "encoder", file / MIB, file / MIB, dim, items, 0.0)


def lists(config: Config, items: int) -> int:
    """How many lists the catalogue will be cut into; 1: it is searched exactly."""
    if items < config.index.exact_below:
        return 1
    return config.index.nlist or quantiser.list_count(items, config.index.sample_items)


def _demand(
    config: Config, engine: Engine, model: float, copy: float, dim: int, items: int, kept: float
) -> Demand:
    words = TURNED_OVER * kept
    embed_why = f"{WORKER_MIB} + {TURNED_OVER} x {kept:.0f} for rows of words"
    if copy:
        embed_why = f"{WORKER_MIB} + {copy:,.0f} for a copy of the model of its own"
    embed = Stage("embed", WORKER_MIB + words + copy, 0 if copy else model, embed_why)
    bound = config.neighbors.worker_mb * 1_000_000 / MIB
    centroids = lists(config, items) * dim * 4 / MIB
    left = copy or kept
    what = "the model" if copy else "rows of words"
    why = (
        f"{bound:.0f} by neighbors.worker_mb + {left:,.0f} of {what} that embed left + "
        f"{centroids:.0f} for centroids"
    )
    neighbors = Stage("neighbors", bound + left + centroids, 0.0, why)
    return Demand(engine, model, copy, dim, (embed, neighbors))
