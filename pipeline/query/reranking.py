"""What the candidates of questions are ranked again by: see pipeline.retrieval.reranking."""

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.query.embedding import TextEmbedder
from pipeline.query.published import Published
from pipeline.retrieval.reranking import ComparedItems
from pipeline.stages.embed.batches import BlendOfTokens, item_features, lists_of
from pipeline.stages.tokenize import token_columns
from pipeline.store import item_rows


class Reranker:
    """The tokens of a version, and its model."""

    def __init__(self, published: Published, model: BlendOfTokens) -> None:
        """Find the version's tokens.

        Raises:
            UsageError: they are gone.
        """
        self._store, self._version = published.store, published.table("tokens", "tokenize")
        self._model = model

    @classmethod
    def of(cls, published: Published, embedder: TextEmbedder) -> "Reranker | None":
        """What ranks the candidates of a version again; None if nothing does.

        Raises:
            UsageError: the version's tokens are gone.
        """
        if not published.rank.rerank:
            return None
        assert isinstance(embedder.model, BlendOfTokens)  # noqa: S101 - the stage has checked it
        return cls(published, embedder.model)

    def compare(
        self, ids: pa.Array, vectors: pa.Array, tokens: pa.RecordBatch, halves: pa.Array
    ) -> ComparedItems:
        """Items of the catalogue, and after them questions, by what they are compared by.

        Args:
            ids: string[n], of the items.
            vectors: binary[n], float16, theirs.
            tokens: m rows of the tokens table, of the questions.
            halves: binary[m], their vectors.
        """
        names = token_columns.names(tokens.schema.names)
        rows = item_rows.find_rows(
            self._store, "tokens", self._version, ids.to_pylist(), names
        ).combine_chunks()
        rows = rows.take(pc.index_in(ids, rows["item_id"].combine_chunks()))
        texts = [pa.concat_arrays([*rows[name].chunks, tokens[name]]) for name in names]
        return ComparedItems.of(
            pa.concat_arrays([ids, pa.nulls(len(halves), ids.type)]),
            pa.concat_arrays([vectors, halves.cast(vectors.type)]),
            item_features(self._model, lists_of(*texts)),
            self._model.letters_from,
        )
