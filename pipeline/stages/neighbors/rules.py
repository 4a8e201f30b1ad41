"""The rules of the config: what they read of each item, as columns beside the lists table."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline import catalogue
from pipeline.config.sections import CatalogueSection, RulesSection
from pipeline.errors import InputError, NitamonoError, UsageError
from pipeline.retrieval.rules import Rules
from pipeline.stages.context import Job
from pipeline.storage.clustered_tables import TRAITS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def pair_rules(section: RulesSection) -> Rules:
    """What holds for pairs."""
    caps = [1] if section.collapse else []
    ratio = section.price_ratio
    return Rules(
        price_ratio=(ratio[0], ratio[1]) if ratio else None,
        min_score=section.min_score,
        max_score=section.max_score,
        collapse=bool(section.collapse),
        deny=bool(section.deny),
        caps=(*caps, *(most for _, most in sorted(section.max_per.items()))),
    )


def has_rules(section: RulesSection) -> bool:
    """Whether there are rules."""
    return section != RulesSection()


def rule_inputs(job: Job) -> dict[str, Any] | None:
    """All that decides what rules do; None where there are none."""
    section = job.config.rules
    if not has_rules(section):
        return None
    with _of_deny():
        deny = catalogue.identity(_denied_file(job)) if section.deny else None
    return {
        "rules": section.model_dump(),
        "items": job.record("ingest").outputs["content"],
        "deny": deny,
    }


def filter_items(items: "DataFrame", setting: str, where: str) -> "DataFrame":
    """The items that match a condition in SQL; all where there is none.

    Raises:
        UsageError: it is no condition on the items' columns.
    """
    from pyspark.errors import AnalysisException, ParseException

    if not where:
        return items
    try:
        return items.where(where)
    except (AnalysisException, ParseException) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(
            f"{setting}: no condition on the columns {', '.join(items.columns)}: {first}"
        ) from error


def query_rule_items(job: Job) -> "DataFrame":
    """The items that get a list: item_id."""
    items = job.read("items", "ingest")
    return filter_items(items, "rules.query", job.config.rules.query).select("item_id")


def eligible_items(job: Job) -> "DataFrame":
    """The items that may be in lists: item_id."""
    section, items = job.config.rules, job.read("items", "ingest")
    eligible = filter_items(items, "rules.eligible", section.eligible).select("item_id")
    if not section.deny:
        return eligible
    alone = _denied(job).where("similar_id is null").select("item_id")
    return eligible.join(alone, "item_id", how="left_anti")


def without_denied(job: Job, pairs: "DataFrame") -> "DataFrame":
    """Pairs of item_id and similar_id, less those that are denied."""
    if not job.config.rules.deny:
        return pairs
    denied = _denied(job).where("similar_id is not null")
    return pairs.join(denied, ["item_id", "similar_id"], how="left_anti")


def item_traits(job: Job) -> "DataFrame":
    """What rules read of each item: item_id and storage.clustered_tables.TRAITS.

    Raises:
        InputError: a rule asks for a column that the catalogue does not have, or the table of
            what is denied can't be used.
    """
    from pyspark.sql import functions as F

    section, items = job.config.rules, job.read("items", "ingest")
    _check_columns(section, items)
    for setting in ("eligible", "query"):
        filter_items(items, f"rules.{setting}", getattr(section, setting))
    none = F.lit(None)
    kept = [*([section.collapse] if section.collapse else []), *sorted(section.max_per)]
    rows = items.select(
        "item_id",
        (F.to_json(F.struct(*section.same)) if section.same else none).cast("string").alias("same"),
        _condition(section.eligible).alias("eligible"),
        _condition(section.query).alias("asks"),
        (F.col("price") if section.price_ratio else none).cast("double").alias("price"),
        (_hash(section.collapse) if section.collapse else none).cast("bigint").alias("variant"),
        (F.array(*map(_hash, kept)) if kept else none).cast("array<bigint>").alias("capped"),
    )
    if section.deny:
        rows = _with_denied(rows, _denied(job))
    else:
        rows = rows.withColumns({"paired": F.lit(False), "denied": none.cast("array<string>")})
    # Who is denied to some is told from all others.
    own = F.when(F.col("paired"), F.col("item_id"))
    kind = F.xxhash64("price", "variant", "capped", own).alias("kind")
    return rows.withColumn("kind", kind).select("item_id", *TRAITS.names)


def _condition(where: str) -> "Column":
    from pyspark.sql import functions as F

    # What is not known does not match.
    return F.coalesce(F.expr(where), F.lit(False)) if where else F.lit(None).cast("boolean")


def _hash(name: str) -> "Column":
    """A number for a value; 0 where it is missing or blank."""
    from pyspark.sql import functions as F

    text = F.col(name).cast("string")
    return F.when(catalogue.is_blank(text), F.lit(0)).otherwise(F.xxhash64(text)).cast("bigint")


def _check_columns(section: RulesSection, items: "DataFrame") -> None:
    """See that the columns that rules compare are there."""
    from pyspark.sql import functions as F

    used = {name: f"rules.{rule}" for rule, names in section.columns().items() for name in names}
    if not used:
        return
    counts = items.agg(*[F.count(name).alias(name) for name in used]).first()
    assert counts is not None  # noqa: S101 - an aggregate has one row
    for name, setting in used.items():
        if not counts[name]:
            raise InputError(
                f"{setting}: no item of the catalogue has a {name}; "
                f"map one of its columns with catalogue.columns.{name}, or leave the rule out"
            )


def _denied_file(job: Job) -> catalogue.Source:
    section = CatalogueSection(path=job.config.rules.deny)
    return catalogue.Source.from_config(section, job.config.s3.options())


@contextmanager
def _of_deny() -> Iterator[None]:
    """Name the setting rules.deny in what goes wrong with its file."""
    try:
        yield
    except NitamonoError as error:
        text = str(error).replace("catalogue.path", "rules.deny")
        raise type(error)(text.replace("[catalogue] path", "that setting")) from error


def _denied(job: Job) -> "DataFrame":
    """Rows of the table of what is denied: item_id, and similar_id or null.

    Raises:
        InputError: it has other columns, or rows without an item.
    """
    from pyspark.sql import functions as F

    source = _denied_file(job)
    with _of_deny(), catalogue.explained_damage(source):
        raw = catalogue.read(job.spark, source)
        names = [name for name in raw.columns if name != catalogue.CORRUPT]
        if not raw.columns:
            # JSON Lines of no line: nothing is denied.
            return job.spark.createDataFrame([], "item_id string, similar_id string")
        if "item_id" not in names:
            raise InputError(
                f"rules.deny {source.path}: column item_id is missing; it has: {', '.join(names)}"
            )
        pair = F.col("similar_id") if "similar_id" in names else F.lit(None)
        corrupt = F.col(catalogue.CORRUPT) if catalogue.CORRUPT in raw.columns else F.lit(None)
        item_id, similar_id = F.col("item_id").cast("string"), pair.cast("string")
        rows = raw.select(
            item_id.alias("item_id"),
            F.when(~catalogue.is_blank(similar_id), similar_id).alias("similar_id"),
            (catalogue.is_blank(item_id) | corrupt.isNotNull()).alias("bad"),
        )
        bad = rows.where("bad").count()
    if bad:
        raise InputError(
            f"rules.deny {source.path}: {bad} rows have no item_id or can't be read; "
            "give item_id, and similar_id where it is a pair"
        )
    return rows.select("item_id", "similar_id").distinct()


def _with_denied(rows: "DataFrame", denied: "DataFrame") -> "DataFrame":
    """The rows of `traits` with `paired` and `denied`; denied items are not eligible."""
    from pyspark.sql import functions as F

    pairs = denied.where("similar_id is not null")
    alone = denied.where("similar_id is null").select("item_id", F.lit(True).alias("alone"))
    lists = pairs.groupBy("item_id").agg(F.array_sort(F.collect_set("similar_id")).alias("denied"))
    paired = pairs.select(F.col("similar_id").alias("item_id")).distinct()
    flagged = (
        rows.join(alone, "item_id", how="left")
        .join(lists, "item_id", how="left")
        .join(paired.withColumn("paired", F.lit(True)), "item_id", how="left")
    )
    eligible = F.coalesce("eligible", F.lit(True)) & F.col("alone").isNull()
    return flagged.withColumn("eligible", eligible).select(
        *rows.columns, F.coalesce("paired", F.lit(False)).alias("paired"), "denied"
    )


def items_with_changed_traits(today: "DataFrame", before: "DataFrame") -> "DataFrame":
    """Items of both nights that rules see otherwise than before: item_id.

    Args:
        today: the candidates table.
        before: that of an earlier night.
    """
    from pyspark.sql import functions as F

    def hashed(rows: "DataFrame", name: str) -> "DataFrame":
        # Spark's hash passes over nulls: where they are is hashed too.
        nulls = [F.col(column).isNull() for column in TRAITS.names]
        return rows.select("item_id", F.xxhash64(*TRAITS.names, *nulls).alias(name))

    both = hashed(today, "now").join(hashed(before, "then"), "item_id", how="inner")
    return both.where("now <> then").select("item_id")


def possible_neighbors(candidates: "DataFrame", some: "DataFrame") -> "DataFrame":
    """How many others there are for some items, whatever the lists and the rules on pairs.

    Args:
        candidates: the candidates table.
        some: item_id of the items.

    Returns:
        item_id, possible long.
    """
    from pyspark.sql import functions as F

    of = F.coalesce("same", F.lit("")).alias("of")
    may = F.coalesce("eligible", F.lit(True))
    every = candidates.where(may).groupBy(of).agg(F.count("*").alias("all"))
    mine = candidates.join(some, "item_id", how="left_semi").select("item_id", of, may.alias("may"))
    others = F.coalesce("all", F.lit(0)) - F.when(F.col("may"), 1).otherwise(0)
    return mine.join(every, "of", how="left").select("item_id", others.alias("possible"))
