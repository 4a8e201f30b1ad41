"""Embedding a batch of items: pure functions on Arrow arrays, also used by query and evaluation."""

from collections.abc import Iterable
from functools import lru_cache, reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models import Handle, embedder
from models.fasttext import Blend, BlendEmbedder, TextBlendEmbedder
from models.fasttext.item_features import ItemFeatures
from pipeline.errors import StageError
from pipeline.retrieval.vectors import from_bytes, to_bytes
from pipeline.text.clean import clean
from pipeline.text.promotional_phrases import PhraseRemover

# The models whose vectors have a part that is computed from tokens.
BlendOfTokens = BlendEmbedder | TextBlendEmbedder


def embed_batch(model: embedder.Embedder, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Embed the items of a batch.

    Args:
        model: the model.
        batch: item_id, and texts as `pipeline.stages.embed.stage.embed_rows` describes them.

    Returns:
        rows of the embeddings table; the vector of an item is null where it is zero.

    Raises:
        StageError: a value is too large for float16 or is not finite.
    """
    texts = batch["texts"]
    if isinstance(model, BlendEmbedder):
        tokens = field_tokens(model, texts)
        vectors = model.embed_fields(*tokens)
        counts = _token_counts(tokens)
    elif isinstance(model, TextBlendEmbedder):
        *token_texts, title, description = _columns(texts, 4 + model.field_count)
        tokens = tokens_read(model, *token_texts)
        cleaned = cleaned_fields(lists_of(title, description))
        vectors = model.embed_fields(*tokens, texts=cleaned.to_pylist())
        counts = _token_counts(tokens)
    else:
        texts = cleaned_fields(texts) if model.reads == "text" else split_tokens(texts)
        embed_arrow = getattr(model, "embed_arrow", None)
        vectors = embed_arrow(texts) if embed_arrow else model.embed(texts.to_pylist())
        counts = pc.list_value_length(texts)
    rounded = round_vectors(vectors)
    halves = pc.if_else(pa.array(rounded.any(axis=1)), to_bytes(rounded), None)
    return embedding_rows(batch["item_id"], counts.cast(pa.int32()), halves)


def _columns(texts: pa.Array, count: int) -> list[pa.Array]:
    """The columns that `lists_of` has put together."""
    values = texts.flatten()
    return [values[column::count] for column in range(count)]


def _token_counts(columns: Iterable[pa.Array]) -> pa.Array:
    return reduce(pc.add, map(pc.list_value_length, columns))


def round_vectors(vectors: np.ndarray) -> np.ndarray:
    """Round vectors to float16: the only place where the pipeline does so.

    Args:
        vectors: float32[n, dim].

    Returns:
        float16[n, dim].

    Raises:
        StageError: a value is too large for float16 or is not finite.
    """
    with np.errstate(over="ignore"):
        rounded = vectors.astype(np.float16)
    if not np.isfinite(rounded).all():
        raise StageError("embed: the model gives values beyond 65,504 or not finite")
    return rounded


def embedding_rows(ids: pa.Array, token_counts: pa.Array, halves: pa.Array) -> pa.RecordBatch:
    """Rows of the embeddings table.

    Args:
        ids: string[n].
        token_counts: int32[n].
        halves: binary[n], vectors in float16, all of one length; null for no vector.
    """
    vectors = from_bytes(halves.drop_null())
    sizes = np.asarray(halves.is_valid()) * (vectors.shape[1] if len(vectors) else 0)
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
    lists = pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel()), mask=halves.is_null())
    return pa.RecordBatch.from_arrays(
        [ids, lists, token_counts, halves], ["item_id", "vector", "tokens", "half"]
    )


def load_blend(handle: Handle, blend: Blend) -> BlendOfTokens:
    """The embedder of a shipped model that blends, loaded once in each process.

    Raises:
        ModelError: see `embedder.load_shipped`.
    """
    model = embedder.load_shipped(handle, None, blend)
    assert isinstance(model, BlendEmbedder | TextBlendEmbedder)  # noqa: S101 - a blend is asked for
    return model


def item_features(model: BlendOfTokens, texts: pa.Array) -> ItemFeatures:
    """What items are compared by exactly; `texts` are those of `field_tokens`."""
    return model.item_features(*field_tokens(model, texts))


def field_tokens(model: BlendOfTokens, texts: pa.Array) -> list[pa.Array]:
    """The tokens that a blend reads, with promotional phrases removed from titles.

    Args:
        model: the blend.
        texts: list<string>[n]: the tokens of the title, of the description and of each field.

    Returns:
        list<string>[n] of the titles, of the descriptions and of each field.
    """
    return tokens_read(model, *_columns(texts, 2 + model.field_count))


def tokens_read(model: embedder.Embedder, titles: pa.Array, *others: pa.Array) -> list[pa.Array]:
    """As `field_tokens`, from the columns of the tokens table, for any model that reads tokens."""
    if isinstance(model, BlendEmbedder | TextBlendEmbedder):
        titles = _phrase_remover(model.phrases).remove_from(titles)
    return [split_tokens(column) for column in (titles, *others)]


@lru_cache
def _phrase_remover(phrases: tuple[str, ...]) -> PhraseRemover:
    return PhraseRemover(tuple(phrase.split(" ")) for phrase in phrases)


def lists_of(*columns: pa.Array) -> pa.Array:
    """For each row the list of its values in the columns, which are n strings each."""
    count = len(columns[0])
    values = pa.concat_arrays(columns)
    interleaved = np.arange(len(values)).reshape(len(columns), count).T.ravel()
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * len(columns))
    return pa.ListArray.from_arrays(offsets, values.take(pa.array(interleaved)))


def cleaned_fields(texts: pa.Array) -> pa.Array:
    """Each item's fields of text, cleaned; fields that are empty then are left out."""
    cleaned = [[clean(field) for field in fields] for fields in texts.to_pylist()]
    non_empty = pa.array([[field for field in fields if field] for fields in cleaned])
    return non_empty.cast(pa.list_(pa.string()))


def split_tokens(texts: pa.Array) -> pa.Array:
    """Strings of tokens separated by single spaces, as lists."""
    parts = pc.split_pattern(texts, " ")
    empty = np.asarray(pc.equal(texts, ""))
    counts = np.where(empty, 0, np.asarray(pc.list_value_length(parts)))
    tokens = parts.flatten()
    if empty.any():
        # An empty string is split into one empty part.
        tokens = tokens.filter(pc.not_equal(tokens, ""))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), tokens)
