"""The incremental search: neighbours built on an earlier run's, so that only changes travel."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.retrieval import packed_batches, update
from pipeline.retrieval.arrivals import NeighborSettings
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.reverse_probes import (
    MOVES,
    PROBING_GROUPS,
    ReverseProbes,
    probing_groups,
    send_moves,
)
from pipeline.retrieval.rules import with_traits
from pipeline.stages.index import lists
from pipeline.stages.neighbors import rules, widening
from pipeline.stages.neighbors.search import ITEM_COLUMNS, SearchCounts
from pipeline.stages.neighbors.search_context import SearchContext, candidates_kept
from pipeline.storage.list_schemas import CANDIDATES, NEIGHBORS
from pipeline.store import schemas
from pipeline.store.arrow_files import Rows
from pipeline.store.clustered import ClusteredTable
from pipeline.store.stage_record import StageRecord

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# If a greater share of the catalogue has moved, a full search costs less.
MAX_MOVED_SHARE = 0.2

_NEIGHBOR_COLUMNS = tuple(NEIGHBORS.names)


@dataclass(frozen=True)
class NeighborUpdate:
    """The update of the neighbors table as Spark runs it.

    Attributes:
        plan: the groups of lists.
        items: the files of the lists table as it is now.
        base_neighbors: the files of the earlier neighbors table.
        reverse_probes: from which groups each list is probed.
        settings: what neighbours are.
        counts: what the tasks count.
    """

    plan: GroupPlan
    items: ClusteredTable
    base_neighbors: ClusteredTable
    reverse_probes: ReverseProbes
    settings: NeighborSettings
    counts: SearchCounts

    def find_incomplete(self, moves: "DataFrame") -> "DataFrame":
        """The items that stay and have to be searched again: rows of the candidates table.

        Args:
            moves: rows of `join_moves`.
        """
        reader, settings = self._reader(), self.settings

        def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
            for rows in update.find_incomplete(batches, reader, settings):
                yield with_traits(rows).select(CANDIDATES.names).cast(CANDIDATES)

        return self._send(moves).mapInArrow(run, schemas.ddl(CANDIDATES))

    def update_rows(self, moves: "DataFrame") -> Rows:
        """The neighbors table of the items that stay and need not be searched again."""
        reader, settings, distances = self._reader(), self.settings, self.counts.distances

        def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
            return update.update_neighbors(batches, reader, settings, distances.add)

        return Rows(self._send(moves), run)

    def _reader(self) -> update.GroupReader:
        plan, items, neighbors = self.plan, self.items, self.base_neighbors

        def read_items(group: int) -> "Iterator[pa.RecordBatch]":
            return items.rows(*plan.list_range(group), ITEM_COLUMNS)

        def read_neighbors(group: int) -> "Iterator[pa.RecordBatch]":
            return neighbors.rows(*plan.list_range(group), _NEIGHBOR_COLUMNS)

        return update.GroupReader(plan, read_items, read_neighbors)

    def _send(self, moves: "DataFrame") -> "DataFrame":
        """The moves, packed and shuffled to the groups that they concern."""
        plan, reverse_probes, counts = self.plan, self.reverse_probes, self.counts

        def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
            for batch in send_moves(batches, reverse_probes, plan):
                counts.bytes.add(batch.nbytes)
                yield batch

        sent = moves.mapInArrow(run, schemas.ddl(packed_batches.SCHEMA))
        return lists.shuffle_by_group(sent, plan.group_count, plan.group_count)


def join_moves(arrivals: "DataFrame", departures: "DataFrame") -> "DataFrame":
    """Arrivals and departures as one frame of the columns of MOVES that there are.

    Args:
        arrivals: rows of the lists table, or of the candidates table.
        departures: item_id, list.
    """
    columns = [name for name in MOVES.names if name in arrivals.columns]
    return arrivals.select(*columns).unionByName(departures, allowMissingColumns=True)


@dataclass(frozen=True)
class ListChanges:
    """What has changed in the lists since an earlier run.

    Attributes:
        arrivals: rows of the lists table, or of the candidates table, that are new.
        departures: item_id and list of the rows that are gone.
        count: how many rows both have.
    """

    arrivals: "DataFrame"
    departures: "DataFrame"
    count: int


def changes_since(context: SearchContext, base: StageRecord) -> ListChanges:
    """What has changed in the lists since the base was made.

    An item whose traits have changed counts as a departure and an arrival.
    """
    from pyspark import StorageLevel

    job, store = context.job, context.job.store
    arrivals, departures = job.read("arrivals", "index"), job.read("departures", "index")
    tables = job.record("index").tables
    count = tables["arrivals"] + tables["departures"]
    if not rules.has_rules(job.config):
        return ListChanges(arrivals, departures, count)
    before = store.read(job.spark, "candidates", base.fingerprint)
    changed = rules.items_with_changed_traits(context.lists, before)
    changed = changed.join(arrivals, "item_id", how="left_anti")
    # It is read several times; it is dropped when the session ends.
    changed = changed.persist(StorageLevel.DISK_ONLY)
    ids = arrivals.select("item_id").unionByName(changed)
    all_arrivals = context.lists.join(ids, "item_id", how="left_semi")
    changed_rows = context.lists.select("item_id", "list").join(changed, "item_id", how="left_semi")
    count += 2 * changed.count()
    return ListChanges(all_arrivals, departures.unionByName(changed_rows), count)


def load_reverse_probes(pairs: "DataFrame | None", plan: GroupPlan) -> ReverseProbes:
    """From which groups each list is probed.

    Args:
        pairs: home and probed; None if every list is probed from every list. What is collected of
            them is a row for each pair of a list and a group that probes it: their number grows
            with that of the lists, as the quantiser does, not with that of the items.
        plan: the groups.
    """
    if pairs is None:
        return ReverseProbes.all_groups(plan)

    def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        return probing_groups(batches, plan)

    table = pairs.mapInArrow(run, schemas.ddl(PROBING_GROUPS)).distinct().toArrow()
    probed, group = (np.asarray(table[name]) for name in ("probed", "group"))
    return ReverseProbes.from_pairs(probed, group, plan)


def update_neighbors(
    context: SearchContext, base: StageRecord, changes: ListChanges, version: str
) -> tuple[dict[str, int], Mapping[str, int]]:
    """Write the neighbors table by what has changed since an earlier run, and the table `reach`.

    Args:
        context: what the search works with.
        base: the earlier neighbours' record.
        changes: what has changed since then.
        version: of the tables.

    Returns:
        the tables' rows; and the sums of `widening.counter`.
    """
    job, search, store = context.job, context.search, context.job.store
    section, is_exact = job.config.neighbors, context.centroids is None
    nprobe = 0 if is_exact else int(base.counts["probes"])
    pairs, tables = None, {}
    if not is_exact:
        new = Rows(changes.arrivals.select("list", "probes"), iter)
        pairs = store.read(job.spark, "reach", base.fingerprint).unionByName(
            lists.probe_pairs(new, context.nlist, nprobe)
        )
        tables["reach"] = store.write(pairs.distinct(), "reach", version)
        pairs = store.read(job.spark, "reach", version)
    kept = candidates_kept(job.config)
    capacity = kept + section.reserve
    updating = NeighborUpdate(
        plan=search.plan,
        items=search.items,
        base_neighbors=store.open_clustered("neighbors", base.fingerprint),
        reverse_probes=load_reverse_probes(pairs, search.plan),
        settings=NeighborSettings(
            section.k, capacity, nprobe, search.rules, widens=not is_exact, chosen_from=kept
        ),
        counts=search.counts,
    )
    moves, arrivals = join_moves(changes.arrivals, changes.departures), changes.arrivals
    queries = arrivals.where("asks is null or asks") if "asks" in arrivals.columns else arrivals
    queries = queries.unionByName(updating.find_incomplete(moves), allowMissingColumns=True)
    probed = context.probed(nprobe or context.nlist)
    # An item that leaves is a neighbour of as many others as each has, in the mean.
    share = changes.count * capacity / max(context.query_count, 1)
    sizes = np.ceil(search.query_sizes * min(share, 1)).astype(np.int64)
    search = replace(search, all_are_queries=False, query_sizes=sizes)
    candidates = search.find_candidates(Rows(queries, iter), probed)
    parts = (updating.update_rows(moves), search.merge(candidates, probed))
    count = widening.counter(section.k)
    written = store.write_counted("neighbors", version, *parts, count=count)
    return tables | {"neighbors": written.rows}, written.sums
