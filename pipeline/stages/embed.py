"""embed: tokens and model -> embeddings."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from models import Handle, fasttext, resident, shipping
from models.content import file_sha256
from pipeline.errors import StageError
from pipeline.job import Job, Made
from pipeline.stages.train import MODEL_FILE
from pipeline.udf import iterator_udf

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "embed"
CODE = ("models.fasttext.library", "pipeline.tables")


def inputs(job: Job) -> dict[str, Any]:
    """The tokens, the model's content, the method.

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
    return {
        "tokens": tokens.fingerprint,
        "model": model.outputs["sha256"],
        "method": job.config.embed.method,
    }


def execute(job: Job, version: str) -> Made:
    """Embed every item; an item none of whose tokens has a vector gets null."""
    from pyspark.sql import functions as F

    outputs = job.record("train").outputs
    path = job.store.model_path(outputs["sha256"]) / MODEL_FILE
    if not path.is_file() or file_sha256(path) != outputs["sha256"]:
        raise StageError(f"embed: {path} is damaged or gone; run: nitamono train --config FILE")
    handle = shipping.ship(job.spark.sparkContext, path, kind="fasttext")
    rows = job.record("tokenize").tables["tokens"]
    tokens = job.spread(job.read("tokens", "tokenize"), rows)
    written = job.store.write(embed(tokens, handle), "embeddings", version)
    vectors = job.store.read(job.spark, "embeddings", version).where(F.col("vector").isNotNull())
    embedded = vectors.count()
    return Made(
        tables={"embeddings": written},
        counts={"embedded": embedded, "items_without_vector": written - embedded},
        outputs={
            "vectors": embedded,
            "dim": outputs["dim"],
            "text_fingerprint": outputs["text_fingerprint"],
        },
    )


def embed(tokens: "DataFrame", handle: Handle) -> "DataFrame":
    """The embeddings table of a tokens table; the model is loaded once a Python process.

    Vectors are rounded to float16 here and nowhere else.
    """
    from pyspark.sql import functions as F

    @iterator_udf("array<float>")
    def vectors(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        model = resident.get(handle.key, lambda: fasttext.load(shipping.local_path(handle)))
        for batch in batches:
            rounded = round_vectors(model.embed(batch.tolist()))
            rows: list[np.ndarray | None] = list(rounded)
            for zero in np.flatnonzero(~rounded.any(axis=1)):
                rows[zero] = None
            yield pd.Series(rows, dtype=object)

    all_tokens = F.concat("title_tokens", "description_tokens")
    return tokens.select(
        "item_id", vectors(all_tokens).alias("vector"), F.size(all_tokens).alias("tokens")
    )


def round_vectors(vectors: np.ndarray) -> np.ndarray:
    """Vectors with values that float16 holds, as float32[n, dim].

    Raises:
        StageError: a value is too large for float16 or is not finite.
    """
    with np.errstate(over="ignore"):
        rounded = vectors.astype(np.float16).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise StageError("embed: the model gives values beyond 65,504 or not finite")
    return rounded
