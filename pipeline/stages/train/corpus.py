"""The corpus of a training: its texts, its vocabulary, and the settings that follow from them."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.fasttext.train import TrainingSettings
from pipeline.config.sections import ModelSection
from pipeline.stages.tokenize import token_columns

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# In a smaller vocabulary every word gets a row, however rare it is.
_SMALL_VOCABULARY = 1_000
# Passes times tokens: for large corpora, and at least. With less, all words of a small catalogue
# have nearly the same vector.
_TOKEN_PASSES, _MIN_TOKEN_PASSES = 20_000_000, 1_000_000


def texts(tokens: "DataFrame") -> "DataFrame":
    """Each item's tokens in one list, those of its fields too; items without any are left out."""
    from pyspark.sql import functions as F

    columns = token_columns.names(tokens.columns)
    joined = tokens.select("item_id", token_columns.joined(columns).alias("tokens"))
    return joined.where(F.col("tokens") != "").withColumn("tokens", F.split("tokens", " "))


def count_vocabulary(texts: "DataFrame", min_count: int) -> tuple[int, list[int]]:
    """Count the tokens of a corpus.

    Returns:
        the number of tokens, and how many distinct tokens occur at least 1, 2, ... min_count times.
    """
    from pyspark.sql import functions as F

    frequencies = texts.select(F.explode("tokens").alias("token")).groupBy("token").count()
    sums = frequencies.agg(
        F.coalesce(F.sum("count"), F.lit(0)),
        *[F.count_if(F.col("count") >= minimum) for minimum in range(1, min_count + 1)],
    ).first()
    assert sums is not None  # noqa: S101 - an aggregate has one row
    return int(sums[0]), [int(size) for size in sums[1:]]


def plan(section: ModelSection, occurrences: int, sizes: list[int]) -> TrainingSettings:
    """The settings of a training; what the config leaves open follows from the corpus's size.

    Args:
        section: the config's [model].
        occurrences: the number of tokens.
        sizes: the vocabulary's size with min_count 1, 2, ... up to the config's.
    """
    min_count = section.min_count
    while min_count > 1 and sizes[min_count - 1] < min(_SMALL_VOCABULARY, sizes[0]):
        min_count -= 1
    words = sizes[min_count - 1]
    epoch = section.epoch or max(
        min(20, max(5, round(_TOKEN_PASSES / occurrences))),
        math.ceil(_MIN_TOKEN_PASSES / occurrences),
    )
    training = TrainingSettings(
        model=section.algorithm,
        dim=section.dim,
        epoch=epoch,
        min_count=min_count,
        window=section.window,
        minn=section.minn,
        maxn=section.maxn,
        bucket=section.bucket or min(2_000_000, max(10_000, 20 * words)),
        threads=section.threads,
    )
    return replace(training, bucket=0) if training.maxn == 0 else training


def write(texts: "DataFrame", path: Path) -> int:
    """Stream token lists into a file, one text a line; returns the number of lines."""
    lines = 0
    with path.open("w", encoding="utf-8") as file:
        for row in texts.select("tokens").toLocalIterator(prefetchPartitions=True):
            file.write(" ".join(row["tokens"]) + "\n")
            lines += 1
    return lines
