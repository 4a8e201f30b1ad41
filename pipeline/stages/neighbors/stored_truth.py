"""The ground truth as the store has it, so that a night compares the sample with what changed.

A query that was in the sample before is compared with the arrivals only. A query that is new in it,
and one that has lost so many neighbours that items may be missing which were never looked at, is
compared with all items. The result is what the exact search of the whole sample gives.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import exact_search, packed_batches
from pipeline.retrieval.neighbor_rows import flatten_lists
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rules import NO_RULES, with_traits
from pipeline.retrieval.truth_update import update_truth
from pipeline.stages.context import Job
from pipeline.stages.neighbors import ground_truth, recall_sample, rules
from pipeline.stages.neighbors.ground_truth import GroundTruth
from pipeline.stages.neighbors.recall_sample import SAMPLED, SampledQueries, SampleSettings
from pipeline.stages.neighbors.search_context import SearchContext
from pipeline.store import schemas
from pipeline.store.arrow_files import Rows
from pipeline.store.schemas import GROUND_TRUTH
from pipeline.store.stage_record import StageRecord

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TABLE = "ground_truth"
# The field of the stage's outputs that has the bound of the sample.
BOUND = "sampled_up_to"
_IDS = pa.schema([GROUND_TRUTH.field("item_id")])


def is_stored(context: SearchContext) -> bool:
    """Whether the ground truth is stored: if every item asks, and there are no rules."""
    config = context.job.config
    asks_all = context.query_items is None and config.neighbors.mode == "all"
    return asks_all and not rules.has_rules(config)


def find_truth(
    context: SearchContext, settings: SampleSettings, base: StageRecord | None
) -> GroundTruth:
    """Draw the sample and find its true neighbours.

    Args:
        context: what the search works with.
        settings: what the sample is.
        base: of the neighbours that belong to the lists that today's are built on; None to draw
            and search without them.
    """
    items = context.item_rows(ground_truth.ITEM_COLUMNS)
    section, k = context.job.config.neighbors, context.job.config.neighbors.k
    if not is_stored(context):
        sampled = recall_sample.draw(context.queries, context.query_count, settings)
        needed = np.unique(np.concatenate(sampled.parts))
        rows = ground_truth.search_truth(items, sampled, needed, k, context.search.rules)
        return GroundTruth(sampled, rows)
    earlier = None
    if base is not None and TABLE in base.tables:
        earlier = _read_earlier(context.job, base, settings)
    sampled = _sample(context, settings, earlier)
    needed = np.unique(np.concatenate(sampled.parts))
    counts = k, k + section.reserve
    known = packed_batches.concat([], exact_search.TRUTH)
    if earlier is not None:
        known = _update(earlier, sampled, needed, counts)
    missing = np.setdiff1d(needed, known["query"].to_numpy())
    searched = ground_truth.search_truth(items, sampled, missing, counts[1], NO_RULES)
    rows = pa.concat_batches([known, searched])
    by_query = np.argsort(rows["query"].to_numpy(), kind="stable")
    return GroundTruth(sampled, rows.take(pa.array(by_query)))


def _sample(
    context: SearchContext, settings: SampleSettings, earlier: "_Earlier | None"
) -> SampledQueries:
    """The sample: an earlier one brought up to date, or another draw, which is the same."""
    sampled = None
    if earlier is not None:
        before = earlier.truth.sampled
        sampled = recall_sample.update(before, earlier.departures, earlier.arrivals)
    if sampled is None:
        sampled = recall_sample.draw(context.queries, context.query_count, settings)
    return sampled


@dataclass(frozen=True)
class _Earlier:
    """An earlier run's ground truth, and what has changed since then.

    Attributes:
        truth: the ground truth.
        departures: string[n], the ids in it of items that are gone or have another vector.
        arrivals: rows of the lists table that are new.
    """

    truth: GroundTruth
    departures: pa.Array
    arrivals: "DataFrame"


def _read_earlier(job: Job, base: StageRecord, settings: SampleSettings) -> _Earlier:
    table = job.store.dataset(TABLE, base.fingerprint).to_table().select(GROUND_TRUTH.names)
    stored = packed_batches.concat(table.cast(GROUND_TRUTH).to_batches(), GROUND_TRUTH)
    rows = with_traits(stored.select(["item_id", "order", "list", "vector"]))
    sampled = SampledQueries(rows.select(SAMPLED.names), base.outputs[BOUND], settings)
    query_of, neighbors = flatten_lists(stored["neighbors"])
    nulls = pa.nulls(len(neighbors))
    columns = [
        pa.array(query_of, pa.int32()),
        *(neighbors.field(name) for name in ("similar_id", "score", "list")),
        *(nulls.cast(field.type) for field in list(exact_search.TRUTH)[4:]),
    ]
    truth = pa.RecordBatch.from_arrays(columns, schema=exact_search.TRUTH)
    ids = pc.unique(pa.concat_arrays([stored["item_id"], neighbors.field("similar_id")]))
    departures = _ids_among(job.read("departures", "index"), ids)
    return _Earlier(GroundTruth(sampled, truth), departures, job.read("arrivals", "index"))


def _ids_among(rows: "DataFrame", ids: pa.Array) -> pa.Array:
    """The item_id of the rows that are among some ids."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.filter(pc.is_in(batch["item_id"], ids))

    table = rows.select("item_id").mapInArrow(run, schemas.ddl(_IDS)).toArrow()
    return table["item_id"].cast(pa.string()).combine_chunks()


def _update(
    earlier: _Earlier, sampled: SampledQueries, needed: Int64, counts: tuple[int, int]
) -> pa.RecordBatch:
    """The true neighbours of the queries for which an earlier run's and the arrivals tell them.

    Args:
        earlier: the earlier run's.
        sampled: the queries of today.
        needed: int64[n], those whose neighbours are wanted.
        counts: how many neighbours a query has to have, and how many are kept.
    """
    before, departures = earlier.truth, earlier.departures
    ids = before.sampled.rows["item_id"]
    # A query that has departed and arrived has another vector.
    stays = pc.invert(pc.is_in(ids, departures))
    numbers = pc.if_else(stays, pc.index_in(ids, sampled.rows["item_id"]), None)
    query_of = numbers.take(before.rows["query"])
    rows = before.rows.set_column(0, exact_search.TRUTH.field("query"), query_of)
    rows = rows.filter(pc.is_in(query_of, pa.array(needed, pa.int32())))
    known = np.unique(rows["query"].to_numpy()).astype(np.int64)
    arrivals = Rows(earlier.arrivals, iter)
    entering = ground_truth.search_truth(arrivals, sampled, known, counts[1], NO_RULES)
    rows, has_enough = update_truth(rows, departures, entering, sampled.rows.num_rows, counts)
    return rows.filter(pa.array(has_enough[rows["query"].to_numpy()]))


def write(job: Job, truth: GroundTruth, version: str) -> int:
    """Write the ground truth for later runs; return the number of rows."""
    queries, rows = truth.sampled.rows, truth.rows
    neighbor = GROUND_TRUTH.field("neighbors").type
    values = pa.StructArray.from_arrays(
        [rows[field.name] for field in neighbor.value_type], fields=list(neighbor.value_type)
    )
    query_of = rows["query"].to_numpy()
    counts = np.bincount(query_of, minlength=queries.num_rows)
    # Null where the true neighbours are not known.
    offsets = pa.array(
        np.concatenate([[0], np.cumsum(counts)]), pa.int32(), mask=np.append(counts == 0, False)
    )
    lists = pa.ListArray.from_arrays(offsets, values, type=neighbor)
    columns = [*(queries[name] for name in GROUND_TRUTH.names[:-1]), lists]
    return job.store.write_table(pa.table(columns, schema=GROUND_TRUTH), TABLE, version)
