"""The tables of the stage that are in the order of item_id, as Spark writes them.

Python workers read the files of the tables before, and send their rows, packed, to the file that
has their range of ids: Spark shuffles cells, and takes no row apart.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import item_order, packed_batches
from pipeline.retrieval.item_order import ItemRanges
from pipeline.retrieval.neighbor_values import ranked_by
from pipeline.stages.context import Job
from pipeline.stages.index.lists import shuffle_by_group
from pipeline.stages.publish import pair_sums
from pipeline.stages.publish.list_sources import (
    SOURCE,
    SentPairs,
    is_of_first_source,
    lists_schema,
    with_source,
)
from pipeline.store import schemas
from pipeline.store.arrow_files import Rows, Run
from pipeline.store.schemas import DETAILS, ITEMS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Items and pairs of a file, at most, about: a worker sorts them in half a gigabyte.
_ITEMS_PER_FILE, _PAIRS_PER_FILE = 300_000, 3_000_000
# A smaller table is not cut for the sake of cores that would be idle.
_MIN_ITEMS_PER_FILE = 20_000
# Rows that are read to get one item's details: half a megabyte.
_ROWS_PER_GROUP = 4_000
# Ids of the sample for each range: the largest range has hardly twice the mean.
SAMPLED_PER_RANGE = 20


def file_count(items: int, k: int, cores: int) -> int:
    """How many files a table gets.

    Args:
        items: how many items the catalogue has.
        k: neighbours of an item.
        cores: tasks at a time.
    """
    needed = max(-(-items // _ITEMS_PER_FILE), -(-items * k // _PAIRS_PER_FILE))
    return max(needed, min(cores, items // _MIN_ITEMS_PER_FILE), 1)


def similar_items(
    sources: Sequence[Rows], ranges: ItemRanges, sent: SentPairs, schema: pa.Schema
) -> Rows:
    """The similar-item table, one row a pair, in the order of item_id and rank.

    Args:
        sources: rows of lists_schema. An item that is in several of them has the list of the first.
        ranges: which ids each file has.
        sent: counts the pairs before they are shuffled.
        schema: of the table.
    """
    sent_schema = lists_schema(schema).append(SOURCE)

    def send(number: int) -> Run:
        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            counted = _counted(batches, sent, schema)
            return item_order.send((with_source(batch, number) for batch in counted), ranges)

        return run

    def receive(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in item_order.receive(batches, sent_schema):
            is_first = is_of_first_source(rows)
            if not is_first.all():
                others = rows.filter(pa.array(~is_first))
                for replaced in pair_sums.pairs_of_lists(others, schema):
                    sent.add(replaced, -1)
                rows = rows.filter(pa.array(is_first))
            yield from pair_sums.pairs_of_lists(rows, schema)

    packed = [source.map(send(number)) for number, source in enumerate(sources)]
    return shuffled(packed, ranges, receive)


def first_neighbors(lists: Rows, pairs: pa.Schema, k: int | None = None) -> Rows:
    """Rows of lists_schema.

    Args:
        lists: item_id, and neighbors, best first; fields of a neighbour that are missing are null,
            but for `ranked_by`, which then is the score.
        pairs: the columns of the similar-item table.
        k: how many neighbours of an item are taken; None for all.
    """
    schema = lists_schema(pairs)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            neighbors = batch["neighbors"]
            if k is not None:
                neighbors = pc.list_slice(neighbors, 0, k)
            neighbors = _ranked(neighbors.cast(schema.field("neighbors").type))
            yield pa.RecordBatch.from_arrays([batch["item_id"], neighbors], schema=schema)

    return lists.map(run)


def _ranked(lists: pa.ListArray) -> pa.ListArray:
    """Lists whose neighbours have what they are ranked by, if their type has it."""
    place = lists.type.value_type.get_field_index("ranked_by")
    neighbors = lists.flatten()
    if place < 0 or not neighbors.field(place).null_count:
        return lists
    fields = list(lists.type.value_type)
    values = [neighbors.field(n) for n in range(len(fields))]
    values[place] = ranked_by(neighbors)
    sizes = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
    ranked = pa.StructArray.from_arrays(values, fields=fields)
    return pa.ListArray.from_arrays(offsets, ranked).cast(lists.type)


def _counted(
    lists: Iterator[pa.RecordBatch], sent: SentPairs, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    for batch in lists:
        for pairs in pair_sums.pairs_of_lists(batch, schema):
            sent.add(pairs)
        yield batch


def sums_of_sources(sources: Sequence[Rows], schema: pa.Schema) -> dict[str, int]:
    """The number and the digest of the pairs that sources give the table, in jobs of their own.

    Args:
        sources: as for `similar_items`.
        schema: of the table.
    """
    total = Counter[str]()
    ids: list[DataFrame] = []
    for source in sources:
        frame = source.frame.mapInArrow(source.run, schemas.ddl(lists_schema(schema)))
        for earlier in ids:
            frame = frame.join(earlier, "item_id", how="left_anti")
        total.update(sums_of_lists(Rows(frame, iter) if ids else source, schema))
        ids.append(frame.select("item_id"))
    return dict(total)


def sums_of_lists(source: Rows, schema: pa.Schema) -> dict[str, int]:
    """The number and the digest of the pairs of rows of lists_schema, in a job of its own."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        total = Counter[str]()
        for batch in batches:
            for pairs in pair_sums.pairs_of_lists(batch, schema):
                total.update(pair_sums.digest_sums(pairs))
        names = (pair_sums.PAIRS, pair_sums.DIGEST)
        yield pa.RecordBatch.from_pylist([{name: total[name] for name in names}])

    summed = source.map(run)
    ddl = f"{pair_sums.PAIRS} long, {pair_sums.DIGEST} long"
    table = summed.frame.mapInArrow(summed.run, ddl).toArrow()
    return {name: sum(table[name].to_pylist()) for name in table.column_names}


def write_details(job: Job, version: str, ranges: ItemRanges) -> int:
    """Write the details table: what is shown of an item, and its list, in small row groups.

    Returns:
        the number of rows.
    """
    index = job.record("index")
    further = list(schemas.items_schema(job.config.catalogue.further))[len(ITEMS) :]
    schema = pa.schema([*DETAILS, *further])
    # A row of the details; or of an item only its list, which comes from another table.
    parts = schema.append(pa.field("is_item", pa.bool_()))
    items = job.scan("items", "ingest", [name for name in schema.names if name != "list"])
    lists = job.store.scan_lists(
        job.spark, "lists", index.fingerprint, index.outputs["lists"], ("item_id", "list")
    )

    def send(*, is_item: bool) -> Run:
        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            rows = (_part(batch, parts, is_item=is_item) for batch in batches)
            return item_order.send(rows, ranges)

        return run

    def receive(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _join_parts(batches, parts, schema)

    sources = [items.map(send(is_item=True)), lists.map(send(is_item=False))]
    rows = shuffled(sources, ranges, receive)
    return job.store.write_counted("details", version, rows, schema=schema).rows


def _part(rows: pa.RecordBatch, parts: pa.Schema, *, is_item: bool) -> pa.RecordBatch:
    """Rows with the columns of `parts`; those that the rows do not have are null."""
    present: dict[str, Any] = {name: rows[name] for name in rows.schema.names}
    present["is_item"] = pa.array([is_item]).take(pa.array([0] * rows.num_rows, pa.int64()))
    columns = [
        present[field.name].cast(field.type)
        if field.name in present
        else pa.nulls(rows.num_rows, field.type)
        for field in parts
    ]
    return pa.RecordBatch.from_arrays(columns, schema=parts)


def _join_parts(
    batches: Iterator[pa.RecordBatch], parts: pa.Schema, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The details of each file, in batches each of which becomes a row group."""
    for rows in item_order.receive(batches, parts):
        items, lists = (rows.filter(mask) for mask in (rows["is_item"], pc.invert(rows["is_item"])))
        list_of = lists["list"].take(pc.index_in(items["item_id"], lists["item_id"]))
        place = schema.get_field_index("list")
        details = items.set_column(place, schema.field(place), list_of).select(schema.names)
        yield from row_groups(details)


def row_groups(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Rows in batches that are small row groups, so that few are read to get one item's."""
    for start in range(0, rows.num_rows, _ROWS_PER_GROUP):
        yield rows.slice(start, _ROWS_PER_GROUP)


def shown_ids(lists: Rows) -> Rows:
    """The items that are shown in rows of lists_schema, each time that they are: similar_id."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            ids = batch["neighbors"].flatten().field("similar_id")
            yield pa.RecordBatch.from_arrays([ids], ["similar_id"])

    return lists.map(run)


def shuffled(sources: Sequence[Rows], ranges: ItemRanges, receive: Run) -> Rows:
    """What workers make of the packed rows of each range of ids.

    Args:
        sources: packed batches of item_order.send.
        ranges: the ranges.
        receive: takes the packed batches of some ranges, sorted by key.
    """
    ddl = schemas.ddl(packed_batches.SCHEMA)
    frames = [source.frame.mapInArrow(source.run, ddl) for source in sources]
    packed: DataFrame = frames[0]
    for frame in frames[1:]:
        packed = packed.unionByName(frame)
    return Rows(shuffle_by_group(packed, ranges.count, ranges.count), receive)
