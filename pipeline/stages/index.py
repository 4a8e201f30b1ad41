"""index: embeddings -> quantiser and lists."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models import Handle, shipping
from pipeline.job import Job, Made
from pipeline.nearest import load_centroids
from pipeline.retrieval import quantiser
from pipeline.retrieval.vectors import from_lists, to_bytes
from pipeline.sampling import seeded_sample

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

NAME = "index"
CODE = (
    "pipeline.retrieval.quantiser",
    "pipeline.retrieval.ranking",
    "pipeline.retrieval.vectors",
    "pipeline.sampling",
    "pipeline.tables",
)


def inputs(job: Job) -> dict[str, Any]:
    """The embeddings and the index's settings."""
    return {
        "embeddings": job.record("embed").fingerprint,
        "index": job.config.index.model_dump(),
    }


def execute(job: Job, version: str) -> Made:
    """Put every vector into a list: the nearest; or where all are searched, any."""
    from pyspark.sql import functions as F

    section = job.config.index
    count = job.record("embed").outputs["vectors"]
    embeddings = job.read("embeddings", "embed").where("vector is not null")
    exact = count < section.exact_below
    nlist = section.nlist or quantiser.list_count(count)
    if exact or nlist == 1:
        lists, exact = hashed_lists(embeddings, nlist), True
    else:
        job.line.note = "training the quantiser"
        size = quantiser.sample_size(nlist, section.sample_items)
        centroids = quantiser.train(
            sample(embeddings, count, size, section.seed), nlist, section.seed
        )
        job.line.note = ""
        nlist = len(centroids)
        path = _save(job.store.quantiser_path(version), centroids)
        handle = shipping.ship(job.spark.sparkContext, Handle.of("quantiser", path))
        lists = assigned_lists(job.spread(embeddings, count), handle)
    rows = job.store.write(lists, "lists", version)
    written = job.store.read(job.spark, "lists", version)
    longest = written.groupBy("list").count().agg(F.max("count")).first()
    assert longest is not None  # noqa: S101 - an aggregate has one row
    imbalance = (longest[0] or 0) * nlist / rows if rows else 0.0
    return Made(
        tables={"lists": rows},
        counts={"lists": nlist, "exact": exact, "imbalance": round(imbalance, 2)},
        outputs={"vectors": rows, "lists": nlist, "exact": exact},
    )


def hashed_lists(embeddings: "DataFrame", nlist: int) -> "DataFrame":
    """The lists table of an exact search: lists by a hash of the vector."""
    from pyspark.sql import functions as F

    number = F.pmod(F.xxhash64("vector"), F.lit(nlist)).cast("int")
    return (
        embeddings.select("item_id", "vector")
        .mapInArrow(_with_bytes, "item_id string, vector binary")
        .select("item_id", number.alias("list"), "vector")
    )


def _with_bytes(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    for batch in batches:
        if batch.num_rows:
            columns = [batch["item_id"], to_bytes(from_lists(batch["vector"]))]
            yield pa.RecordBatch.from_arrays(columns, ["item_id", "vector"])


def assigned_lists(embeddings: "DataFrame", centroids: Handle) -> "DataFrame":
    """The lists table by a quantiser shipped as a file."""

    def assign(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        import pyarrow as pa

        loaded = load_centroids(centroids)
        for batch in batches:
            if not batch.num_rows:
                continue
            vectors = from_lists(batch["vector"])
            nearest = pa.array(quantiser.probe(vectors, loaded, 1)[:, 0])
            yield pa.RecordBatch.from_arrays(
                [batch["item_id"], nearest, to_bytes(vectors)], ["item_id", "list", "vector"]
            )

    return embeddings.select("item_id", "vector").mapInArrow(
        assign, "item_id string, list int, vector binary"
    )


def sample(embeddings: "DataFrame", total: int, most: int, seed: int) -> np.ndarray:
    """At most `most` vectors, chosen and ordered by a hash of the id: float32[n, dim]."""
    # Collected, but bounded by the setting whatever the catalogue's size.
    chosen = seeded_sample(embeddings.select("item_id", "vector"), total, most, seed)
    return from_lists(chosen.select("vector").toArrow()["vector"])


def _save(path: Path, centroids: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, centroids)
    beside = path.with_suffix(".writing")
    beside.write_bytes(buffer.getvalue())
    return beside.replace(path)
