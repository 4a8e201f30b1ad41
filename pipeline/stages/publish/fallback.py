"""Fills the lists of items with too few neighbours: the tables tops and filled; see [fallback].

`tops` has the first items of each group, with what the rules on pairs read of them, so that a list
that is short meets these and not the whole group. `filled` has the whole lists of the items that
something was filled in; they replace those that were found.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config.sections.publishing import FallbackEntry
from pipeline.errors import InputError
from pipeline.retrieval import fallback
from pipeline.retrieval.neighbor_rows import flatten_lists
from pipeline.stages.context import Job
from pipeline.stages.neighbors import edits, rules
from pipeline.stages.publish import list_sources, sorted_tables
from pipeline.storage.list_schemas import (
    FILLED,
    SHOWN_NEIGHBOR,
    TOP_ITEM,
)
from pipeline.store.arrow_files import Count, Rows

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# The counts of the stage: rows that fill lists, of how many items; and rows by entry.
FILLED_ROWS, _FILLED_ITEMS, _FILLED_BY = "filled_rows", "filled_items", "filled_by"
_STILL_SHORT, _COMPLETE = "short_after_filling", "complete"
# Candidates that lists are filled from at a time.
_CANDIDATES_AT_A_TIME = 200_000
# Candidates that a list meets first, for each of its places.
_FIRST_CANDIDATES = 2
# What the rules read of an item whose list is filled.
_READ = ("same", "price", "differ", "edits", "edited_as_item")


@dataclass(frozen=True)
class Filled:
    """What was filled.

    Attributes:
        tables: the rows of each table that was written.
        counts: the counts for run.json.
    """

    tables: dict[str, int]
    counts: dict[str, Any]


def is_on(job: Job) -> bool:
    """Whether lists are filled."""
    return bool(job.config.fallback.order)


def publish_inputs(job: Job) -> dict[str, Any]:
    """What fillings depend on besides the neighbours and their rules, for the stage's record."""
    if not is_on(job):
        return {}
    settings = job.config.fallback.model_dump()
    return {"fallback": {"settings": settings, "items": job.record("ingest").outputs["content"]}}


def only_short(lists: Rows, k: int) -> Rows:
    """The lists with fewer than k neighbours, of rows with the column neighbors."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.filter(pc.less(pc.list_value_length(batch["neighbors"]), k))

    return lists.map(run)


def write(job: Job, version: str, lists: Sequence[Rows]) -> Filled:
    """Write the tables tops and filled.

    Args:
        job: the run; its stage neighbors is done.
        version: of the tables.
        lists: item_id and neighbors, the lists that are filled: those of the items in short_lists,
            and any others, which stay as they are. An item in several of them has the list of the
            first; one without a row has no neighbour.

    Raises:
        InputError: a column of fallback.order has no value at all.
    """
    from pyspark.sql import functions as F

    job.line.note = "filling short lists"
    entries, k = job.config.fallback.entries, job.config.neighbors.k
    all_candidates = fallback.candidates_of_group(k)
    _check_columns(job, entries)
    traits = _traits(job, entries)
    tops = job.store.write_counted("tops", version, Rows(_tops(traits, entries, k), iter))
    rows = _short_lists(job, traits, entries, lists)
    # Those that pins have made complete; without pins there are none.
    complete = rows.where(F.size("neighbors") >= k).count() if len(lists) > 1 else 0
    for number, entry in enumerate(entries):
        # Most lists are full after the first few candidates; the others meet all of them. The rules
        # and the caps that held a candidate back the first time do so again.
        for depth in sorted({min(_FIRST_CANDIDATES * k, all_candidates), all_candidates}):
            rows = _fill(job, version, rows, number, entry, depth)
    written = job.store.write_counted("filled", version, _only_filled(rows), count=_counter(k))
    sums = written.sums
    short = job.record("neighbors").tables["short_lists"]
    counts = {
        FILLED_ROWS: sums[FILLED_ROWS],
        _FILLED_ITEMS: written.rows,
        _FILLED_BY: {entry.text: sums[entry.text] for entry in entries},
        _STILL_SHORT: short - sums[_COMPLETE] - complete,
    }
    job.line.note = ""
    return Filled({"tops": tops.rows, "filled": written.rows}, counts)


def filled_lists(job: Job, version: str, pairs: pa.Schema) -> Rows:
    """The lists of the table filled, as rows of lists_schema.

    Args:
        job: the run.
        version: of the table.
        pairs: the columns of the similar-item table.
    """
    rows = job.store.scan(job.spark, "filled", version, FILLED.names)
    return sorted_tables.first_neighbors(rows, pairs)


def _check_columns(job: Job, entries: list[FallbackEntry]) -> None:
    from pyspark.sql import functions as F

    names = sorted({name for entry in entries for name in (entry.same, entry.by) if name})
    counts = job.read("items", "ingest").agg(*[F.count(name).alias(name) for name in names]).first()
    assert counts is not None  # noqa: S101 - an aggregate has one row
    for name in names:
        if not counts[name]:
            raise InputError(
                f"fallback.order: no item of the catalogue has a {name}; map one of its columns "
                f"with catalogue.columns.{name}, or leave out what names it"
            )


def _traits(job: Job, entries: list[FallbackEntry]) -> "DataFrame":
    """What the rules read of all items, and for each entry, by its position, value_0 and number_0.

    The value is the hash of what the items of a group share; 0 for none, and if there is one group.
    """
    from pyspark.sql import functions as F

    columns: list[Column] = []
    for number, entry in enumerate(entries):
        value = rules.hash_of(entry.same) if entry.same else F.lit(0).cast("bigint")
        columns += [value.alias(f"value_{number}"), F.col(entry.by).alias(f"number_{number}")]
    return rules.traits_without_boosts(job, *columns)


def _tops(traits: "DataFrame", entries: list[FallbackEntry], k: int) -> "DataFrame":
    """The rows of the table tops.

    Args:
        traits: of `_traits`.
        entries: of fallback.order.
        k: neighbours of an item.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    depth = fallback.candidates_of_group(k)
    group = ("entry", "value", "same")
    parts = [
        traits.withColumns({"value": F.col(f"value_{n}"), "number": F.col(f"number_{n}")})
        .where(F.coalesce("eligible", F.lit(True)) & F.col("number").isNotNull())
        .where(~F.isnan("number") & (F.lit(not entry.same) | (F.col("value") != 0)))
        .select(
            F.lit(n).alias("entry"),
            "value",
            F.coalesce("same", F.lit("")).alias("same"),
            "number",
            *(field.name for field in TOP_ITEM),
        )
        for n, entry in enumerate(entries)
    ]
    rows = parts[0]
    for part in parts[1:]:
        rows = rows.unionByName(part)
    best_first = Window.partitionBy(*group).orderBy(F.col("number").desc(), F.col("item_id"))
    rows = rows.withColumn("place", F.row_number().over(best_first)).where(F.col("place") <= depth)
    item = F.struct("place", F.struct(*(field.name for field in TOP_ITEM)).alias("item"))
    grouped = rows.groupBy(*group).agg(F.array_sort(F.collect_list(item)).alias("items"))
    items = F.transform("items", lambda one: one["item"]).alias("items")
    # Rows of a value are near each other: a question reads few row groups.
    return grouped.select(*group, items).sortWithinPartitions(*group)


def _short_lists(
    job: Job, traits: "DataFrame", entries: list[FallbackEntry], lists: Sequence[Rows]
) -> "DataFrame":
    """The items whose lists are filled: item_id, _READ, value_0 and so on, neighbors."""
    from pyspark.sql import functions as F

    schema = list_sources.similar_items_schema(ranked=True, with_reason=True)
    frames = [sorted_tables.first_neighbors(rows, schema).table("filled") for rows in lists]
    found = frames[0]
    for frame in frames[1:]:
        others = frame.join(found.select("item_id"), "item_id", how="left_anti")
        found = found.unionByName(others)
    found = found.join(job.read("short_lists", "neighbors"), "item_id", how="left_semi")
    short = job.read("short_lists", "neighbors")
    names = [f"value_{n}" for n in range(len(entries))]
    rows = (
        short.select("item_id")
        .join(traits.select("item_id", *_READ, *names), "item_id", how="inner")
        .join(_with_capped(job, traits, found), "item_id", how="left")
    )
    same = F.coalesce("same", F.lit("")).alias("same")
    return rows.select("item_id", same, *_READ[1:], *names, "neighbors")


def _with_capped(job: Job, traits: "DataFrame", lists: "DataFrame") -> "DataFrame":
    """Lists whose neighbours have the values that caps count."""
    from pyspark.sql import functions as F

    width = len(job.config.rules.capped)
    none = F.array(*[F.lit(0)] * width).cast("array<bigint>")
    fields = [F.col(f"one.{field.name}") for field in SHOWN_NEIGHBOR]
    if not width:
        with_none = F.transform("neighbors", lambda one: one.withField("capped", none))
        return lists.select("item_id", with_none.alias("neighbors"))
    capped = traits.select(F.col("item_id").alias("similar_id"), "capped")
    flat = lists.select("item_id", F.posexplode("neighbors").alias("place", "one"))
    flat = flat.select("item_id", "place", *fields).join(capped, "similar_id", how="left")
    names = [field.name for field in SHOWN_NEIGHBOR]
    one = F.struct(*names, F.coalesce("capped", none).alias("capped"))
    listed = F.array_sort(F.collect_list(F.struct("place", one.alias("one"))))
    neighbors = F.transform("listed", lambda entry: entry["one"])
    grouped = flat.groupBy("item_id").agg(listed.alias("listed"))
    return grouped.select("item_id", neighbors.alias("neighbors"))


def _fill(
    job: Job, version: str, rows: "DataFrame", number: int, entry: FallbackEntry, depth: int
) -> "DataFrame":
    """Fill lists with the first `depth` items of one entry of fallback.order."""
    from pyspark.sql import functions as F

    tops = job.store.read(job.spark, "tops", version).where(F.col("entry") == number)
    value = f"value_{number}"
    candidates = F.slice("items", 1, depth).alias("candidates")
    tops = tops.select(
        F.col("value").alias("top_value"), F.col("same").alias("top_same"), candidates
    )
    pair_rules = rules.pair_rules(job.config.rules, job.config.rank, edits.state(job))
    k, text, names = job.config.neighbors.k, entry.text, rows.columns
    is_short = F.coalesce(F.size("neighbors"), F.lit(0)) < k
    is_its_group = (F.col(value) == F.col("top_value")) & (F.col("same") == F.col("top_same"))
    joined = rows.join(tops, is_its_group & is_short, how="left").select(*names, "candidates")
    step = max(1, _CANDIDATES_AT_A_TIME // depth)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, step):
                part = batch.slice(start, step)
                neighbors = fallback.fill(part, text, pair_rules, k)
                place = part.schema.get_field_index("neighbors")
                yield part.set_column(place, "neighbors", neighbors).select(names)

    return joined.mapInArrow(run, ", ".join(f"{name} {kind}" for name, kind in rows.dtypes))


def _only_filled(rows: "DataFrame") -> Rows:
    """Rows of FILLED: those that something was filled in."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            neighbors = batch["neighbors"].cast(FILLED.field("neighbors").type)
            row_of, flat = flatten_lists(neighbors)
            of_filled = row_of[np.asarray(flat.field("score").is_null())]
            lists = pa.RecordBatch.from_arrays([batch["item_id"], neighbors], schema=FILLED)
            yield lists.take(pa.array(np.unique(of_filled)))

    return Rows(rows.select("item_id", "neighbors"), run)


def _counter(k: int) -> Count:
    def count(lists: pa.Table) -> dict[str, int]:
        """How many rows fill lists, in all and by entry; how many lists have k items now."""
        shown = pc.list_flatten(lists["neighbors"])
        is_filled = pc.is_null(pc.struct_field(shown, "score"))
        reasons = pc.struct_field(shown, "reason").filter(is_filled)
        by_entry = pc.value_counts(reasons).to_pylist()
        counts = {one["values"]: one["counts"] for one in by_entry}
        complete = pc.sum(pc.equal(pc.list_value_length(lists["neighbors"]), k)).as_py() or 0
        return {**counts, FILLED_ROWS: sum(counts.values()), _COMPLETE: complete}

    return count
