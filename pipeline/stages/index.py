"""index: embeddings -> quantiser and lists."""

import io
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models import Handle, shipping
from pipeline import lasting
from pipeline.job import Job, Made
from pipeline.nearest import load_centroids
from pipeline.retrieval import quantiser
from pipeline.retrieval.vectors import from_bytes
from pipeline.sampling import collected_sample

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

NAME = "index"
CODE = (
    "pipeline.lasting",
    "pipeline.retrieval.quantiser",
    "pipeline.retrieval.ranking",
    "pipeline.retrieval.vectors",
    "pipeline.sampling",
    "pipeline.tables",
)

_SCHEMA = "item_id string, list int, vector binary"


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
        rows = job.store.write(hashed_lists(vectors, nlist), "lists", version)
        return _made(rows, nlist, _imbalance(job, version, nlist), None)
    used, earlier = lasting.version(job), lasting.find(job)
    if used is not None and earlier is not None:
        rows = _assign(job, vectors, used, version)
        imbalance = _imbalance(job, version, earlier.lists)
        if not lasting.unbalanced(earlier, imbalance):
            return _made(rows, earlier.lists, imbalance, used)
        job.store.discard("lists", version)
    job.line.note = "training the quantiser"
    size = quantiser.sample_size(nlist, section.sample_items)
    centroids = quantiser.train(sample(vectors, count, size, section.seed), nlist, section.seed)
    job.line.note = ""
    _save(job.store.quantiser_path(version), centroids)
    nlist = len(centroids)
    rows = _assign(job, vectors, version, version)
    imbalance = _imbalance(job, version, nlist)
    mine = job.record("embed").fingerprint
    lasting.keep(job, lasting.Lasting(version, mine, used, nlist, imbalance))
    return _made(rows, nlist, imbalance, version)


def _made(rows: int, nlist: int, imbalance: float, used: str | None) -> Made:
    counts = {"lists": nlist, "exact": used is None, "imbalance": imbalance, "quantiser": used}
    outputs = {"vectors": rows, "lists": nlist, "exact": used is None, "quantiser": used}
    return Made(tables={"lists": rows}, counts=counts, outputs=outputs)


def _assign(job: Job, vectors: "DataFrame", used: str, version: str) -> int:
    """Write the lists table by the quantiser of this version."""
    path = job.store.quantiser_path(used)
    handle = shipping.ship(job.spark.sparkContext, path, kind="quantiser")
    spread = job.spread(vectors, job.record("embed").outputs["vectors"])
    return job.store.write(assigned_lists(spread, handle), "lists", version)


def _imbalance(job: Job, version: str, nlist: int) -> float:
    """The longest list over the mean."""
    from pyspark.sql import functions as F

    sizes = job.store.read(job.spark, "lists", version).groupBy("list").count()
    found = sizes.agg(F.max("count"), F.sum("count")).first()
    assert found is not None  # noqa: S101 - an aggregate has one row
    return round(found[0] * nlist / found[1], 2) if found[1] else 0.0


def hashed_lists(vectors: "DataFrame", nlist: int) -> "DataFrame":
    """The lists table of an exact search: lists by a hash of the vector.

    Args:
        vectors: item_id string, vector binary.
        nlist: number of lists.
    """
    from pyspark.sql import functions as F

    number = F.pmod(F.xxhash64("vector"), F.lit(nlist)).cast("int")
    return vectors.select("item_id", number.alias("list"), "vector")


def assigned_lists(vectors: "DataFrame", centroids: Handle) -> "DataFrame":
    """The lists table by a quantiser shipped as a file; `vectors` as for `hashed_lists`."""

    def assign(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        import pyarrow as pa

        loaded = load_centroids(centroids)
        for batch in batches:
            if batch.num_rows:
                nearest = quantiser.probe(from_bytes(batch["vector"]), loaded, 1)[:, 0]
                columns = [batch["item_id"], pa.array(nearest), batch["vector"]]
                yield pa.RecordBatch.from_arrays(columns, ["item_id", "list", "vector"])

    return vectors.mapInArrow(assign, _SCHEMA)


def sample(vectors: "DataFrame", total: int, most: int, seed: int) -> np.ndarray:
    """At most `most` vectors, chosen and ordered by a hash of the id: float32[n, dim]."""
    # Collected, but bounded by the setting whatever the catalogue's size.
    return from_bytes(collected_sample(vectors, total, most, seed, "quantiser")["vector"])


def _save(path: Path, centroids: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, centroids)
    beside = path.with_name(f"_writing-{uuid.uuid4().hex}")
    beside.write_bytes(buffer.getvalue())
    return beside.replace(path)
