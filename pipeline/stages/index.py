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
from pipeline.retrieval import groups, quantiser
from pipeline.retrieval.vectors import from_bytes, to_binary
from pipeline.sampling import collected_sample
from pipeline.tables import LISTS

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

NAME = "index"
CODE = (
    "pipeline.lasting",
    "pipeline.retrieval.groups",
    "pipeline.retrieval.line",
    "pipeline.retrieval.quantiser",
    "pipeline.retrieval.ranking",
    "pipeline.retrieval.vectors",
    "pipeline.sampling",
    "pipeline.tables",
)

_SCHEMA = "item_id string, list int, probes binary, vector binary, hash bigint, file int"
# How many of its nearest lists an item is given.
PROBES = 16
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
        files = min(_files(job), nlist)
        rows = _write(job, hashed_lists(vectors, nlist, files), files, version)
        return _made(job, rows, nlist, _imbalance(job, version, nlist), None)
    used, earlier = lasting.version(job), lasting.find(job)
    if used is not None and earlier is not None:
        rows = _assign(job, vectors, used, version)
        imbalance = _imbalance(job, version, earlier.lists)
        if not lasting.unbalanced(earlier, imbalance):
            return _made(job, rows, earlier.lists, imbalance, used)
        job.store.discard("lists", version)
    job.line.note = "training the quantiser"
    size = quantiser.sample_size(nlist, section.sample_items)
    points = sample(vectors, count, size, section.seed)
    centroids = quantiser.train(points, nlist, section.seed)
    job.line.note = ""
    _save(job.store.quantiser_path(version), centroids)
    _save(job.store.quantiser_sizes_path(version), quantiser.sizes(points, centroids))
    nlist = len(centroids)
    rows = _assign(job, vectors, version, version)
    imbalance = _imbalance(job, version, nlist)
    mine = job.record("embed").fingerprint
    lasting.keep(job, lasting.Lasting(version, mine, used, nlist, imbalance))
    return _made(job, rows, nlist, imbalance, version)


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
    files = groups.pieces(np.maximum(sizes, 1), _files(job))
    return _write(job, assigned_lists(spread, handle, files), files.groups, version)


def _files(job: Job) -> int:
    """In how many files the lists table is written, about."""
    about = job.record("embed").outputs
    size: int = about["vectors"] * (2 * about["dim"] + _BYTES_AN_ITEM)
    return max(job.spark.sparkContext.defaultParallelism, -(-size // _FILE_BYTES))


def _write(job: Job, lists: "DataFrame", files: int, version: str) -> int:
    """Write the lists table in the order of the lists, equal vectors together."""
    from pyspark.sql import functions as F

    placed = lists.repartitionById(files, F.col("file"))
    rows = placed.sortWithinPartitions("list", "hash", "item_id").select(*LISTS)
    return job.store.write(rows, "lists", version)


def _imbalance(job: Job, version: str, nlist: int) -> float:
    """The longest list over the mean."""
    from pyspark.sql import functions as F

    sizes = job.store.read(job.spark, "lists", version).groupBy("list").count()
    found = sizes.agg(F.max("count"), F.sum("count")).first()
    assert found is not None  # noqa: S101 - an aggregate has one row
    return round(found[0] * nlist / found[1], 2) if found[1] else 0.0


def hashed_lists(vectors: "DataFrame", nlist: int, files: int) -> "DataFrame":
    """The lists table of an exact search: lists by a hash of the vector.

    Args:
        vectors: item_id string, vector binary.
        nlist: number of lists.
        files: how many files the table is written in.

    Returns:
        the table, and hash bigint of the vector, file int.
    """
    from pyspark.sql import functions as F

    number = F.pmod("hash", F.lit(nlist)).cast("int")
    return (
        _hashed(vectors)
        .withColumns({"list": number, "probes": F.lit(None).cast("binary")})
        .withColumn("file", F.floor(F.col("list") * files / nlist).cast("int"))
    )


def assigned_lists(vectors: "DataFrame", centroids: Handle, files: groups.Plan) -> "DataFrame":
    """The lists table by a quantiser shipped as a file, and which file each row belongs to.

    Args:
        vectors: item_id string, vector binary.
        centroids: the quantiser.
        files: which lists come into one file.

    Returns:
        the table, and hash bigint of the vector, file int.
    """
    names = [*LISTS, "hash", "file"]

    def assign(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        import pyarrow as pa

        loaded = load_centroids(centroids)
        for batch in batches:
            if batch.num_rows:
                nearest = quantiser.probe(from_bytes(batch["vector"]), loaded, PROBES)
                lists, hashes = nearest[:, 0], batch["hash"].to_numpy()
                file = files.group[files.units(lists.astype(np.int64), hashes)]
                columns = [batch["item_id"], pa.array(lists), probes_bytes(nearest)]
                columns += [batch["vector"], batch["hash"], pa.array(file.astype(np.int32))]
                yield pa.RecordBatch.from_arrays(columns, names)

    return _hashed(vectors).mapInArrow(assign, _SCHEMA)


def _hashed(vectors: "DataFrame") -> "DataFrame":
    from pyspark.sql import functions as F

    return vectors.withColumn("hash", F.xxhash64("vector"))


def sample(vectors: "DataFrame", total: int, most: int, seed: int) -> np.ndarray:
    """At most `most` vectors, chosen and ordered by a hash of the id: float32[n, dim]."""
    # Collected, but bounded by the setting whatever the catalogue's size.
    return from_bytes(collected_sample(vectors, total, most, seed, "quantiser")["vector"])


def probes_bytes(probes: "np.ndarray") -> "pa.Array":
    """int[n, m] as a binary column, each row in little-endian int32."""
    rows = np.ascontiguousarray(probes, dtype="<i4")
    return to_binary(rows.reshape(-1).view(np.uint8), np.full(len(rows), 4 * rows.shape[1]))


def _save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, values)
    beside = path.with_name(f"_writing-{uuid.uuid4().hex}")
    beside.write_bytes(buffer.getvalue())
    return beside.replace(path)
