"""The statistics of a catalogue that a model carries: document frequencies, counted by Spark."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from models.fasttext import Blend, BlendEmbedder, Embedder, TextModel
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

# The common direction is that of so many documents' vectors, each of its first tokens.
_SAMPLED_DOCUMENTS, _DOCUMENT_TOKENS = 10_000, 200
# The vectors of which the common direction is found: rare words count fully.
DIRECTION = Blend(dim=0, rare_weight=1.0)
# For models that read text, by kind: an encoder takes long for each.
SAMPLED_TEXTS = {"static": 10_000, "onnx": 1_000}
_COUNTS_DDL = "place int, documents long"


@dataclass(frozen=True)
class Documents:
    """What the statistics need of a sample of the catalogue, before there is a model.

    Attributes:
        counter: in how many documents each word and each n-gram occurs.
        tokens: list<string>, the first tokens of the documents of a smaller sample.
    """

    counter: DocumentCounter
    tokens: pa.Array


def read_documents(texts: "DataFrame", total: int, seed: int) -> Documents:
    """Read a sample of the catalogue.

    Args:
        texts: item_id string, tokens array<string>: the documents.
        total: about how many documents there are.
        seed: chooses the documents that the common direction is computed from.
    """
    counter = count_documents(texts)
    sample = collected_sample(_first_tokens(texts), total, _SAMPLED_DOCUMENTS, seed, "common")
    return Documents(counter, sample["tokens"].combine_chunks())


def compute(documents: Documents, embedder: Embedder) -> CatalogueStatistics:
    """The statistics of a sample of the catalogue.

    Args:
        documents: of the sample.
        embedder: the model; its own statistics are overwritten.
    """
    counter, tokens = documents.counter, documents.tokens
    # With a common direction of zeros nothing is subtracted from the vectors.
    embedder.statistics = counter.finish(np.zeros(embedder.dim, dtype=np.float32))
    if embedder.header.model == "static":
        # Distilled rows are centred: nothing is common to all items.
        return counter.finish(np.zeros(embedder.dim, dtype=np.float32))
    weighted_mean = BlendEmbedder(embedder, DIRECTION)
    vectors = weighted_mean.embed_fields(tokens, pa.nulls(len(tokens), tokens.type))
    return counter.finish(principal_direction(vectors))


def compute_of_texts(
    documents: Documents, texts: list[list[str]], model: TextModel
) -> CatalogueStatistics:
    """As `compute`, for a model that reads text.

    Args:
        documents: of the sample.
        texts: the fields of a sample of items, from which the common direction is computed.
        model: the model.
    """
    vectors = model.embed(texts)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, np.float32(1))
    return documents.counter.finish(principal_direction(unit.astype(np.float32)))


def _first_tokens(texts: "DataFrame") -> "DataFrame":
    """The documents, cut, so that long ones do not fill the driver's memory."""
    from pyspark.sql import functions as F

    return texts.select("item_id", F.slice("tokens", 1, _DOCUMENT_TOKENS).alias("tokens"))


def count_documents(texts: "DataFrame") -> DocumentCounter:
    """Count in how many documents each word and each n-gram occurs.

    Words and n-grams are counted by their hashes, so that each task and the result hold a table of
    bounded size.

    Args:
        texts: tokens array<string>, and any other columns.
    """
    from pyspark.sql import functions as F

    counts = texts.select("tokens").mapInArrow(_count_batches, _COUNTS_DDL)
    table = counts.groupBy("place").agg(F.sum("documents").alias("documents")).toArrow()
    sums = np.zeros(2 * TABLE_SIZE + 1, dtype=np.int64)
    sums[table["place"].to_numpy()] = table["documents"].to_numpy()
    counter = DocumentCounter()
    counter.word_documents = sums[:TABLE_SIZE]
    counter.ngram_documents = sums[TABLE_SIZE : 2 * TABLE_SIZE]
    counter.documents = int(sums[2 * TABLE_SIZE])
    return counter


def _count_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Count the documents of a task.

    Yields:
        the non-zero counts of the words' table, the n-grams' table and the number of documents,
        which stand one after the other, as place and documents.
    """
    counter = DocumentCounter()
    for batch in batches:
        tokens, offsets = Embedder.flatten_arrow(batch["tokens"])
        for start, stop in token_blocks(offsets):
            first, last = int(offsets[start]), int(offsets[stop])
            ends = offsets[start : stop + 1] - first
            counter.add(TokenBatch.from_arrow(tokens.slice(first, last - first), ends))
    sums = np.concatenate((counter.word_documents, counter.ngram_documents, [counter.documents]))
    places = np.flatnonzero(sums)
    yield pa.RecordBatch.from_arrays(
        [pa.array(places.astype(np.int32)), pa.array(sums[places])], ["place", "documents"]
    )
