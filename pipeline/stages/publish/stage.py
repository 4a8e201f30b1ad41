"""publish: neighbors -> similar_items and details, and the gate."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.errors import GateError, StageError
from pipeline.retrieval.item_order import ItemRanges
from pipeline.retrieval.pins import PINNED as PINNED_REASON
from pipeline.stages import incremental
from pipeline.stages.context import Job, StageResult
from pipeline.stages.neighbors import pins, query_items, rules
from pipeline.stages.publish import (
    comparison,
    examples,
    fallback,
    gate,
    list_sources,
    pair_sums,
    quality,
    sample_lists,
    sampled_rows,
    shared_words,
    sorted_tables,
)
from pipeline.stages.publish.sampled_rows import MAPPED
from pipeline.storage.list_schemas import PINNED
from pipeline.store.arrow_files import Rows
from pipeline.store.schemas import SHARED_WORDS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "publish"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
CODE_VERSION = 3


def inputs(job: Job) -> dict[str, Any]:
    """The neighbours; where the rows of items come from that were no queries; fillings, reasons."""
    return {
        "neighbors": job.record("neighbors").fingerprint,
        **query_items.publish_inputs(job),
        **fallback.publish_inputs(job),
        **({"reasons": True} if job.config.publish.reasons else {}),
    }


def execute(job: Job, version: str) -> StageResult:
    """Write the similar-item table, one row a pair, sorted by item and rank."""
    sampled, ranges = _item_ranges(job)
    filled = _fill_short_lists(job, version) if fallback.is_on(job) else None
    words = {}
    if job.config.publish.reasons:
        words = {shared_words.TABLE: shared_words.write_title_words(job, version, ranges)}
    sums, carried_rows = _write_pairs(job, version, ranges)
    rows, expected = sums[pair_sums.PAIRS], job.record("neighbors").outputs["pairs"]
    counts: dict[str, Any] = {"rows": rows, "carried_rows": carried_rows}
    if filled is not None:
        counts |= filled.counts
    if rows != expected + carried_rows + counts.get(fallback.FILLED_ROWS, 0):
        job.store.discard_version("similar_items", version)
        raise StageError(f"publish: {rows} rows, not {expected} found and {counts}; run it again")
    written = job.store.read(job.spark, "similar_items", version)
    items = job.record("ingest").tables["items"]
    with ThreadPoolExecutor(1) as pool:
        # What the rest of the stage does is independent of it: Spark does both at the same time.
        writing = pool.submit(sorted_tables.write_details, job, version, ranges)
        distribution, covered = quality.scores(sums)
        shown = _shown(job, version, carried_rows)
        hubs = quality.hubs(shown, items, ranges, _new_items(job))
        hub = hubs["most_shown"] and hubs["most_shown"]["item_id"]
        rows_of_few = sampled_rows.collect(job, written, sampled[:MAPPED], hub, covered)
        tables = {
            "similar_items": rows,
            examples.TABLE: examples.write(job, version, rows_of_few),
            sample_lists.TABLE: sample_lists.write(job, version, rows_of_few),
            "details": writing.result(),
            **(filled.tables if filled else {}),
            **words,
        }
    measured = {
        "coverage": round(covered / items, 6) if items else 0.0,
        "scores": distribution,
        **quality.sameness(rows_of_few),
        "hubs": hubs,
    }
    return StageResult(
        tables=tables,
        counts=counts | {"quality": measured},
        outputs={
            sample_lists.BOUND: rows_of_few.measured_up_to,
            sample_lists.ROWS_BY_RANK: pair_sums.rows_by_rank(sums),
        },
    )


def _item_ranges(job: Job) -> tuple[list[str], ItemRanges]:
    """A sample of the items, in random order; and which items each file of a table has."""
    items, cores = job.record("ingest").tables["items"], job.spark.sparkContext.defaultParallelism
    pairs = job.config.neighbors.k * (shared_words.WEIGHT if job.config.publish.reasons else 1)
    count = sorted_tables.file_count(items, pairs, cores)
    size = max(MAPPED, sorted_tables.SAMPLED_PER_RANGE * count)
    sampled = sampled_rows.sample_ids(job.read("items", "ingest").select("item_id"), items, size)
    return sampled, ItemRanges.from_sample(sampled, count)


def _fill_short_lists(job: Job, version: str) -> fallback.Filled:
    """Fill lists with fewer than k neighbours: the tables tops and filled."""
    *pinned, found = _sources(job)
    lists = [*pinned, fallback.only_short(found, job.config.neighbors.k)]
    return fallback.write(job, version, lists)


def _write_pairs(job: Job, version: str, ranges: ItemRanges) -> tuple[Mapping[str, int], int]:
    """Write the table; return the sums over its rows, and how many rows were carried over."""
    from pyspark import StorageLevel

    sources = _sources(job)
    if fallback.is_on(job):
        sources.insert(0, fallback.filled_lists(job, version, _schema(job)))
    carried = carried_over(job)
    if carried is None:
        return _write_checked(job, version, sources, ranges), 0
    # It is computed once, and read to count and to write it.
    carried = carried.persist(StorageLevel.DISK_ONLY)
    try:
        schema = _schema(job)
        lists = sorted_tables.first_neighbors(Rows(carried, iter), schema)
        carried_rows = sorted_tables.sums_of_lists(lists, schema)[pair_sums.PAIRS]
        sums = _write_checked(job, version, [*sources, lists], ranges)
        return sums, carried_rows
    finally:
        carried.unpersist()


def _write_checked(
    job: Job, version: str, sources: Sequence[Rows], ranges: ItemRanges
) -> Mapping[str, int]:
    """Write the table, and compare what was written with what was sent to be written.

    Returns:
        the sums over its rows.

    Raises:
        StageError: it is not the same, or a row makes no sense; the table is discarded.
    """
    sent = list_sources.SentPairs(job.spark.sparkContext)
    schema = _schema(job)
    if job.config.publish.reasons:
        schema = schema.append(SHARED_WORDS)
        rows = shared_words.similar_items(job, version, sources, ranges, sent, schema)
    else:
        rows = sorted_tables.similar_items(sources, ranges, sent, schema)
    written = job.store.write_counted(
        "similar_items", version, rows, count=pair_sums.sums, schema=schema
    )
    problems = _problems(written.sums, sent.sums(), sources, schema)
    if problems:
        job.store.discard_version("similar_items", version)
        raise StageError(f"publish: {'; '.join(problems)}; run it again")
    return written.sums


def _schema(job: Job) -> pa.Schema:
    """The columns of the table."""
    is_edited = job.config.edits.exists
    return list_sources.similar_items_schema(
        ranked=job.config.rank.exists or is_edited, with_reason=fallback.is_on(job) or is_edited
    )


def _sources(job: Job) -> list[Rows]:
    """The lists that were found; an item that is in several of them has the list of the first."""
    sources = [_neighbor_lists(job)]
    if pins.TABLE in job.record("neighbors").tables:
        pinned = job.scan(pins.TABLE, "neighbors", PINNED.names)
        sources.insert(0, sorted_tables.first_neighbors(pinned, _schema(job)))
    return sources


def _neighbor_lists(job: Job) -> Rows:
    """The first k neighbours of each item, in the order of the lists."""
    version, nlist = job.record("neighbors").fingerprint, job.record("index").outputs["lists"]
    names, k = ("item_id", "neighbors"), job.config.neighbors.k
    if job.config.rank.chooses:
        rows = job.scan("chosen", "neighbors", names)
    else:
        rows = job.store.scan_lists(job.spark, "neighbors", version, nlist, names)
    return sorted_tables.first_neighbors(rows, _schema(job), k)


def _problems(
    written: Mapping[str, int], sent: Mapping[str, int], sources: Sequence[Rows], schema: pa.Schema
) -> list[str]:
    """What is wrong with the rows written, by their sums."""
    meanings = {
        pair_sums.OWN: "items are their own neighbours",
        pair_sums.ODD: "scores are no cosines",
    }
    problems = [f"{written[name]} {meaning}" for name, meaning in meanings.items() if written[name]]
    digest = {name: written[name] for name in (pair_sums.PAIRS, pair_sums.DIGEST)}
    # A task that was repeated has counted its pairs twice: they are counted once more.
    if digest != sent and digest != sorted_tables.sums_of_sources(sources, schema):
        problems.append("the rows written are not those that were found")
    return problems


def _shown(job: Job, version: str, carried_rows: int) -> Rows:
    """The items that are neighbours, each time that they are: similar_id."""
    if carried_rows or pins.TABLE in job.record("neighbors").tables:
        pairs = comparison.found(job.store.read(job.spark, "similar_items", version))
        return Rows(pairs.select("similar_id"), iter)
    return sorted_tables.shown_ids(_neighbor_lists(job))


def _new_items(job: Job) -> Rows | None:
    """The items that the published version lacks: item_id.

    None if nothing is published, or the tokens are not built on those of the published version:
    then it is not known which items came.
    """
    from pyspark.sql import functions as F

    base, published = job.record("tokenize").outputs["base"], job.state.published
    if base is None or published is None or base != published.stages.get("tokenize"):
        return None
    changes = job.read("changes", "tokenize").where(F.col("change") == incremental.ADDED)
    return Rows(changes.select("item_id"), iter)


def carried_over(job: Job) -> "DataFrame | None":
    """The published lists of the items that are no queries of this run; None if all are.

    Neighbours that have left the catalogue, or may not be neighbours any more, are left out, and
    the ranks after them move up. So it is with what has filled lists, as long as [fallback] is on.

    Returns:
        item_id, and neighbors, best first.
    """
    from pyspark.sql import functions as F

    queries, baseline = query_items.select_query_items(job), query_items.baseline(job)
    if queries is None or baseline is None:
        return None
    others = rules.query_rule_items(job).join(queries.select("item_id"), "item_id", how="left_anti")
    eligible = rules.eligible_items(job).withColumnRenamed("item_id", "similar_id")
    published = query_items.read_baseline(job, "similar_items", baseline.similar_items)
    pairs = published.join(others, "item_id", how="left_semi")
    pairs = pairs.join(eligible, "similar_id", how="left_semi")
    pairs = rules.without_denied(job, pairs)
    if not fallback.is_on(job):
        pairs = comparison.found(pairs)
    for name, kind in (("ranked_by", "float"), (pair_sums.REASON, "string")):
        if name not in pairs.columns:
            pairs = pairs.withColumn(name, F.lit(None).cast(kind))
    # What somebody has pinned is not in force any more: [edits] is for runs of all items.
    pairs = pairs.where(F.coalesce(F.col(pair_sums.REASON), F.lit("")) != F.lit(PINNED_REASON))
    names = ("similar_id", "score", "ranked_by", pair_sums.REASON)
    by_rank = F.array_sort(F.collect_list(F.struct("rank", *names)))
    lists = pairs.groupBy("item_id").agg(by_rank.alias("ranked"))
    neighbors = F.transform("ranked", lambda n: F.struct(*(n[name] for name in names)))
    return lists.select("item_id", neighbors.alias("neighbors"))


def pass_gate(job: Job, measured: gate.Measurements, *, retrained: bool = False) -> None:
    """Pass the gate.

    Args:
        job: the run; all its stages are done.
        measured: the gate's measurements of the table.
        retrained: whether the run was told to train a new model.

    Raises:
        GateError: with all reasons to hold the table back, and where it is.
    """
    record = job.record(NAME)
    problems = gate.problems(job, measured, retrained=retrained)
    if problems:
        path = job.store.table_path("similar_items", record.fingerprint)
        raise GateError(f"the table is held back: {'; '.join(problems)}. It is in {path}")
