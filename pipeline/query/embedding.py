"""Vectors of texts, made as the batch makes those of the catalogue."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models import embedder
from models.fasttext import BlendEmbedder
from pipeline.config.sections import Config
from pipeline.query.published import Published
from pipeline.stages.embed.stage import embed_batch
from pipeline.stages.tokenize.stage import tokenize_batch
from pipeline.text.tokenize import Tokenizer


@dataclass(frozen=True)
class Embedding:
    """A version's tokenizer and model, in this process.

    Attributes:
        tokenizer: under the version's text settings.
        model: its model, and how vectors are made of it.
    """

    tokenizer: Tokenizer
    model: embedder.Embedder

    @classmethod
    def of(cls, published: Published, config: Config) -> "Embedding":
        """Load them.

        Raises:
            UsageError: the version's tokens or model can't be had here.
        """
        handle, way = published.model(), published.way
        return cls(Tokenizer(published.text(config)), embedder.load_shipped(handle, None, way))

    def tokens(self, texts: pa.RecordBatch) -> pa.RecordBatch:
        """Rows of the tokens table; of columns item_id, title, description."""
        return tokenize_batch(self.tokenizer, texts)

    def vectors(self, texts: pa.RecordBatch, tokens: pa.RecordBatch) -> pa.RecordBatch:
        """Rows of the embeddings table.

        Args:
            texts: columns item_id, title, description.
            tokens: of the same rows.
        """
        read = self._read(texts, tokens)
        asked = pa.RecordBatch.from_arrays([texts["item_id"], read], ["item_id", "texts"])
        return embed_batch(self.model, asked)

    def _read(self, texts: pa.RecordBatch, tokens: pa.RecordBatch) -> pa.Array:
        """What the model reads of each; see pipeline.stages.embed.stage."""
        both = tokens["title_tokens"], tokens["description_tokens"]
        if self.model.reads == "text":
            return _pairs(texts["title"], texts["description"])
        if isinstance(self.model, BlendEmbedder):
            return _pairs(*both)
        return pc.utf8_trim(pc.binary_join_element_wise(*both, " "), " ")


def _pairs(first: pa.Array, second: pa.Array) -> pa.Array:
    """Lists of two strings."""
    values = pa.concat_arrays([first, second])
    places = np.arange(len(values)).reshape(2, -1).T.ravel()
    offsets = pa.array(np.arange(len(first) + 1, dtype=np.int32) * 2)
    return pa.ListArray.from_arrays(offsets, values.take(pa.array(places)))
