"""What the model reads of the items: their tokens, their text, or both."""

from typing import TYPE_CHECKING

from models.fasttext import Blend
from pipeline.stages import incremental
from pipeline.stages.context import Job
from pipeline.stages.tokenize import token_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def reads_text(job: Job) -> bool:
    """Whether the store's model reads the items' text, beside their tokens or alone."""
    model = job.record("train").outputs
    # Earlier releases wrote down the kind only.
    return bool(model.get("reads", "text" if model["kind"] == "onnx" else "tokens") == "text")


def texts_read(job: Job, blend: Blend | None, tokens: "DataFrame | None" = None) -> "DataFrame":
    """What the model reads of every item: item_id, texts; see `stage.embed_rows`.

    Args:
        job: the run.
        blend: how vectors are computed from the model's; None: as the model computes them.
        tokens: rows of the tokens table, if not all.
    """
    from pyspark.sql import functions as F

    if blend is not None or not reads_text(job):
        rows = job.read("tokens", "tokenize") if tokens is None else tokens
        fields = token_columns.names(rows.columns)
    if not reads_text(job):
        column = F.array(*fields) if blend else token_columns.joined()
        return rows.select("item_id", column.alias("texts"))
    items = job.read("items", "ingest").select("item_id", "title", "description")
    if blend is None:
        return items.select("item_id", F.array("title", "description").alias("texts"))
    joined = rows.select("item_id", *fields).join(items, "item_id")
    return joined.select("item_id", F.array(*fields, "title", "description").alias("texts"))


def token_texts(job: Job) -> "DataFrame":
    """The tokens of every item: item_id, texts; of title, description and each field a string."""
    from pyspark.sql import functions as F

    rows = job.read("tokens", "tokenize")
    return rows.select("item_id", F.array(*token_columns.names(rows.columns)).alias("texts"))


def changed_texts(job: Job, blend: Blend | None) -> "DataFrame":
    """What the model reads of the items that were added or changed: item_id, texts."""
    added = job.read_layer("tokens", "tokenize")
    texts = texts_read(job, blend, added)
    if added is not None and (blend is not None or not reads_text(job)):
        return texts
    changed = incremental.items_to_compute(job.read("changes", "tokenize"))
    return texts.join(changed, "item_id", how="left_semi")


def new_rows(texts: "DataFrame") -> "DataFrame":
    """Rows of texts that are to be embedded.

    Args:
        texts: item_id, texts.

    Returns:
        item_id, texts, and null as `tokens` and `half`, which rows of an earlier table have.
    """
    from pyspark.sql import functions as F

    return texts.withColumns(
        {"tokens": F.lit(None).cast("int"), "half": F.lit(None).cast("binary")}
    )
