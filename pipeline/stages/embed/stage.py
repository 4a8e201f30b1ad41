"""embed: tokens, or text, and a model -> embeddings."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from models import Handle, embedder
from models.fasttext import Blend
from models.resident import LoadCounter
from pipeline.config.sections import EmbedSection
from pipeline.config.sections.vectors import LEXICAL_WEIGHT
from pipeline.errors import StageError, UsageError
from pipeline.stages import incremental
from pipeline.stages.context import Job, StageResult
from pipeline.stages.embed.batches import embed_batch, embedding_rows
from pipeline.stages.tokenize import token_columns
from pipeline.store.arrow_files import Rows, Run
from pipeline.store.fingerprint import fingerprint
from pipeline.store.stage_record import StageRecord

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "embed"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
CODE_VERSION = 3


def inputs(job: Job) -> dict[str, Any]:
    """The tokens, the model's content, and the settings that decide how vectors are computed.

    Raises:
        StageError: the model was trained on tokens of other text rules, or lacks statistics.
    """
    tokens, model = job.record("tokenize"), job.record("train")
    token_rules, model_rules = (r.outputs["text_fingerprint"] for r in (tokens, model))
    if token_rules != model_rules:
        raise StageError(
            f"embed: the model's text fingerprint is {model_rules}, the tokens' is {token_rules}; "
            "train again: nitamono train --config FILE"
        )
    if blend_settings(job) is not None and not model.outputs.get("statistics"):
        raise StageError(
            "embed: the model carries no statistics of a catalogue, which every method but mean "
            'needs; train again: nitamono train --config FILE, or set embed.method = "mean"'
        )
    if job.config.publish.reasons and reads_text(job):
        raise UsageError(
            "publish.reasons needs vectors that are sums over the catalogue's words; this model "
            "reads text and makes none: leave it out, or use another model"
        )
    return {
        "tokens": tokens.fingerprint,
        "model": model.outputs["sha256"],
    } | method_settings(job)


def method_settings(job: Job) -> dict[str, Any]:
    """The settings of [embed] that have an effect under the method that is set."""
    section, model = job.config.embed, job.record("train").outputs
    if model["kind"] == "onnx" and blend_settings(job) is None:
        return {"method": "encoder"}
    effective = {
        "mean": {"method"},
        "weighted": {"method", "title_weight", "description_weight", "drop_phrases"},
        "blend": set(EmbedSection.model_fields),
    }
    settings = section.model_dump(include=effective[section.method])
    if section.method != "mean":
        settings["rare_weight"] = Blend.rare_weight
    if section.method == "blend":
        settings["lexical_weight"] = _lexical_weight(job)
    return settings


def _lexical_weight(job: Job) -> float:
    weight = job.config.embed.lexical_weight
    return LEXICAL_WEIGHT if weight is None else weight


def blend_settings(job: Job) -> Blend | None:
    """How a blend or weighted mean is computed; None where the model computes its own vectors."""
    section, model = job.config.embed, job.record("train").outputs
    # Releases before 0.3 counted no statistics for an encoder, and made no blend of it.
    is_encoder = model["kind"] == "onnx"
    without_statistics = is_encoder and not model.get("statistics")
    # With few values for the letters, an encoder finds less with them than alone.
    without_letters = is_encoder and section.method == "blend" and section.lexical_weight is None
    if section.method == "mean" or without_statistics or without_letters:
        return None
    return Blend(
        dim=section.dim if section.method == "blend" else 0,
        lexical_weight=_lexical_weight(job),
        title_weight=section.title_weight,
        description_weight=section.description_weight,
        drop_phrases=section.drop_phrases,
    )


def execute(job: Job, version: str) -> StageResult:
    """Embed every item; an item none of whose tokens has a vector gets null."""
    model, tokens = job.record("train").outputs, job.record("tokenize")
    base_inputs = inputs(job) | {"tokens": tokens.outputs["base"]}
    base = incremental.stage_base(job, (NAME, CODE_VERSION), "tokenize", base_inputs)
    counter, blend = LoadCounter(job.spark.sparkContext), blend_settings(job)
    task = _embed_task(ship_model(job), counter, blend)
    if base.record is None:
        row_count = tokens.tables["tokens"]
        rows = Rows(_new_rows(job.spread(_texts(job, blend), row_count)), task)
        written = job.store.write_counted("embeddings", version, rows, count=_sums)
        total, with_vector = written.rows, written.sums["vectors"]
    else:
        row_count, total, with_vector = _update(job, base.record, blend, task, version)
    return StageResult(
        tables={"embeddings": total},
        counts={
            "embedded": row_count,
            "vectors": with_vector,
            "items_without_vector": total - with_vector,
            "model_loads": counter.summary(),
        },
        outputs={
            "vectors": with_vector,
            "base": base.record and base.record.fingerprint,
            "why": base.why,
            "dim": model["dim"] + (blend.lexical_dim(model["dim"]) if blend else 0),
            "text_fingerprint": model["text_fingerprint"],
            "space": _space(job),
        },
    )


def _sums(rows: pa.Table) -> dict[str, int]:
    return {"vectors": rows.num_rows - rows["half"].null_count}


def _space(job: Job) -> str:
    """The fingerprint of a vector space: vectors of the same one can be compared."""
    model = job.record("train").outputs
    definition = {"model": model["sha256"], "text": model["text_fingerprint"]}
    return fingerprint({"code": CODE_VERSION} | definition | method_settings(job))


def _texts(job: Job, blend: Blend | None, tokens: "DataFrame | None" = None) -> "DataFrame":
    """What the model reads of every item: item_id, texts; see `embed_rows`.

    Args:
        job: the run.
        blend: how vectors are computed from the model's; None: as the model computes them.
        tokens: rows of the tokens table, if not all.
    """
    from pyspark.sql import functions as F

    fields = ["title_tokens", "description_tokens"]
    if not reads_text(job):
        column = F.array(*fields) if blend else token_columns.joined()
        rows = job.read("tokens", "tokenize") if tokens is None else tokens
        return rows.select("item_id", column.alias("texts"))
    items = job.read("items", "ingest").select("item_id", "title", "description")
    if blend is None:
        return items.select("item_id", F.array("title", "description").alias("texts"))
    rows = job.read("tokens", "tokenize") if tokens is None else tokens
    joined = rows.select("item_id", *fields).join(items, "item_id")
    return joined.select("item_id", F.array(*fields, "title", "description").alias("texts"))


def reads_text(job: Job) -> bool:
    """Whether the store's model reads the items' text, beside their tokens or alone."""
    model = job.record("train").outputs
    # Earlier releases wrote down the kind only.
    return bool(model.get("reads", "text" if model["kind"] == "onnx" else "tokens") == "text")


def _new_rows(texts: "DataFrame") -> "DataFrame":
    """Rows for `_embed_task` that are to be embedded.

    Args:
        texts: item_id, texts.

    Returns:
        item_id, texts, and null as `tokens` and `half`, which rows of an earlier table have.
    """
    from pyspark.sql import functions as F

    return texts.withColumns(
        {"tokens": F.lit(None).cast("int"), "half": F.lit(None).cast("binary")}
    )


def _update(
    job: Job, base: StageRecord, blend: Blend | None, task: Run, version: str
) -> tuple[int, int, int]:
    """Embed the items that have changed; write them on top of the earlier table, or all rows.

    Args:
        job: the run.
        base: the record of the embeddings to build on.
        blend: how vectors are computed from the model's.
        task: embeds rows.
        version: of the table to write.

    Returns:
        how many items were embedded, how many rows the table has, and how many with a vector.
    """
    from pyspark.sql import functions as F

    tokens, store = job.record("tokenize"), job.store
    changes, counts = job.read("changes", "tokenize"), tokens.counts["changes"]
    row_count = counts[incremental.ADDED] + counts[incremental.CHANGED]
    new = _new_rows(job.spread(_changed_texts(job, blend), row_count))
    table = store.read(job.spark, "embeddings", base.fingerprint)
    if not store.can_add_layer("embeddings", base.fingerprint, incremental.changed_rows(counts)):
        no_texts = F.lit(None).cast(new.schema["texts"].dataType)
        earlier = table.select("item_id", no_texts.alias("texts"), "tokens", "half")
        rows = Rows(incremental.apply_changes(earlier, changes, new), task)
        written = store.write_counted("embeddings", version, rows, count=_sums)
        return row_count, written.rows, written.sums["vectors"]
    outdated = incremental.outdated_items(changes)
    total, written = store.write_layer(
        "embeddings", version, base.fingerprint, Rows(new, task), Rows(outdated, iter), _sums
    )
    with_vector = base.outputs["vectors"]
    if with_vector == base.tables["embeddings"]:
        gone = counts[incremental.CHANGED] + counts[incremental.REMOVED]
    else:
        # Only reading all vectors shows which items have none.
        gone = table.where("half is not null").join(outdated, "item_id", how="left_semi").count()
    return row_count, total, with_vector - gone + written.sums["vectors"]


def _changed_texts(job: Job, blend: Blend | None) -> "DataFrame":
    """What the model reads of the items that were added or changed: item_id, texts."""
    added = job.read_layer("tokens", "tokenize")
    texts = _texts(job, blend, added)
    if added is not None and (blend is not None or not reads_text(job)):
        return texts
    changed = incremental.items_to_compute(job.read("changes", "tokenize"))
    return texts.join(changed, "item_id", how="left_semi")


def sample_rows(
    job: Job, blend: Blend | None, handle: Handle, counter: LoadCounter, max_items: int
) -> Rows:
    """The stage's work on some items, which a hash of their ids chooses; not yet written.

    Args:
        job: with the records of the stages before.
        blend: how vectors are computed from the model's; None: as the model computes them.
        handle: the model, as shipped.
        counter: counts each load of the model.
        max_items: how many items, about.
    """
    from pyspark.sql import functions as F

    texts, total = _texts(job, blend), max(job.record("tokenize").tables["tokens"], 1)
    if max_items < total:
        position = F.pmod(F.xxhash64(F.lit("sample"), "item_id"), F.lit(total))
        texts = texts.where(position < F.lit(max_items))
    return embed_rows(job.spread(texts, min(max_items, total)), handle, counter, blend)


def ship_model(job: Job) -> Handle:
    """Make the store's model available to the executors.

    Raises:
        StageError: the model's file is not the one that was stored.
    """
    record = job.record("train")
    path = job.store.models.file(record)
    handle = job.ship(path, record.outputs["kind"], job.config.model.ship)
    if handle.sha256 != record.outputs["sha256"]:
        raise StageError(
            f"embed: {path} is damaged; delete it and run: nitamono train --config FILE"
        )
    return handle


def embed_rows(
    texts: "DataFrame", handle: Handle, counter: LoadCounter, blend: Blend | None = None
) -> Rows:
    """Rows of the embeddings table; each Python process loads the model once.

    Args:
        texts: item_id, and texts: all tokens of an item, separated by spaces, string; with a blend
            the tokens of its title and of its description, array<string>; for a model that reads
            text the item's fields, array<string>, which are cleaned here; with a blend of such a
            model first the tokens of both fields and then both fields.
        handle: the model, as shipped.
        counter: counts each load of the model.
        blend: how vectors are computed from the model's; None: as the model computes them.
    """
    return Rows(_new_rows(texts), _embed_task(handle, counter, blend))


def _embed_task(handle: Handle, counter: LoadCounter, blend: Blend | None) -> Run:
    """The function that embeds rows with texts and passes on rows with earlier vectors."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            is_new = batch["texts"].is_valid()
            if pc.any(is_new).as_py():
                model = embedder.load_shipped(handle, counter, blend)
                yield embed_batch(model, batch.filter(is_new))
            earlier = batch.filter(pc.invert(is_new))
            if earlier.num_rows:
                yield embedding_rows(earlier["item_id"], earlier["tokens"], earlier["half"])

    return run
