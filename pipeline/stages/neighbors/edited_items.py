"""What the edits say of each item: as the item of a list, and as a neighbour.

Conditions are evaluated here in Python, on batches: Spark plans each of them for longer than it
evaluates it, and there may be a thousand.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.conditions import Node, Type, columns_of, parse
from pipeline.conditions.batches import Bools, Items, columns_read
from pipeline.conditions.spark_columns import DATA_TYPES
from pipeline.retrieval.pair_edits import DENIED
from pipeline.stages.context import Job
from pipeline.stages.neighbors import edits
from pipeline.stages.neighbors.edit_rows import MICRO
from pipeline.stages.neighbors.edit_state import Edit, Side
from pipeline.storage.list_schemas import TRAITS
from pipeline.store import schemas

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

# The column of what conditions read, and those that are computed of it.
READ = "read_by_edits"
_OF_CONDITIONS = pa.schema(
    [
        ("edited_as_item", pa.int64()),
        ("edited_as_neighbor", pa.int64()),
        ("edit_micro", pa.int64()),
        ("edit_denied", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Sides:
    """The sides of some edits, told from others by their parsed conditions.

    Attributes:
        nodes: by condition.
    """

    nodes: Mapping[str, Node]

    @classmethod
    def of(cls, job: Job, edited: Sequence[Edit]) -> "Sides":
        """The sides of some edits of the run, which are parsed once."""
        nodes = job.once("conditions of edits", lambda: _parsed(job))
        texts = {text for edit in edited for text in (edit.item_where, edit.similar_where) if text}
        return cls({text: nodes[text] for text in sorted(texts)})

    def column(self) -> "Column":
        """The column READ of the items table, from which `tests` reads."""
        from pyspark.sql import functions as F

        kinds = {"item_id": Type.TEXT}
        for node in self.nodes.values():
            kinds |= columns_read(node)
        # A date is a text in conditions.
        values = [F.col(name).cast(DATA_TYPES[kind]).alias(name) for name, kind in kinds.items()]
        return F.struct(*values).alias(READ)

    def tests(self, batch: pa.RecordBatch) -> Callable[[Side], Bools]:
        """Which items of a batch are a side of an edit: all, by id, or by condition: bool[n]."""
        columns = pa.RecordBatch.from_struct_array(batch[READ])
        items, ids = Items(columns), columns["item_id"]

        @cache
        def test(side: Side) -> Bools:
            if side.where:
                return items.holds(self.nodes[side.where])
            if side.item_id is None:
                return np.ones(len(ids), dtype=bool)
            # An id is compared as it is: in a condition, some characters mean others.
            return np.asarray(pc.equal(ids, side.item_id))

        return test


def _parsed(job: Job) -> dict[str, Node]:
    columns, edited = columns_of(job.config.catalogue.further), edits.state(job).with_conditions
    texts = {text for edit in edited for text in (edit.item_where, edit.similar_where) if text}
    return {text: parse(text, columns) for text in texts}


def inputs_of_items(job: Job) -> "list[Column]":
    """The columns of the items table that `add_to_traits` reads."""
    edited = _with_conditions(job)
    return [Sides.of(job, edited).column()] if edited else []


def _with_conditions(job: Job) -> list[Edit]:
    state = edits.state(job)
    return [*state.numbered, *state.of_all]


def _add_conditional(job: Job, rows: "DataFrame") -> "DataFrame":
    """Add _OF_CONDITIONS, in place of what conditions read."""
    from pyspark.sql import functions as F

    if READ not in rows.columns:
        none = F.lit(0 if job.config.edits.exists else None).cast("bigint")
        values = (none, none, F.lit(0).cast("bigint"), F.lit(False))
        return rows.withColumns(dict(zip(_OF_CONDITIONS.names, values, strict=True)))
    state, sides = edits.state(job), Sides.of(job, _with_conditions(job))
    numbered, of_all = state.numbered, state.of_all
    kept = [name for name in rows.columns if name != READ]

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            values = _values(numbered, of_all, sides.tests(batch), batch.num_rows)
            columns = [*(batch[name] for name in kept), *values]
            yield pa.RecordBatch.from_arrays(columns, [*kept, *_OF_CONDITIONS.names])

    types = dict(rows.dtypes)
    ddl = [*(f"{name} {types[name]}" for name in kept), schemas.ddl(_OF_CONDITIONS)]
    return rows.mapInArrow(run, ", ".join(ddl))


def _values(
    numbered: Sequence[Edit], of_all: Sequence[Edit], test: Callable[[Side], Bools], count: int
) -> list[pa.Array]:
    """The values of _OF_CONDITIONS for some items."""
    as_item, as_neighbor, micro = np.zeros((3, count), dtype=np.int64)
    is_denied = np.zeros(count, dtype=bool)
    for number, edit in enumerate(numbered):
        as_item |= test(edit.item).astype(np.int64) << number
        as_neighbor |= test(edit.neighbor).astype(np.int64) << number
    for edit in of_all:
        if edit.value == DENIED:
            is_denied |= test(edit.neighbor)
        else:
            micro[test(edit.neighbor)] += round(edit.value * MICRO)
    return [pa.array(values) for values in (as_item, as_neighbor, micro, is_denied)]


def add_to_traits(job: Job, rows: "DataFrame") -> "DataFrame":
    """Add what the edits say of each item; denied items are not eligible.

    Args:
        job: the run.
        rows: item_id, eligible, boost, the columns of `inputs_of_items`, and any others.

    Returns:
        the rows with the traits of edits, and with `paired`, whether it is the neighbour in an edit
        of two ids.
    """
    from pyspark.sql import functions as F

    rows = _add_conditional(job, rows)
    if not (job.config.edits.exists or job.config.rules.deny):
        none = F.lit(None).cast(schemas.spark_type(TRAITS.field("edits").type))
        return rows.withColumns({"paired": F.lit(False), "edits": none})
    table = edits.read(job).where("action <> 'pin'")
    deny = F.max(F.col("action") == "deny")
    one = F.lit(MICRO).cast("bigint")
    added = F.greatest(-one, F.least(one, F.sum("micro")))
    pair_boost = F.when(deny, F.lit(float(DENIED))).otherwise(added / F.lit(float(MICRO)))
    by_pair = table.where(edits.BY_IDS).groupBy("item_id", "similar_id")
    pairs = by_pair.agg(pair_boost.alias("boost"))
    own_edits = F.array_sort(F.collect_list(F.struct("similar_id", "boost")))
    lists = pairs.groupBy("item_id").agg(own_edits.alias("edits"))
    paired = pairs.select(F.col("similar_id").alias("item_id"), F.lit(True).alias("is_paired"))
    of_all = table.where(f"similar_id is not null and {edits.ALL}").withColumn(
        "item_id", F.col("similar_id")
    )
    by_neighbor = of_all.groupBy("item_id").agg(deny.alias("denied"), F.sum("micro").alias("micro"))
    joined = (
        rows.join(by_neighbor, "item_id", how="left")
        .join(lists, "item_id", how="left")
        .join(paired.distinct(), "item_id", how="left")
    )
    is_denied = F.col("edit_denied") | F.coalesce("denied", F.lit(False))
    total = F.col("edit_micro") + F.coalesce("micro", F.lit(0))
    own = F.greatest(-one, F.least(one, total)) / F.lit(float(MICRO))
    boosted = F.coalesce("boost", F.lit(0.0)) + own
    boost = F.when(total == 0, F.col("boost")).otherwise(boosted)
    eligible = F.when(is_denied, F.lit(False)).otherwise(F.col("eligible"))
    changed = joined.withColumns({"eligible": eligible, "boost": boost})
    is_paired = F.coalesce("is_paired", F.lit(False)).alias("paired")
    return changed.select(*rows.columns, is_paired, "edits")
