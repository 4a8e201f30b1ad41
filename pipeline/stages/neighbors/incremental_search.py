"""Neighbours of a night that builds on an earlier one, as Spark finds them: only changes travel."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.retrieval import packed_batches
from pipeline.retrieval import update as updates
from pipeline.retrieval.arrivals import NeighborSettings
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.join import ReadGroup
from pipeline.retrieval.reverse_probes import MOVES, ReverseProbes, send_moves
from pipeline.retrieval.rules import with_traits
from pipeline.stages.index import lists
from pipeline.stages.neighbors import rules
from pipeline.stages.neighbors.search import ITEM_COLUMNS, ProbedLists, SearchCounts
from pipeline.stages.neighbors.search_context import SearchContext
from pipeline.storage.clustered_tables import CANDIDATES, NEIGHBORS
from pipeline.store import schemas
from pipeline.store.arrow_files import Rows
from pipeline.store.clustered import ClusteredTable
from pipeline.store.stage_record import StageRecord

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Where more of the catalogue has moved, to search it all costs less.
MOST_MOVED = 0.2

_KEPT_COLUMNS = tuple(NEIGHBORS.names)


@dataclass(frozen=True)
class NeighborUpdate:
    """One night's changes.

    Attributes:
        plan: the groups of the lists.
        items: the files of the lists table as it is now.
        kept: the files of the earlier neighbors table.
        reach: from which lists each is probed.
        settings: what neighbours are.
        counts: of what is done.
    """

    plan: GroupPlan
    items: ClusteredTable
    kept: ClusteredTable
    reach: ReverseProbes
    settings: NeighborSettings
    counts: SearchCounts

    def short(self, moves: "DataFrame") -> "DataFrame":
        """The rows of the items that stay and have to ask again.

        Args:
            moves: of `moves_of`.
        """
        plan, settings, (read_items, read_kept) = self.plan, self.settings, self._reads()

        def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
            for rows in updates.find_incomplete(batches, plan, read_items, read_kept, settings):
                yield with_traits(rows).select(CANDIDATES.names).cast(CANDIDATES)

        return self._sent(moves).mapInArrow(run, schemas.ddl(CANDIDATES))

    def neighbors(self, moves: "DataFrame") -> Rows:
        """The neighbors table of the items that stay and need not ask again."""
        plan, settings, distances = self.plan, self.settings, self.counts.distances
        read_items, read_kept = self._reads()

        def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
            return updates.update_neighbors(
                batches, plan, read_items, read_kept, settings, distances.add
            )

        return Rows(self._sent(moves), run)

    def _reads(self) -> tuple[ReadGroup, ReadGroup]:
        """What reads a group's items, and the neighbours kept for them."""
        plan, items, kept = self.plan, self.items, self.kept

        def read_items(group: int) -> "Iterator[pa.RecordBatch]":
            return items.rows(*plan.lists(group), ITEM_COLUMNS)

        def read_kept(group: int) -> "Iterator[pa.RecordBatch]":
            return kept.rows(*plan.lists(group), _KEPT_COLUMNS)

        return read_items, read_kept

    def _sent(self, moves: "DataFrame") -> "DataFrame":
        plan, reach, counts = self.plan, self.reach, self.counts

        def run(batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
            for batch in send_moves(batches, reach, plan):
                counts.bytes.add(batch.nbytes)
                yield batch

        sent = moves.mapInArrow(run, schemas.ddl(packed_batches.SCHEMA))
        return lists.shuffle_by_group(sent, plan.groups, plan.groups)


def join_moves(arrivals: "DataFrame", departures: "DataFrame") -> "DataFrame":
    """What came and what left, as one frame.

    Args:
        arrivals: rows of the lists table, or of the candidates table.
        departures: item_id, list.
    """
    came = arrivals.select(*[name for name in MOVES.names if name in arrivals.columns])
    return came.unionByName(departures, allowMissingColumns=True)


@dataclass(frozen=True)
class ListChanges:
    """What has changed since an earlier night.

    Attributes:
        arrivals: rows of the lists table, or of the candidates table, that came.
        departures: item_id and list of those that left.
        count: how many those are.
    """

    arrivals: "DataFrame"
    departures: "DataFrame"
    count: int


def changes_since(night: SearchContext, base: StageRecord) -> ListChanges:
    """What has changed: an item that rules see otherwise than before has left, and come again."""
    from pyspark import StorageLevel

    job, store = night.job, night.job.store
    arrivals, departures = job.read("arrivals", "index"), job.read("departures", "index")
    tables = job.record("index").tables
    count = tables["arrivals"] + tables["departures"]
    if not rules.has_rules(job.config.rules):
        return ListChanges(arrivals, departures, count)
    before = store.read(job.spark, "candidates", base.fingerprint)
    changed = rules.items_with_changed_traits(night.lists, before).join(
        arrivals, "item_id", how="left_anti"
    )
    # It is asked for several times, and is let go with the session.
    changed = changed.persist(StorageLevel.DISK_ONLY)
    ids = arrivals.select("item_id").unionByName(changed)
    came = night.lists.join(ids, "item_id", how="left_semi")
    again = night.lists.select("item_id", "list").join(changed, "item_id", how="left_semi")
    return ListChanges(came, departures.unionByName(again), count + 2 * changed.count())


def load_reverse_probes(pairs: "DataFrame | None", nlist: int) -> ReverseProbes:
    """From which lists each is probed.

    Args:
        pairs: home and probed; None where every list is probed from every list. Their number grows
            with that of the lists, as the quantiser does, not with that of the items.
        nlist: number of lists.
    """
    if pairs is None:
        return ReverseProbes.everywhere(nlist)
    found = pairs.toArrow()
    home, probed = (np.asarray(found[name]).astype(np.int64) for name in ("home", "probed"))
    return ReverseProbes.of(home, probed, nlist)


def update_neighbors(
    night: SearchContext, base: StageRecord, since: ListChanges, version: str
) -> dict[str, int]:
    """Write the neighbors table by what has changed since an earlier night, and `reach`.

    Args:
        night: what the search works with.
        base: the earlier neighbours' record.
        since: what has changed since then.
        version: of the tables.

    Returns:
        the tables' rows.
    """
    job, search = night.job, night.search
    exact, store = night.centroids is None, job.store
    width = 0 if exact else int(base.counts["probes"])
    arrivals, departures = since.arrivals, since.departures
    pairs, tables = None, {}
    if not exact:
        pairs = store.read(job.spark, "reach", base.fingerprint).unionByName(
            lists.probe_pairs(arrivals, night.nlist, width)
        )
        tables["reach"] = store.write(pairs.distinct(), "reach", version)
        pairs = store.read(job.spark, "reach", version)
    section = job.config.neighbors
    changes = NeighborUpdate(
        plan=search.plan,
        items=search.items,
        kept=store.open_clustered("neighbors", base.fingerprint),
        reach=load_reverse_probes(pairs, night.nlist),
        settings=NeighborSettings(
            section.k, section.k + section.reserve, width, search.rules, widens=not exact
        ),
        counts=search.counts,
    )
    moves = join_moves(arrivals, departures)
    asking = arrivals.where("asks is null or asks") if "asks" in arrivals.columns else arrivals
    asks = asking.unionByName(changes.short(moves), allowMissingColumns=True)
    probes = ProbedLists(night.centroids, night.nlist, width or night.nlist)
    found = search.merged(replace(search, everyone=False).found(asks, probes), probes)
    tables["neighbors"] = store.write_arrow("neighbors", version, changes.neighbors(moves), found)
    return tables
