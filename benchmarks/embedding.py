"""Documents embedded a second: the plain Python UDF of many articles against a mapped model.

These jobs run in one session on the same tokens, and their output is discarded:
    article   a Python UDF, a singleton model, one get_sentence_vector and .tolist() a row
    pandas    the same calls in a scalar Pandas UDF
    iterator  the packed model in an Iterator Pandas UDF
    arrow     the packed model in mapInArrow: the method "mean"
    weighted  the same with the method "weighted", all tokens as a title
    blend     the same with the method "blend"
`ratio_job` compares whole Spark jobs. `ratio_compute` compares the time inside the UDF only; one
worker runs both sides batch by batch on the same documents and compares their vectors too.
`methods` compares the other methods with "mean" in the same two ways.
"""

import argparse
import json
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from models import fasttext, resident
from pipeline.spark import session
from pipeline.stages.train import statistics

_FILES = 16
_CHARACTERS = (
    "アイウエオカキクケコサシスセソタチツテトあいうえお水日本電気料理送品無税箱色白黒赤青大小"
)
_TOLERANCE = 1e-6
# The lengths of the vectors of the methods other than mean; 0 for the model's own.
METHODS = {"weighted": 0, "blend": fasttext.Blend().dim}
# The ways that are timed inside a worker, in this order.
TIMED = ("article", "arrow", "iterator", *METHODS)


@dataclass(frozen=True)
class Size:
    """Sizes of the model and of the data.

    Attributes:
        documents: documents of the Spark jobs.
        compute_documents: how many of them are timed inside a worker.
        tokens: mean number of tokens of a document.
        words: words in the vocabulary.
        unknown: share of tokens that are not in the vocabulary.
        bucket: n-gram rows.
        dim: length of a vector.
    """

    documents: int
    compute_documents: int
    tokens: int
    words: int
    unknown: float
    bucket: int
    dim: int


def make_words(count: int, rng: np.random.Generator) -> list[str]:
    """Generate different words of 2 to 8 characters."""
    words: dict[str, None] = {}
    characters = np.array(list(_CHARACTERS))
    while len(words) < count:
        for length in rng.integers(2, 9, size=count).tolist():
            words["".join(rng.choice(characters, size=length))] = None
    return list(words)[:count]


def write_model(path: Path, words: list[str], size: Size, rng: np.random.Generator) -> None:
    """Write an untrained skipgram model of random rows in fastText's own format (version 12)."""
    with path.open("wb") as file:
        args = (size.dim, 5, 5, 1, 5, 1, 1, 2, size.bucket, 3, 6, 100)
        file.write(struct.pack("<2i12id", 793712314, 12, *args, 1e-4))
        file.write(struct.pack("<3i2q", len(words), len(words), 0, len(words), -1))
        for word in words:
            file.write(word.encode() + b"\0" + struct.pack("<qb", 1, 0))
        for rows in (len(words) + size.bucket, len(words)):
            file.write(struct.pack("<Bqq", 0, rows, size.dim))
            for start in range(0, rows, 10_000):
                shape = (min(10_000, rows - start), size.dim)
                file.write(rng.standard_normal(shape, dtype=np.float32).tobytes())


def write_documents(
    folder: Path, vocabulary: list[str], outside: list[str], size: Size, rng: np.random.Generator
) -> None:
    """Write token lists as Parquet, with word frequencies by Zipf's law."""
    words = pa.array(vocabulary + outside)
    cumulative = [np.cumsum(1 / np.arange(1, len(part) + 1)) for part in (vocabulary, outside)]
    for file in range(_FILES):
        documents = size.documents // _FILES + (file < size.documents % _FILES)
        lengths = np.maximum(rng.poisson(size.tokens, documents), 1)
        total = int(lengths.sum())
        draws = [np.searchsorted(sums, rng.random(total) * sums[-1]) for sums in cumulative]
        codes = np.where(rng.random(total) < size.unknown, draws[1] + len(vocabulary), draws[0])
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
        column = pa.ListArray.from_arrays(pa.array(offsets), words.take(pa.array(codes)))
        pq.write_table(pa.table({"tokens": column}), folder / f"part-{file:02}.parquet")


def library_vector(path: str, tokens: list[str]) -> list[float]:
    """Return the library's vector as a list, as the article's UDF does for each row."""

    def load() -> Any:  # noqa: ANN401 - the library is untyped
        import fasttext as library

        return library.load_model(path)

    model = resident.get(("library", path), load)
    return model.get_sentence_vector(" ".join(tokens)).tolist()  # type: ignore[no-any-return]


def packed_model(path: str) -> fasttext.Embedder:
    """Return the packed model, loaded once in this process."""

    def load() -> fasttext.Embedder:
        model = fasttext.load(path)
        assert isinstance(model, fasttext.Embedder)  # noqa: S101 - it was packed here
        return model

    return resident.get(("packed", path), load)


def as_lists(vectors: np.ndarray) -> pa.Array:
    """Return float32[n, dim] as an Arrow column of lists, without a copy."""
    offsets = np.arange(len(vectors) + 1, dtype=np.int32) * np.int32(vectors.shape[1])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(vectors.ravel()))


def embed_batches(path: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Embed batches with the method mean, in mapInArrow."""
    model = packed_model(path)
    for batch in batches:
        vectors = as_lists(model.embed_arrow(batch.column("tokens")))
        yield pa.RecordBatch.from_arrays([vectors], ["vector"])


def blend_model(path: str, dim: int) -> fasttext.BlendEmbedder:
    """Return the packed model with the method blend, or with weighted if dim is 0."""
    blend = replace(fasttext.Blend(), dim=dim)
    return resident.get(
        ("blend", path, blend), lambda: fasttext.BlendEmbedder(packed_model(path), blend)
    )


def blend_vectors(model: fasttext.BlendEmbedder, tokens: pa.Array) -> np.ndarray:
    """Return the vectors of documents that have a title only."""
    return model.embed_fields(tokens, pa.nulls(len(tokens), tokens.type))


def blend_batches(
    path: str, dim: int, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """As `embed_batches`, with the method blend or weighted."""
    model = blend_model(path, dim)
    for batch in batches:
        vectors = as_lists(blend_vectors(model, batch.column("tokens")))
        yield pa.RecordBatch.from_arrays([vectors], ["vector"])


def blend_job(packed: str, dim: int, tokens: "DataFrame") -> "DataFrame":
    """Return a column of vectors of the method blend or weighted."""
    return tokens.mapInArrow(partial(blend_batches, packed, dim), "vector array<float>")


def jobs(library: str, packed: str) -> dict[str, Callable[["DataFrame"], "DataFrame"]]:
    """Return the functions that make a column of vectors, by name."""
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.functions import pandas_udf
    from pyspark.sql.types import ArrayType, FloatType

    article = F.udf(partial(library_vector, library), ArrayType(FloatType()), useArrow=False)

    def scalar(tokens: pd.Series) -> pd.Series:
        return tokens.map(lambda row: library_vector(library, row))

    def iterator(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        model = packed_model(packed)
        for batch in batches:
            yield pd.Series(list(model.embed(batch.tolist())), dtype=object)

    pandas: Any = pandas_udf(scalar, "array<float>")  # type: ignore[call-overload]
    packed_udf = cast("Any", pandas_udf)("array<float>")(iterator)
    return {
        "article": lambda tokens: tokens.select(article("tokens").alias("vector")),
        "pandas": lambda tokens: tokens.select(pandas("tokens").alias("vector")),
        "iterator": lambda tokens: tokens.select(packed_udf("tokens").alias("vector")),
        "arrow": lambda tokens: tokens.mapInArrow(
            partial(embed_batches, packed), "vector array<float>"
        ),
        **{name: partial(blend_job, packed, dim) for name, dim in METHODS.items()},
    }


def time_batches(
    library: str, packed: str, batches: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Time each way's own code for each batch, in seconds, and compare the vectors."""
    model = packed_model(packed)
    blend_models = [blend_model(packed, dim) for dim in METHODS.values()]
    library_vector(library, [])
    for batch in batches:
        tokens = batch.column("tokens")
        rows = tokens.to_pylist()
        times = [time.perf_counter()]
        library_vectors = [library_vector(library, row) for row in rows]
        times.append(time.perf_counter())
        as_lists(model.embed_arrow(tokens))
        times.append(time.perf_counter())
        vectors = model.embed(rows)
        times.append(time.perf_counter())
        for blend in blend_models:
            as_lists(blend_vectors(blend, tokens))
            times.append(time.perf_counter())
        difference = float(np.abs(vectors - np.array(library_vectors, dtype=np.float32)).max())
        seconds = np.diff(times).tolist()
        names = [*TIMED, "difference", "documents"]
        values = [[value] for value in (*seconds, difference, float(len(rows)))]
        yield pa.RecordBatch.from_arrays([pa.array(value) for value in values], names)


def measure_compute(
    tokens: "DataFrame", documents: int, library: str, packed: str
) -> dict[str, float]:
    """Sum the results of `time_batches` for some documents in one task."""
    schema = ", ".join(f"{name} double" for name in (*TIMED, "difference", "documents"))
    batches = (
        tokens.limit(documents)
        .coalesce(1)
        .mapInArrow(partial(time_batches, library, packed), schema)
        .toPandas()
    )
    sums = {str(name): float(total) for name, total in batches.sum().items()}
    return sums | {"difference": float(batches["difference"].max())}


def add_statistics(packed: Path, tokens: "DataFrame") -> None:
    """Add statistics of the documents to the model, as the stage train does."""
    from pyspark.sql import functions as F

    texts = tokens.select(F.xxhash64("tokens").cast("string").alias("item_id"), "tokens")
    model = packed_model(str(packed))
    documents = statistics.read_documents(texts.distinct(), texts.count(), 0)
    fasttext.add_statistics(packed, statistics.compute(documents, model))


def make_data(folder: Path, size: Size, seed: int) -> Path:
    """Write the documents, and the model in fastText's own format, whose path is returned."""
    rng = np.random.default_rng(seed)
    words = make_words(2 * size.words, rng)
    vocabulary, outside = words[: size.words], words[size.words :]
    library = folder / "model.bin"
    write_model(library, vocabulary, size, rng)
    (folder / "documents").mkdir()
    write_documents(folder / "documents", vocabulary, outside, size, rng)
    return library


def run(spark: "SparkSession", folder: Path, size: Size, seed: int) -> dict[str, Any]:
    """Make the data and the model, run all jobs, and return the results."""
    library = make_data(folder, size, seed)
    start = time.perf_counter()
    packed = fasttext.pack(library, folder / "packed")
    pack_seconds = time.perf_counter() - start
    tokens = spark.read.parquet(str(folder / "documents"))
    add_statistics(packed, tokens)
    seconds: dict[str, float] = {}
    for name, embed in jobs(str(library), str(packed)).items():
        print(f"running {name} ...", file=sys.stderr)
        start = time.perf_counter()
        embed(tokens).write.format("noop").mode("overwrite").save()
        seconds[name] = time.perf_counter() - start
    print("timing inside a worker ...", file=sys.stderr)
    compute = measure_compute(tokens, size.compute_documents, str(library), str(packed))
    timed_documents = compute.pop("documents")
    difference = compute.pop("difference")
    fastest = min(("iterator", "arrow"), key=seconds.__getitem__)
    return {
        **vars(size),
        "documents_per_second": {
            name: size.documents / elapsed for name, elapsed in seconds.items()
        },
        "compute_documents_per_second": {
            name: timed_documents / elapsed for name, elapsed in compute.items()
        },
        "chosen": fastest,
        "ratio_compute": compute["article"] / compute[fastest],
        "ratio_job": seconds["article"] / seconds[fastest],
        "methods": {
            name: {
                "job": seconds["arrow"] / seconds[name],
                "compute": compute["arrow"] / compute[name],
            }
            for name in METHODS
        },
        "largest_difference": difference,
        "vectors_same": difference <= _TOLERANCE,
        "pack_seconds": pack_seconds,
    }


def show(results: dict[str, Any]) -> None:
    """Print the results as a table."""
    inside = results["compute_documents_per_second"]
    print(f"{'way':10}{'job, documents/s':>20}{'in the worker, documents/s':>30}")
    for name, rate in results["documents_per_second"].items():
        print(f"{name:10}{rate:>20,.0f}{f'{inside[name]:,.0f}' if name in inside else '-':>30}")
    print(
        f"{results['chosen']} against article: job {results['ratio_job']:.1f} times, "
        f"compute {results['ratio_compute']:.1f} times; "
        f"vectors differ by at most {results['largest_difference']:.1e}"
    )
    for name, ratios in results["methods"].items():
        job, compute = ratios["job"], ratios["compute"]
        print(f"{name} against mean: job {job:.2f} times, compute {compute:.2f} times")


def main() -> int:
    """Run the benchmark; 1 if the vectors differ."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--compute-documents", type=int, default=200_000)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--words", type=int, default=100_000)
    parser.add_argument("--unknown", type=float, default=0.05)
    parser.add_argument("--bucket", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    arguments = vars(parser.parse_args())
    as_json, seed = arguments.pop("json"), arguments.pop("seed")
    size = Size(**arguments)
    size = replace(size, compute_documents=min(size.compute_documents, size.documents))
    with tempfile.TemporaryDirectory(prefix="nitamono-benchmark-") as name:
        folder = Path(name)
        settings = session.settings({"spark.master": "local[2]", "spark.log.level": "ERROR"})
        spark = SparkSession.builder.config(map=dict(settings)).getOrCreate()
        try:
            results = run(spark, folder, size, seed)
        finally:
            spark.stop()
    show(results)
    if as_json:
        print(json.dumps(results))
    return 0 if results["vectors_same"] else 1


if __name__ == "__main__":
    sys.exit(main())
