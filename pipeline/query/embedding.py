"""Tokens and vectors of texts, made as the stages make those of the catalogue."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from models import embedder
from models.fasttext import BlendEmbedder, TextBlendEmbedder
from pipeline.config.sections import Config
from pipeline.query.published import Published
from pipeline.stages.embed.batches import embed_batch, lists_of
from pipeline.stages.tokenize import token_columns
from pipeline.stages.tokenize.stage import tokenize_batch
from pipeline.text.placeholders import Placeholders
from pipeline.text.tokenize import Tokenizer


@dataclass(frozen=True)
class TextEmbedder:
    """A version's tokenizer and model, loaded in this process.

    Attributes:
        tokenizer: the tokenizer with the version's text settings.
        model: the model, with the version's way to make vectors.
        placeholders: the texts that count as none.
    """

    tokenizer: Tokenizer
    model: embedder.Embedder
    placeholders: Placeholders

    @classmethod
    def load(cls, published: Published, config: Config) -> "TextEmbedder":
        """Load the tokenizer and the model of a version.

        Raises:
            UsageError: the version's text settings or model are not available here.
        """
        model = embedder.load_shipped(published.model(), None, published.blend)
        return cls(Tokenizer(published.text(config)), model, published.placeholders)

    def without_placeholders(self, texts: pa.RecordBatch) -> pa.RecordBatch:
        """The rows, null in title and description where a placeholder counts as no text."""
        for name in ("title", "description"):
            values = map(self.placeholders.text, texts[name].to_pylist())
            texts = texts.set_column(
                texts.schema.get_field_index(name), name, pa.array(values, pa.string())
            )
        return texts

    def tokens(self, texts: pa.RecordBatch) -> pa.RecordBatch:
        """Rows of the tokens table for rows with item_id, title, description and fields."""
        return tokenize_batch(self.tokenizer, texts)

    def vectors(self, texts: pa.RecordBatch, tokens: pa.RecordBatch) -> pa.RecordBatch:
        """Rows of the embeddings table.

        Args:
            texts: columns item_id, title, description.
            tokens: the same rows' tokens.
        """
        columns = [texts["item_id"], self._model_input(texts, tokens)]
        return embed_batch(self.model, pa.RecordBatch.from_arrays(columns, ["item_id", "texts"]))

    def _model_input(self, texts: pa.RecordBatch, tokens: pa.RecordBatch) -> pa.Array:
        """What the model reads of each row; see pipeline.stages.embed.batches."""
        columns = [tokens[name] for name in token_columns.names(tokens.schema.names)]
        fields = texts["title"], texts["description"]
        if isinstance(self.model, TextBlendEmbedder):
            return lists_of(*columns, *fields)
        if self.model.reads == "text":
            return lists_of(*fields)
        if isinstance(self.model, BlendEmbedder):
            return lists_of(*columns)
        return pc.utf8_trim(pc.binary_join_element_wise(*columns, " "), " ")
