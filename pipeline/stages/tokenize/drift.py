"""Drift: how far the frequencies of the tokens are from those of the published night."""

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.stages import incremental
from pipeline.stages.context import Job
from pipeline.stages.ingest.expectations import AT_MOST, DISTANCE, Expectation
from pipeline.stages.tokenize import token_columns
from pipeline.store.stage_record import StageRecord

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Counts = npt.NDArray[np.int64]

# Tokens are counted by their hash, in so many cells: what is collected does not grow with the
# catalogue, and a rare token does not count more than chance does.
_CELLS = 4096
# Of larger tables the tokens of a sample of the items are counted.
_MAX_ITEMS = 200_000


def _find_earlier(job: Job) -> StageRecord | None:
    """The record of the published night's tokens, if there is a limit and they are comparable.

    Tokens of other text rules differ whatever the catalogue is.
    """
    published = job.state.published
    if published is None or job.config.expect.max_word_drift >= 1:
        return None
    record = job.store.find_record("tokenize", published.stages.get("tokenize", ""))
    rules = job.record("tokenize").outputs["text_fingerprint"]
    return None if record is None or record.outputs["text_fingerprint"] != rules else record


def needs_spark(job: Job) -> bool:
    """Whether tokens have to be counted."""
    earlier = _find_earlier(job)
    return earlier is not None and earlier.fingerprint != job.record("tokenize").fingerprint


def check(job: Job) -> list[Expectation]:
    """What is expected of the tokens, and what they are; empty where nothing is compared."""
    earlier, today = _find_earlier(job), job.record("tokenize")
    if earlier is None:
        return []
    divergence = 0.0
    if needs_spark(job):
        if not incremental.is_whole(job, earlier):
            return []
        divergence = jensen_shannon(*_counts(job, earlier, today))
    return [
        Expectation(
            "word_drift",
            "distance of the words' frequencies from the published night's",
            divergence,
            job.config.expect.max_word_drift,
            AT_MOST,
            "expect.max_word_drift",
            DISTANCE,
        )
    ]


def _counts(job: Job, *records: StageRecord) -> tuple[Counts, ...]:
    """How many tokens of each table are in each cell."""
    from pyspark.sql import functions as F

    frames = [
        cells(
            job.store.read(job.spark, "tokens", record.fingerprint),
            max(1, record.tables["tokens"] // _MAX_ITEMS),
        ).withColumn("part", F.lit(number))
        for number, record in enumerate(records)
    ]
    both: DataFrame = reduce(lambda one, other: one.unionByName(other), frames)
    counts = tuple(np.zeros(_CELLS, np.int64) for _ in records)
    for row in both.groupBy("part", "cell").count().collect():
        counts[row["part"]][row["cell"]] = row["count"]
    return counts


def cells(tokens: "DataFrame", one_in: int) -> "DataFrame":
    """The cell of each token of some items: cell int.

    Args:
        tokens: a tokens table.
        one_in: of so many items one is taken, by a hash of its id.
    """
    from pyspark.sql import functions as F

    sample = tokens.where(F.pmod(F.xxhash64("item_id"), F.lit(one_in)) == 0)
    token = F.explode(F.split(token_columns.joined(), " ")).alias("token")
    cell = F.pmod(F.xxhash64("token"), F.lit(_CELLS)).cast("int")
    return sample.select(token).where("token <> ''").select(cell.alias("cell"))


def jensen_shannon(first: Counts, second: Counts) -> float:
    """The Jensen-Shannon divergence of two distributions, in bits: 0 if equal, 1 if disjoint.

    Lin, Divergence measures based on the Shannon entropy, 1991.

    Args:
        first: int64[n], how often each of n things comes in one of them.
        second: the same in the other. If one of them has none, the two are disjoint.
    """
    if not first.sum() or not second.sum():
        return float(first.sum() != second.sum())
    one, other = first / first.sum(), second / second.sum()
    middle = (one + other) / 2

    def bits(of: npt.NDArray[np.float64]) -> float:
        some = of > 0
        return float(np.sum(of[some] * np.log2(of[some] / middle[some])))

    return min(1.0, max(0.0, (bits(one) + bits(other)) / 2))
