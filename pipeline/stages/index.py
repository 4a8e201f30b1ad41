"""index: embeddings -> quantiser and lists."""

import io
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models import Handle, shipping
from pipeline import lasting
from pipeline.job import Job, Made
from pipeline.nearest import load_centroids
from pipeline.processes import mark
from pipeline.retrieval import groups, listed, parcels, quantiser
from pipeline.retrieval.listed import Locate
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.vectors import from_bytes
from pipeline.sampling import collected_sample

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

NAME = "index"
CODE = (
    "pipeline.lasting",
    "pipeline.retrieval.groups",
    "pipeline.retrieval.line",
    "pipeline.retrieval.listed",
    "pipeline.retrieval.parcels",
    "pipeline.retrieval.quantiser",
    "pipeline.retrieval.ranking",
    "pipeline.retrieval.vectors",
    "pipeline.sampling",
    "pipeline.tables",
)

# How many of its nearest lists an item is given.
PROBES = 8
_FILE_BYTES, _BYTES_AN_ITEM = 128 << 20, 100


def inputs(job: Job) -> dict[str, Any]:
    """The embeddings, the index's settings, and the quantiser if an earlier night's is used."""
    exact = job.record("embed").outputs["vectors"] < job.config.index.exact_below
    return {
        "embeddings": job.record("embed").fingerprint,
        "index": job.config.index.model_dump(),
        "quantiser": None if exact else lasting.version(job),
    }


def execute(job: Job, version: str) -> Made:
    """Put every vector into a list: the nearest; or where all are searched, any."""
    from pyspark.sql import functions as F

    section = job.config.index
    count = job.record("embed").outputs["vectors"]
    embeddings = job.read("embeddings", "embed").where("half is not null")
    vectors = embeddings.select("item_id", F.col("half").alias("vector"))
    nlist = section.nlist or quantiser.list_count(count, section.sample_items)
    if count < section.exact_below or nlist == 1:
        rows = _write(job, vectors, hashed_lists(nlist), np.ones(nlist, np.int64), version)
        return _made(job, rows, nlist, _imbalance(job, version, nlist), None)
    used, earlier = lasting.version(job), lasting.find(job)
    if earlier is not None and used == earlier.version:
        trial = job.store.trial(version)
        rows = _assign(job, vectors, used, trial)
        imbalance = _imbalance(job, trial, earlier.lists)
        if not lasting.unbalanced(earlier, imbalance):
            job.store.rename("lists", trial, version)
            return _made(job, rows, earlier.lists, imbalance, used)
        job.store.discard("lists", trial)
    nlist = _train(job, vectors, nlist, version)
    rows = _assign(job, vectors, version, version)
    imbalance = _imbalance(job, version, nlist)
    return _made(job, rows, nlist, imbalance, version)


def _train(job: Job, vectors: "DataFrame", nlist: int, version: str) -> int:
    """Train the quantiser of this version, unless a run that was broken off has done so.

    Returns:
        how many lists it has.
    """
    section, count = job.config.index, job.record("embed").outputs["vectors"]
    path, sizes = job.store.quantiser_path(version), job.store.quantiser_sizes_path(version)
    if not (path.exists() and sizes.exists()):
        job.line.note = "training the quantiser"
        size = quantiser.sample_size(nlist, section.sample_items)
        points = sample(vectors, count, size, section.seed)
        centroids = quantiser.train(points, nlist, section.seed)
        job.line.note = ""
        _save(path, centroids)
        _save(sizes, quantiser.sizes(points, centroids))
    return len(np.load(path))


def _made(job: Job, rows: int, nlist: int, imbalance: float, used: str | None) -> Made:
    counts = {"lists": nlist, "exact": used is None, "imbalance": imbalance, "quantiser": used}
    outputs: dict[str, Any] = {
        "vectors": rows,
        "lists": nlist,
        "exact": used is None,
        "quantiser": used,
    }
    outputs["dim"] = job.record("embed").outputs["dim"]
    return Made(tables={"lists": rows}, counts=counts, outputs=outputs)


def _assign(job: Job, vectors: "DataFrame", used: str, version: str) -> int:
    """Write the lists table by the quantiser of this version."""
    path = job.store.quantiser_path(used)
    handle = shipping.ship(job.spark.sparkContext, path, kind="quantiser")
    spread = job.spread(vectors, job.record("embed").outputs["vectors"])
    # How large the lists are, about, in relation to each other.
    sizes = np.load(job.store.quantiser_sizes_path(used))
    return _write(job, spread, near_lists(handle, PROBES), sizes, version)


def _write(job: Job, vectors: "DataFrame", locate: Locate, sizes: Int64, version: str) -> int:
    about = job.record("embed").outputs
    size = about["vectors"] * (2 * about["dim"] + _BYTES_AN_ITEM)
    files = max(job.spark.sparkContext.defaultParallelism, -(-size // _FILE_BYTES))
    places = groups.pieces(np.maximum(sizes, 1), files)
    return job.store.write(in_order(vectors, locate, places), "lists", version)


def in_order(vectors: "DataFrame", locate: Locate, files: groups.Plan) -> "DataFrame":
    """The lists table, one partition a file, each in the order of the lists.

    Args:
        vectors: item_id string, vector binary.
        locate: gives the nearest lists of vectors, on an executor.
        files: which lists come into one file.
    """
    from pyspark.sql import functions as F

    def send(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return listed.send(batches, locate, files)

    hashed = vectors.withColumn("hash", F.xxhash64("vector"))
    sent = hashed.mapInArrow(send, parcels.DDL)
    by_file = sent.repartitionById(files.groups, F.col("key").cast("int"))
    return by_file.mapInArrow(listed.receive, listed.DDL)


def _imbalance(job: Job, version: str, nlist: int) -> float:
    """The longest list over the mean."""
    from pyspark.sql import functions as F

    sizes = job.store.read(job.spark, "lists", version).groupBy("list").count()
    found = sizes.agg(F.max("count"), F.sum("count")).first()
    assert found is not None  # noqa: S101 - an aggregate has one row
    return round(found[0] * nlist / found[1], 2) if found[1] else 0.0


def hashed_lists(nlist: int) -> Locate:
    """Lists by a hash of the vector, for an exact search."""
    return lambda rows: (rows["hash"].to_numpy() % nlist).astype(np.int32)[:, None]


def near_lists(centroids: Handle, most: int) -> Locate:
    """The nearest lists by a quantiser shipped as a file, at most so many."""

    def locate(rows: "pa.RecordBatch") -> "np.ndarray":
        return quantiser.probe(from_bytes(rows["vector"]), load_centroids(centroids), most)

    return locate


def sample(vectors: "DataFrame", total: int, most: int, seed: int) -> np.ndarray:
    """At most `most` vectors, chosen and ordered by a hash of the id: float32[n, dim]."""
    # Collected, but bounded by the setting whatever the catalogue's size.
    return from_bytes(collected_sample(vectors, total, most, seed, "quantiser")["vector"])


def _save(path: Path, values: np.ndarray) -> None:
    """Write a file whole or not at all; where another run was first, what it wrote stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, values)
    beside = path.with_name(f"_writing-{mark()}")
    try:
        beside.write_bytes(buffer.getvalue())
        with suppress(FileExistsError):
            os.link(beside, path)
    finally:
        beside.unlink(missing_ok=True)
