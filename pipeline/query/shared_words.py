"""The words that a question shares with its neighbours, as the published table has them."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.query.embedding import TextEmbedder
from pipeline.query.published import Published
from pipeline.retrieval.shared_words import ShownTitles, best_words
from pipeline.stages.publish.shared_words import TABLE, words_of_items
from pipeline.store import item_rows
from pipeline.text.shown_words import shown_title, shown_words


class SharedWords:
    """The words of the titles of a version."""

    def __init__(self, published: Published, embedder: TextEmbedder) -> None:
        """Find the version's table.

        Raises:
            UsageError: it is gone.
        """
        self._store, self._version = published.store, published.table(TABLE, "publish")
        self._embedder = embedder

    @classmethod
    def of(cls, published: Published, embedder: TextEmbedder) -> "SharedWords | None":
        """The words of a version; None if its table has no column of shared words.

        Raises:
            UsageError: the table of the words is gone.
        """
        is_set = published.record("publish").inputs.get("reasons")
        return cls(published, embedder) if is_set else None

    def of_questions(
        self, texts: pa.RecordBatch, tokens: pa.RecordBatch, neighbors: list[list[str | None]]
    ) -> list[list[list[str]]]:
        """The shared words of each question with each of its neighbours.

        Args:
            texts: n rows with a title.
            tokens: their rows of the tokens table.
            neighbors: n times the ids of the neighbours; None for those that have no words.
        """
        counts = [len(ids) for ids in neighbors]
        ids = pa.array([item for one in neighbors for item in one], pa.string())
        wanted = [item for item in ids.to_pylist() if item is not None]
        words = item_rows.find_rows(
            self._store, TABLE, self._version, wanted, ["words"], in_order=True
        ).combine_chunks()
        others = words["words"].take(pc.index_in(ids, words["item_id"]))
        own = words_of_items(self._embedder.model, tokens)
        titles = map(shown_title, texts["title"].to_pylist())
        shown = [shown_words(self._embedder.tokenizer, title) for title in titles]
        shared = best_words(
            ShownTitles.of(own["words"], own["tokens"], shown),
            np.repeat(np.arange(len(counts)), counts),
            others.combine_chunks() if isinstance(others, pa.ChunkedArray) else others,
        ).to_pylist()
        ends = np.cumsum([0, *counts]).tolist()
        return [shared[start:end] for start, end in pairwise(ends)]
