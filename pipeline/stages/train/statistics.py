"""Statistics of the catalogue for a model: document frequencies, counted by Spark."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from models.fasttext import Blend, BlendEmbedder, Embedder
from models.fasttext.catalogue_statistics import (
    TABLE_SIZE,
    CatalogueStatistics,
    DocumentCounter,
    principal_direction,
)
from models.fasttext.embedder import token_blocks
from models.fasttext.token_batch import TokenBatch
from pipeline.spark.sampling import collected_sample

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Documents whose vectors tell what is common to all.
_VECTORS = 10_000
_TOKENS = 200
_SCHEMA = "place int, documents long"


def count(texts: "DataFrame", total: int, embedder: Embedder, seed: int) -> CatalogueStatistics:
    """Count a sample of the catalogue.

    Args:
        texts: item_id string, tokens array<string>: the documents.
        total: about how many there are.
        embedder: the model; what statistics it carries are replaced.
        seed: of the choice of documents that tell what is common.
    """
    counts = document_counts(texts)
    few = collected_sample(_begun(texts), total, _VECTORS, seed, "common")
    # As long as nothing is known to be common, vectors are whole.
    embedder.statistics = counts.finish(np.zeros(embedder.dim, dtype=np.float32))
    whole = BlendEmbedder(embedder, Blend(dim=0))
    tokens = few["tokens"].combine_chunks()
    vectors = whole.embed_fields(tokens, pa.nulls(len(tokens), tokens.type))
    return counts.finish(principal_direction(vectors))


def _begun(texts: "DataFrame") -> "DataFrame":
    """The beginnings of documents: long ones must not fill the driver."""
    from pyspark.sql import functions as F

    return texts.select("item_id", F.slice("tokens", 1, _TOKENS).alias("tokens"))


def document_counts(texts: "DataFrame") -> DocumentCounter:
    """In how many documents words and n-grams occur, by hash: a bounded table a task and in all.

    Args:
        texts: tokens array<string>, and any other columns.
    """
    from pyspark.sql import functions as F

    counted = texts.select("tokens").mapInArrow(_count_batches, _SCHEMA)
    table = counted.groupBy("place").agg(F.sum("documents").alias("documents")).toArrow()
    every = np.zeros(2 * TABLE_SIZE + 1, dtype=np.int64)
    every[table["place"].to_numpy()] = table["documents"].to_numpy()
    counts = DocumentCounter()
    counts.word_documents = every[:TABLE_SIZE]
    counts.ngram_documents = every[TABLE_SIZE : 2 * TABLE_SIZE]
    counts.documents = int(every[2 * TABLE_SIZE])
    return counts


def _count_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """All that is not zero of: the words' counters, the n-grams', the number of documents."""
    counts = DocumentCounter()
    for batch in batches:
        tokens, offsets = Embedder.flatten_arrow(batch["tokens"])
        for start, stop in token_blocks(offsets):
            first, last = int(offsets[start]), int(offsets[stop])
            ends = offsets[start : stop + 1] - first
            counts.add(TokenBatch.from_arrow(tokens.slice(first, last - first), ends))
    every = np.concatenate((counts.word_documents, counts.ngram_documents, [counts.documents]))
    places = np.flatnonzero(every)
    yield pa.RecordBatch.from_arrays(
        [pa.array(places.astype(np.int32)), pa.array(every[places])], ["place", "documents"]
    )
