"""The rules of the config: the rules on pairs, and the traits that they read of each item."""

from typing import TYPE_CHECKING, Any

from pipeline import catalogue
from pipeline.conditions import columns_of, parse
from pipeline.conditions.spark_columns import column
from pipeline.config.sections import Config, RankSection, RulesSection
from pipeline.errors import InputError
from pipeline.retrieval.rules import Rules
from pipeline.stages.context import Job
from pipeline.stages.neighbors import boosts, deny_list, edited_items, edits
from pipeline.stages.neighbors.edit_state import State
from pipeline.storage.list_schemas import TRAITS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def pair_rules(section: RulesSection, rank: RankSection, edited: State) -> Rules:
    """The rules on pairs, as pipeline.retrieval takes them."""
    caps = [1] if section.collapse else []
    ratio = section.price_ratio
    return Rules(
        price_ratio=(ratio[0], ratio[1]) if ratio else None,
        min_score=section.min_score,
        max_score=section.max_score,
        differ=len(section.differing),
        deny=edited.denies,
        deny_conditional=edited.deny_conditional,
        caps=(*caps, *(cap for _, cap in sorted(section.max_per.items()))),
        boosts=edited.with_boosts(boosts.of_pairs(rank)),
    )


def has_rules(config: Config) -> bool:
    """Whether there are rules, or boosts or edits, which are computed with the same tables."""
    return config.rules != RulesSection() or config.rank.has_boosts or config.edits.exists


def rule_inputs(job: Job) -> dict[str, Any] | None:
    """All that decides what rules and [rank] do, for the stage's inputs; None if there are none."""
    section, rank = job.config.rules, job.config.rank
    if not has_rules(job.config) and not rank.exists:
        return None
    return {
        "rules": section.model_dump(),
        "rank": rank.model_dump() if rank.exists else None,
        "quantiles": boosts.earlier_quantiles(job),
        # What lists are chosen by is in the items' texts and vectors alone.
        "items": job.record("ingest").outputs["content"] if has_rules(job.config) else None,
        "deny": deny_list.identity(job) if section.deny else None,
        "edits": edits.state(job).as_inputs(),
    }


def filter_items(job: Job, where: str) -> "DataFrame":
    """The items that match a condition; all items if it is empty."""
    items = job.read("items", "ingest")
    return items.where(_holds(job.config, where)) if where else items


def query_rule_items(job: Job) -> "DataFrame":
    """The items that get neighbours by rules.query: item_id."""
    return filter_items(job, job.config.rules.query).select("item_id")


def eligible_items(job: Job) -> "DataFrame":
    """The items that may be neighbours: item_id."""
    section = job.config.rules
    eligible = filter_items(job, section.eligible).select("item_id")
    if not section.deny:
        return eligible
    return eligible.join(edits.denied_items(job), "item_id", how="left_anti")


def without_denied(job: Job, pairs: "DataFrame") -> "DataFrame":
    """Pairs of item_id and similar_id without the denied ones."""
    if not job.config.rules.deny:
        return pairs
    return pairs.join(edits.denied_pairs(job), ["item_id", "similar_id"], how="left_anti")


def item_traits(job: Job, quantiles: boosts.Quantiles, crowding: "DataFrame | None") -> "DataFrame":
    """What rules read of each item: item_id and storage.list_schemas.TRAITS.

    Args:
        job: the run.
        quantiles: of the columns of rank.value.
        crowding: item_id, crowding; None without rank.exposure.

    Raises:
        InputError: a rule needs a column that the catalogue does not have, or the table of
            rules.deny can't be used.
    """
    from pyspark.sql import functions as F

    rank, items = job.config.rank, job.read("items", "ingest")
    _check_columns(job.config, items)
    rows = items.select(
        "item_id",
        *_columns_of_rules(job.config),
        _hashes(sorted(rank.same)).alias("matches"),
        *edited_items.inputs_of_items(job),
        *boosts.inputs_of_items(rank),
    )
    rows = edited_items.add_to_traits(job, boosts.add_to_traits(rows, rank, quantiles, crowding))
    # An item of an edited pair has a kind of its own: the rules tell it from all others.
    own_id = F.when(F.col("paired"), F.col("item_id"))
    told_apart = ("price", "differ", "capped", "matches", "boost", "edited_as_neighbor")
    # Spark's hash skips nulls, so where the nulls are is hashed too.
    nulls = [F.col(name).isNull() for name in told_apart]
    kind = F.xxhash64(*told_apart, *nulls, own_id).alias("kind")
    return rows.withColumn("kind", kind).select("item_id", *TRAITS.names)


def traits_without_boosts(job: Job, *columns: "Column") -> "DataFrame":
    """What the hard rules read of each item, also of those that have no vector.

    Args:
        job: the run; its stage neighbors has checked the columns.
        columns: of the items table, to keep.

    Returns:
        item_id; those of TRAITS that hard rules read; the columns.
    """
    from pyspark.sql import functions as F

    own, no_boost = _columns_of_rules(job.config), F.lit(None).cast("double").alias("boost")
    items = job.read("items", "ingest")
    rows = items.select("item_id", *own, *edited_items.inputs_of_items(job), no_boost, *columns)
    return edited_items.add_to_traits(job, rows)


def _columns_of_rules(config: Config) -> "list[Column]":
    from pyspark.sql import functions as F

    section, none = config.rules, F.lit(None)
    reads_price = section.price_ratio or config.rank.price
    return [
        (_values(section.same) if section.same else none).cast("string").alias("same"),
        _condition(config, section.eligible).alias("eligible"),
        _condition(config, section.query).alias("asks"),
        (F.col("price") if reads_price else none).cast("double").alias("price"),
        _hashes(section.differing).alias("differ"),
        _hashes(section.capped).alias("capped"),
    ]


def _values(names: list[str]) -> "Column":
    """The values of some columns in JSON; a blank text is missing, as it is for all rules."""
    from pyspark.sql import functions as F

    known = [
        F.when(~catalogue.is_blank(F.col(name).cast("string")), F.col(name)).alias(name)
        for name in names
    ]
    return F.to_json(F.struct(*known))


def _condition(config: Config, where: str) -> "Column":
    from pyspark.sql import functions as F

    return _holds(config, where) if where else F.lit(None).cast("boolean")


def _holds(config: Config, where: str) -> "Column":
    """Whether a condition holds for an item; not where a value is unknown."""
    from pyspark.sql import functions as F

    condition = column(parse(where, columns_of(config.catalogue.further)))
    return F.coalesce(condition, F.lit(False))


def _hashes(names: list[str]) -> "Column":
    """The hashes of some columns; null if there are none."""
    from pyspark.sql import functions as F

    hashes = F.array(*map(hash_of, names)) if names else F.lit(None)
    return hashes.cast("array<bigint>")


def hash_of(name: str) -> "Column":
    """The hash of a column's value; 0 if it is missing or blank."""
    from pyspark.sql import functions as F

    text = F.col(name).cast("string")
    return F.when(catalogue.is_blank(text), F.lit(0)).otherwise(F.xxhash64(text)).cast("bigint")


def _check_columns(config: Config, items: "DataFrame") -> None:
    """Check that the catalogue has the columns that rules and boosts compare.

    Raises:
        InputError: a column has no value at all.
    """
    from pyspark.sql import functions as F

    settings = {
        name: setting
        for section, columns in (("rank", config.rank.columns()), ("rules", config.rules.columns()))
        for setting, names in ((f"{section}.{rule}", names) for rule, names in columns.items())
        for name in names
    }
    if not settings:
        return
    counts = items.agg(*[F.count(name).alias(name) for name in settings]).first()
    assert counts is not None  # noqa: S101 - an aggregate has one row
    for name, setting in settings.items():
        if not counts[name]:
            raise InputError(
                f"{setting}: no item of the catalogue has a {name}; "
                f"map one of its columns with catalogue.columns.{name}, or leave the rule out"
            )


def items_with_changed_traits(candidates: "DataFrame", earlier: "DataFrame") -> "DataFrame":
    """The items in both tables whose traits differ: item_id.

    Args:
        candidates: the candidates table.
        earlier: that of an earlier run.
    """
    from pyspark.sql import functions as F

    def hash_traits(rows: "DataFrame", name: str) -> "DataFrame":
        # Spark's hash skips nulls, so where the nulls are is hashed too.
        nulls = [F.col(column).isNull() for column in TRAITS.names]
        return rows.select("item_id", F.xxhash64(*TRAITS.names, *nulls).alias(name))

    both = hash_traits(candidates, "now").join(hash_traits(earlier, "then"), "item_id", how="inner")
    return both.where("now <> then").select("item_id")


def possible_neighbors(candidates: "DataFrame", items: "DataFrame") -> "DataFrame":
    """How many eligible items with the same `same` the catalogue has, for some items.

    Lists and the rules on pairs are left out of account.

    Args:
        candidates: the candidates table.
        items: item_id of the items.

    Returns:
        item_id, possible long.
    """
    from pyspark.sql import functions as F

    same = F.coalesce("same", F.lit("")).alias("same_or_empty")
    is_eligible = F.coalesce("eligible", F.lit(True))
    totals = candidates.where(is_eligible).groupBy(same).agg(F.count("*").alias("total"))
    rows = candidates.join(items, "item_id", how="left_semi").select(
        "item_id", same, is_eligible.alias("is_eligible")
    )
    # An item is no neighbour of itself.
    others = F.coalesce("total", F.lit(0)) - F.when(F.col("is_eligible"), 1).otherwise(0)
    return rows.join(totals, "same_or_empty", how="left").select(
        "item_id", others.alias("possible")
    )
