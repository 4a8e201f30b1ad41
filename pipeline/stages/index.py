"""index: embeddings -> quantiser and lists."""

import io
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models import Handle, resident, shipping
from pipeline.job import Job, Made
from pipeline.retrieval import quantiser
from pipeline.retrieval.vectors import from_lists, to_bytes
from pipeline.sampling import seeded_sample

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

NAME = "index"
CODE = (
    "pipeline.retrieval.quantiser",
    "pipeline.retrieval.vectors",
    "pipeline.sampling",
    "pipeline.tables",
)

_SCHEMA = "item_id string, list int, probes array<int>, vector binary"


def inputs(job: Job) -> dict[str, Any]:
    """The embeddings, the index's settings, and how many lists are probed."""
    return {
        "embeddings": job.record("embed").fingerprint,
        "index": job.config.index.model_dump(),
        "nprobe": job.config.neighbors.nprobe,
    }


def execute(job: Job, version: str) -> Made:
    """Put every vector into a list, and name the lists that it is compared with."""
    section = job.config.index
    count = job.record("embed").outputs["vectors"]
    embeddings = job.read("embeddings", "embed").where("vector is not null")
    exact = count < section.exact_below
    nlist = section.nlist or quantiser.list_count(count, section.sample_items)
    if exact or nlist == 1:
        lists = hashed_lists(embeddings, nlist)
        nprobe, exact = nlist, True
    else:
        size = quantiser.sample_size(nlist, section.sample_items)
        centroids = quantiser.train(
            sample(embeddings, count, size, section.seed), nlist, section.seed
        )
        nlist, nprobe = len(centroids), min(job.config.neighbors.nprobe, len(centroids))
        path = _save(job.store.quantiser_path(version), centroids)
        handle = shipping.ship(job.spark.sparkContext, path, kind="quantiser")
        lists = assigned_lists(job.spread(embeddings, count), handle, nprobe)
    rows = job.store.write(lists, "lists", version)
    counts = {"lists": nlist, "probes": nprobe, "exact": exact}
    return Made(tables={"lists": rows}, counts=counts, outputs={"vectors": rows, **counts})


def hashed_lists(embeddings: "DataFrame", nlist: int) -> "DataFrame":
    """The lists table of an exact search: lists by a hash of the id, every one of them probed."""
    from pyspark.sql import functions as F

    number = F.pmod(F.xxhash64("item_id"), F.lit(nlist)).cast("int")
    every = F.array(*[F.lit(i) for i in range(nlist)]).cast("array<int>")
    return (
        embeddings.select("item_id", "vector")
        .mapInArrow(_with_bytes, "item_id string, vector binary")
        .select("item_id", number.alias("list"), every.alias("probes"), "vector")
    )


def _with_bytes(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    for batch in batches:
        if batch.num_rows:
            halves = pa.array(to_bytes(from_lists(batch["vector"])), pa.binary())
            yield pa.RecordBatch.from_arrays([batch["item_id"], halves], ["item_id", "vector"])


def assigned_lists(embeddings: "DataFrame", centroids: Handle, nprobe: int) -> "DataFrame":
    """The lists table by a quantiser shipped as a file: the nearest list, and those probed."""

    def assign(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        import pyarrow as pa

        loaded = resident.get(centroids.key, lambda: np.load(shipping.local_path(centroids)))
        for batch in batches:
            if not batch.num_rows:
                continue
            vectors = from_lists(batch["vector"])
            probes = quantiser.probe(vectors, loaded, nprobe)
            offsets = np.arange(len(probes) + 1, dtype=np.int32) * probes.shape[1]
            yield pa.RecordBatch.from_arrays(
                [
                    batch["item_id"],
                    pa.array(probes[:, 0]),
                    pa.ListArray.from_arrays(pa.array(offsets), pa.array(probes.ravel())),
                    pa.array(to_bytes(vectors), pa.binary()),
                ],
                ["item_id", "list", "probes", "vector"],
            )

    return embeddings.select("item_id", "vector").mapInArrow(assign, _SCHEMA)


def sample(embeddings: "DataFrame", total: int, most: int, seed: int) -> np.ndarray:
    """At most `most` vectors, chosen and ordered by a hash of the id: float32[n, dim]."""
    # Collected, but bounded by the setting whatever the catalogue's size.
    chosen = seeded_sample(embeddings.select("item_id", "vector"), total, most, seed)
    return from_lists(chosen.select("vector").toArrow()["vector"])


def _save(path: Path, centroids: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, centroids)
    beside = path.with_name(f"_writing-{uuid.uuid4().hex}")
    beside.write_bytes(buffer.getvalue())
    return beside.replace(path)
