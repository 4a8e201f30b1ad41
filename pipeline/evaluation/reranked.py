"""The vectors of settings as a method of an evaluation: as they are, or with rank.rerank."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config.sections import Config, RankSection
from pipeline.errors import UsageError
from pipeline.evaluation.catalogue_columns import collect
from pipeline.evaluation.methods import LOWEST_COSINE, Dense, Method
from pipeline.evaluation.sample import StageTables
from pipeline.query.published import Published
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.reranking import ComparedItems, finer_scores
from pipeline.retrieval.vectors import Float64
from pipeline.stages.embed.batches import item_features, load_blend
from pipeline.stages.neighbors.chosen_lists import NEEDS_TOKENS
from pipeline.stages.tokenize import token_columns

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Reranked:
    """The best by the vectors, ranked again: see pipeline.retrieval.reranking."""

    def __init__(self, dense: Dense, items: ComparedItems, rank: RankSection) -> None:
        """Prepare.

        Args:
            dense: the items' vectors.
            items: the same items, by what they are compared by.
            rank: says how many are ranked again.
        """
        self._dense, self._items, self._rank = dense, items, rank

    def nearest(self, k: int) -> Int64:
        """See Method."""
        nearest = self._dense.nearest(self._rank.candidates(k))
        row, column = np.nonzero(nearest >= 0)
        scores = np.full(nearest.shape, np.float32(-np.inf))
        finer = finer_scores(self._items, row.astype(np.int64), nearest[row, column])
        scores[row, column] = finer.astype(np.float32)
        # The lowest id first of those that tie, and last what is none.
        order = np.lexsort((nearest, -scores), axis=1)
        return np.take_along_axis(nearest, order, axis=1)[:, :k]

    def cosines(self, left: Int64, right: Int64) -> Float64:
        """The finer score of each pair of items; -1 where one has no vector."""
        scores = self._dense.cosines(left, right)
        both = scores > LOWEST_COSINE
        scores[both] = finer_scores(self._items, left[both], right[both])
        return scores


def method_of(
    spark: "SparkSession", settings: Config, tables: StageTables, ids: pa.Array, halves: pa.Array
) -> Method:
    """What the vectors of some settings find; of [rank], rank.rerank and rank.depth count.

    Args:
        spark: the session.
        settings: the config.
        tables: what its stages have written.
        ids: string[n], ascending.
        halves: binary[n], float16, the items' vectors; null for no vector.

    Raises:
        UsageError: the vectors are of a kind that can't be ranked again.
    """
    from pyspark.sql import functions as F

    dense = Dense(halves)
    if not settings.rank.rerank or halves.null_count == len(halves):
        return dense
    stages = {name: record.fingerprint for name, record in tables.records.items()}
    made = Published(tables.store, "", "", stages)
    if made.blend is None:
        raise UsageError(NEEDS_TOKENS)
    model = load_blend(made.model(), made.blend)
    tokens = tables.read(spark, "tokens", "tokenize")
    sample = spark.createDataFrame(pa.table({"item_id": ids}))
    texts = collect(tokens, sample, texts=F.array(*token_columns.names(tokens.columns)))["texts"]
    features = item_features(model, texts.combine_chunks())
    # An item without a vector is in no pair.
    filled = pc.fill_null(halves, bytes(len(halves.drop_null()[0].as_py())))
    items = ComparedItems.of(ids, filled, features, model.letters_from)
    return Reranked(dense, items, settings.rank)
