"""The boosts of the config, [rank]: what is added to the cosine of a pair, and to that of an item.

An item's own boost, by its values and by its age, is a trait like others: where it changes from one
night to the next, the item counts as changed.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config.sections import RankSection
from pipeline.retrieval.boosts import Boosts
from pipeline.retrieval.diversity import Diversity
from pipeline.retrieval.vectors import Float64
from pipeline.spark.sampling import collected_sample
from pipeline.stages.context import Job

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# The quantiles of each column of rank.value, ascending.
Quantiles = Mapping[str, list[float]]

# A column of numbers is cut at so many quantiles, those of a sample of so many items.
_QUANTILES, _SAMPLED = 100, 20_000
_VALUE, AGE = "value_of_", "age"


def of_pairs(rank: RankSection) -> Boosts:
    """The boosts, as pipeline.retrieval takes them."""
    own: list[float] = [*rank.value.values(), *([rank.fresh.weight] if rank.fresh else [])]
    return Boosts(
        own=(sum(w for w in own if w < 0) - rank.exposure, sum(w for w in own if w > 0) + 0.0),
        matches=tuple(weight for _, weight in sorted(rank.same.items())),
        price=(rank.price.weight, rank.price.half) if rank.price else None,
    )


def diversity(rank: RankSection, k: int) -> Diversity:
    """How lists of k items are chosen from candidates; the share is 0 without diversity."""
    return Diversity(rank.diversity, rank.candidates(k), k)


def earlier_quantiles(job: Job) -> dict[str, list[float]] | None:
    """The quantiles that the published version was ranked by; None if today's have to be computed.

    They stay as long as the model does: otherwise every item's boost would change every night. If
    the published version was made of this very catalogue, the answer is the one that it got, so
    that a repeated run reuses what it has made.
    """
    rank, published = job.config.rank, job.state.published
    if not rank.value or published is None:
        return None
    record = job.store.find_record("neighbors", published.stages.get("neighbors", ""))
    inputs = record.inputs.get("rules") if record else None
    if record is None or not inputs or "quantiles" not in record.outputs:
        return None
    quantiles: dict[str, list[float]] | None = record.outputs["quantiles"]
    if inputs["items"] == job.record("ingest").outputs["content"]:
        quantiles = inputs["quantiles"]
    is_same_model = published.stages.get("train") == job.record("train").fingerprint
    is_same = record.outputs["quantiles_of"] == columns_of_values(job)
    return quantiles if is_same_model and is_same else None


def columns_of_values(job: Job) -> dict[str, str]:
    """What the catalogue calls each column of rank.value."""
    names = job.config.catalogue.columns
    return {name: names.get(name, name) for name in sorted(job.config.rank.value)}


def find_quantiles(job: Job) -> Quantiles:
    """The quantiles that this run ranks by."""
    earlier = earlier_quantiles(job)
    if earlier is not None:
        return earlier
    names = sorted(job.config.rank.value)
    if not names:
        return {}
    from pyspark.sql import functions as F

    items = job.read("items", "ingest")
    counts = items.agg(*[F.count(name).alias(name) for name in names]).first()
    assert counts is not None  # noqa: S101 - an aggregate has one row
    quantiles = {}
    for name in names:
        known = items.where(F.col(name).isNotNull()).select("item_id", name)
        sample = collected_sample(known, counts[name], _SAMPLED, 0, "quantiles")
        quantiles[name] = _quantiles(sample[name])
    return quantiles


def _quantiles(column: pa.ChunkedArray) -> list[float]:
    values = np.sort(np.asarray(column.drop_null(), dtype=np.float64))
    values = values[np.isfinite(values)]
    positions = np.arange(_QUANTILES) * len(values) // _QUANTILES
    return [float(value) for value in values[positions]] if len(values) else []


def value_shares(values: Float64, quantiles: list[float]) -> Float64:
    """Numbers on a scale from 0 to 1: the share of the quantiles that are less.

    Args:
        values: float64[n], NaN where there is none: that is 0.
        quantiles: of the column.

    Returns:
        float64[n].
    """
    shares: Float64 = np.searchsorted(np.array(quantiles), values) / max(len(quantiles), 1)
    return np.where(np.isnan(values), 0.0, shares)


def freshness(ages: Float64, half_days: float) -> Float64:
    """How fresh items are, from 1 on the day that they come out, halving.

    Args:
        ages: float64[n], days; NaN where there is none: that is 0. A day to come counts as today.
        half_days: days in which it halves.

    Returns:
        float64[n].
    """
    return np.nan_to_num(np.exp2(-np.maximum(ages, 0.0) / half_days), nan=0.0)


def inputs_of_items(rank: RankSection) -> "list[Column]":
    """The columns of the items table that `add_to_traits` reads."""
    from pyspark.sql import functions as F

    columns = [F.col(name).alias(f"{_VALUE}{name}") for name in sorted(rank.value)]
    if rank.fresh is not None:
        today = F.lit(rank.fresh.date).cast("date")
        columns.append(F.datediff(today, F.col(rank.fresh.column)).cast("double").alias(AGE))
    return columns


def add_to_traits(
    rows: "DataFrame", rank: RankSection, quantiles: Quantiles, crowding: "DataFrame | None"
) -> "DataFrame":
    """Add the trait `boost`, in place of the columns that it is computed of.

    Args:
        rows: the other traits, and the columns of `inputs_of_items`.
        rank: the settings.
        quantiles: of the columns of rank.value.
        crowding: item_id, crowding; None without rank.exposure.
    """
    from pyspark.sql import functions as F

    rows = _with_values(rows, rank, quantiles)
    if crowding is None:
        return rows
    lowered = F.lit(rank.exposure) * F.coalesce("crowding", F.lit(0.0))
    joined = rows.join(crowding, "item_id", how="left")
    boost = F.coalesce("boost", F.lit(0.0)) - lowered
    return joined.withColumn("boost", boost).select(*rows.columns)


def _with_values(rows: "DataFrame", rank: RankSection, quantiles: Quantiles) -> "DataFrame":
    """Add the boosts by values and ages."""
    from pyspark.sql import functions as F

    read = [name for name in rows.columns if name == AGE or name.startswith(_VALUE)]
    if not read:
        return rows.withColumn("boost", F.lit(None).cast("double"))
    kept = [name for name in rows.columns if name not in read]

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            values = {
                name: np.asarray(pc.fill_null(batch[name], np.nan), dtype=np.float64)
                for name in read
            }
            boost = sum(terms(rank, quantiles, _named(values)).values())
            columns = [*(batch[name] for name in kept), pa.array(boost, pa.float64())]
            yield pa.RecordBatch.from_arrays(columns, [*kept, "boost"])

    types = dict(rows.dtypes)
    ddl = ", ".join([*(f"{name} {types[name]}" for name in kept), "boost double"])
    return rows.mapInArrow(run, ddl)


def _named(values: Mapping[str, Float64]) -> dict[str, Float64]:
    return {name.removeprefix(_VALUE): column for name, column in values.items()}


def terms(
    rank: RankSection, quantiles: Quantiles, values: Mapping[str, Float64]
) -> dict[str, Float64]:
    """The parts of items' own boosts, by the setting that they come from.

    Args:
        rank: the settings.
        quantiles: of the columns of rank.value.
        values: float64[n] of each of these columns, and of `age`, in days.
    """
    parts = {
        f"rank.value.{name}": weight * value_shares(values[name], quantiles[name])
        for name, weight in sorted(rank.value.items())
    }
    if rank.fresh is not None:
        fresh = freshness(values[AGE], rank.fresh.half_days)
        parts["rank.fresh"] = rank.fresh.weight * fresh
    return parts
