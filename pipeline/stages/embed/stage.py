"""embed: tokens, or text, and a model -> embeddings."""

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models import Handle, embedder
from models.fasttext import Blend, BlendEmbedder
from models.resident import LoadCounter
from pipeline.config.sections import EmbedSection
from pipeline.errors import StageError
from pipeline.retrieval.vectors import from_bytes, to_bytes
from pipeline.stages import incremental
from pipeline.stages.context import Job, StageResult
from pipeline.stages.tokenize import columns
from pipeline.store.arrow_files import Rows, Run
from pipeline.store.fingerprint import fingerprint
from pipeline.text.clean import clean
from pipeline.text.phrases import PhraseRemover

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "embed"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
CODE_VERSION = 1

_SCHEMA = "item_id string, vector array<float>, tokens int, half binary"


def inputs(job: Job) -> dict[str, Any]:
    """The tokens, the model's content, how vectors are made.

    Raises:
        StageError: the model was trained on tokens of other rules.
    """
    tokens, model = job.record("tokenize"), job.record("train")
    made_of, needed = tokens.outputs["text_fingerprint"], model.outputs["text_fingerprint"]
    if made_of != needed:
        raise StageError(
            f"embed: the model's text fingerprint is {needed}, the tokens' is {made_of}; "
            "train again: nitamono train --config FILE"
        )
    if blend(job) is not None and not model.outputs.get("statistics"):
        raise StageError(
            "embed: the model carries no statistics of a catalogue, which every method but mean "
            'needs; train again: nitamono train --config FILE, or set embed.method = "mean"'
        )
    return {
        "tokens": tokens.fingerprint,
        "model": model.outputs["sha256"],
    } | method(job)


def method(job: Job) -> dict[str, Any]:
    """The settings that decide how vectors are made, those that make a difference."""
    section = job.config.embed
    if job.record("train").outputs["kind"] == "onnx":
        return {"method": "encoder"}
    used = {
        "mean": {"method"},
        "weighted": {"method", "title_weight", "description_weight", "drop_phrases"},
        "blend": set(EmbedSection.model_fields),
    }
    return section.model_dump(include=used[section.method])


def blend(job: Job) -> Blend | None:
    """How vectors are made of a model's; None: as its own."""
    section = job.config.embed
    if section.method == "mean" or job.record("train").outputs["kind"] == "onnx":
        return None
    return Blend(
        dim=section.dim if section.method == "blend" else 0,
        lexical_weight=section.lexical_weight,
        title_weight=section.title_weight,
        description_weight=section.description_weight,
        drop_phrases=section.drop_phrases,
    )


def execute(job: Job, version: str) -> StageResult:
    """Embed every item; an item none of whose tokens has a vector gets null."""
    from pyspark.sql import functions as F

    outputs, tokens = job.record("train").outputs, job.record("tokenize")
    mine = inputs(job)
    before = mine | {"tokens": tokens.outputs["base"]}
    base = incremental.stage_base(job, (NAME, CODE_VERSION), "tokenize", before)
    handle = ship(job)
    counter = LoadCounter(job.spark.sparkContext)
    way = blend(job)
    texts, rows = _texts(job, way), tokens.tables["tokens"]
    if base.record is None:
        asked = _asked(job.spread(texts, rows))
    else:
        changes = job.read("changes", "tokenize")
        changed = tokens.counts["changes"]
        rows = changed[incremental.ADDED] + changed[incremental.CHANGED]
        changed_items = incremental.items_to_compute(changes)
        texts = job.spread(texts.join(changed_items, "item_id", how="left_semi"), rows)
        table = job.store.read(job.spark, "embeddings", base.record.fingerprint)
        known = table.select("item_id", F.lit(None).cast(texts.dtypes[1][1]), "tokens", "half")
        known = known.toDF("item_id", "texts", "tokens", "half")
        asked = incremental.apply_changes(known, changes, _asked(texts))
    written = job.store.write_arrow("embeddings", version, Rows(asked, _run(handle, counter, way)))
    table = job.store.read(job.spark, "embeddings", version)
    with_vector = table.where(F.col("half").isNotNull()).count()
    return StageResult(
        tables={"embeddings": written},
        counts={
            "embedded": rows,
            "vectors": with_vector,
            "items_without_vector": written - with_vector,
            "model_loads": counter.summary(),
        },
        outputs={
            "vectors": with_vector,
            "base": base.record and base.record.fingerprint,
            "why": base.why,
            "dim": outputs["dim"] + (way.lexical_dim(outputs["dim"]) if way else 0),
            "text_fingerprint": outputs["text_fingerprint"],
            # Vectors of one space can be compared.
            "space": fingerprint(
                {
                    "code": CODE_VERSION,
                    "model": outputs["sha256"],
                    "text": outputs["text_fingerprint"],
                }
                | method(job)
            ),
        },
    )


def _texts(job: Job, way: Blend | None) -> "DataFrame":
    """What the model reads of every item: item_id, texts; see `embed`."""
    from pyspark.sql import functions as F

    if job.record("train").outputs["kind"] == "onnx":
        texts = job.read("items", "ingest").select("item_id", F.array("title", "description"))
    else:
        fields = F.array("title_tokens", "description_tokens")
        column = fields if way else columns.together()
        texts = job.read("tokens", "tokenize").select("item_id", column)
    return texts.toDF("item_id", "texts")


def sample(job: Job, way: Blend | None, handle: Handle, counter: LoadCounter, most: int) -> Rows:
    """The stage's work on some items, chosen by a hash of their ids: rows that are to be written.

    Args:
        job: with the records of the stages before.
        way: how vectors are made of the model's.
        handle: the model, as shipped.
        counter: is told of every load.
        most: how many items, about.
    """
    from pyspark.sql import functions as F

    texts, total = _texts(job, way), max(job.record("tokenize").tables["tokens"], 1)
    if most < total:
        place = F.pmod(F.xxhash64(F.lit("sample"), "item_id"), F.lit(total))
        texts = texts.where(place < F.lit(most))
    return Rows(_asked(job.spread(texts, min(most, total))), _run(handle, counter, way))


def ship(job: Job) -> Handle:
    """Make the store's model available to the executors.

    Raises:
        StageError: it is not what was put there.
    """
    record = job.record("train")
    path = job.store.model_file(record)
    handle = job.ship(path, record.outputs["kind"], job.config.model.ship)
    if handle.sha256 != record.outputs["sha256"]:
        raise StageError(
            f"embed: {path} is damaged; delete it and run: nitamono train --config FILE"
        )
    return handle


def embed(
    texts: "DataFrame", handle: Handle, counter: LoadCounter, way: Blend | None = None
) -> "DataFrame":
    """The embeddings table of the lists in `texts`; the model is loaded once a Python process.

    Args:
        texts: item_id, and texts: the tokens as the tokens table has them, string; with a blend
            those of title and description, array<string>; or for a model that reads text an item's
            fields, array<string>, which are cleaned here.
        handle: the model, as shipped.
        counter: is told of every load.
        way: how vectors are made of the model's; None: as its own.
    """
    return _asked(texts).mapInArrow(_run(handle, counter, way), _SCHEMA)


def _asked(texts: "DataFrame") -> "DataFrame":
    """Rows that are to be embedded: beside those the embeddings of an earlier night may stand."""
    from pyspark.sql import functions as F

    return texts.withColumns(
        {"tokens": F.lit(None).cast("int"), "half": F.lit(None).cast("binary")}
    )


def _run(handle: Handle, counter: LoadCounter, way: Blend | None) -> Run:
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            new = batch["texts"].is_valid()
            if pc.any(new).as_py():
                yield embed_batch(embedder.load_shipped(handle, counter, way), batch.filter(new))
            known = batch.filter(pc.invert(new))
            if known.num_rows:
                yield _embeddings(known["item_id"], known["tokens"], known["half"])

    return run


def embed_batch(model: embedder.Embedder, batch: pa.RecordBatch) -> pa.RecordBatch:
    """The embeddings of a batch of item_id, texts. Vectors are rounded to float16 here only."""
    texts = batch["texts"]
    if isinstance(model, BlendEmbedder):
        titles, descriptions = fields(model, texts)
        vectors = model.embed_fields(titles, descriptions)
        counts = pc.add(pc.list_value_length(titles), pc.list_value_length(descriptions))
    else:
        texts = _cleaned(texts) if model.reads == "text" else _tokens(texts)
        in_arrow = getattr(model, "embed_arrow", None)
        vectors = in_arrow(texts) if in_arrow else model.embed(texts.to_pylist())
        counts = pc.list_value_length(texts)
    rounded = round_vectors(vectors)
    halves = pc.if_else(pa.array(rounded.any(axis=1)), to_bytes(rounded), None)
    return _embeddings(batch["item_id"], counts.cast(pa.int32()), halves)


def fields(model: BlendEmbedder, texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """What a blend reads: the tokens of titles, phrases left out, and of descriptions, as lists.

    Args:
        model: the blend.
        texts: two strings an item, title and description.
    """
    titles, descriptions = (texts.flatten()[place::2] for place in (0, 1))
    titles = _phrase_remover(model.phrases).remove_from(titles)
    return _tokens(titles), _tokens(descriptions)


@lru_cache
def _phrase_remover(phrases: tuple[str, ...]) -> PhraseRemover:
    return PhraseRemover(tuple(phrase.split(" ")) for phrase in phrases)


def _cleaned(texts: pa.Array) -> pa.Array:
    """Fields of text as a model reads them, those that hold nothing left out."""
    cleaned = [[clean(field) for field in fields] for fields in texts.to_pylist()]
    kept = pa.array([[field for field in fields if field] for fields in cleaned])
    return kept.cast(pa.list_(pa.string()))


def _embeddings(ids: pa.Array, tokens: pa.Array, halves: pa.Array) -> pa.RecordBatch:
    """Rows of the embeddings table."""
    vectors = from_bytes(halves.drop_null())
    sizes = np.asarray(halves.is_valid()) * (vectors.shape[1] if len(vectors) else 0)
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
    lists = pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel()), mask=halves.is_null())
    return pa.RecordBatch.from_arrays(
        [ids, lists, tokens, halves], ["item_id", "vector", "tokens", "half"]
    )


def _tokens(texts: pa.Array) -> pa.Array:
    """Tokens separated by spaces, as lists."""
    parts = pc.split_pattern(texts, " ")
    none = np.asarray(pc.equal(texts, ""))
    counts = np.where(none, 0, np.asarray(pc.list_value_length(parts)))
    tokens = parts.flatten()
    if none.any():
        # Of no text a part is split off that is empty.
        tokens = tokens.filter(pc.not_equal(tokens, ""))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), tokens)


def round_vectors(vectors: np.ndarray) -> np.ndarray:
    """Vectors as float16[n, dim].

    Raises:
        StageError: a value is too large for float16 or is not finite.
    """
    with np.errstate(over="ignore"):
        rounded = vectors.astype(np.float16)
    if not np.isfinite(rounded).all():
        raise StageError("embed: the model gives values beyond 65,504 or not finite")
    return rounded
