"""The lists of a version, searched without Spark by the same code as the join."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config.sections import RankSection
from pipeline.query import prune
from pipeline.query.published import Published, pair_rules
from pipeline.retrieval import join, loaded_group, merge
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.loaded_group import LoadedGroup
from pipeline.retrieval.quantiser import Quantiser
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.reranking import ComparedItems
from pipeline.retrieval.routing import QUERIES
from pipeline.retrieval.rules import Rules
from pipeline.retrieval.vectors import from_bytes
from pipeline.stages.neighbors import boosts, search_context, widening
from pipeline.stages.neighbors.chosen_lists import choose
from pipeline.storage.list_schemas import NEIGHBOR, NEIGHBORS, TRAITS
from pipeline.store.clustered import ClusteredTable

# The columns that are read of items.
COLUMNS = ("item_id", "list", "vector", *TRAITS.names)
# Rows of lists that are in memory at once: with 448 dimensions about 150 MB.
_BLOCK_ROWS = 20_000

Int32 = npt.NDArray[np.int32]
# Items of the catalogue by id and vector, and after them the queries, by what they are compared by.
Compare = Callable[[pa.Array, pa.Array], ComparedItems]


@dataclass(frozen=True)
class Index:
    """The lists of a version.

    Attributes:
        published: the version.
        rules: the rules on pairs.
        rank: what neighbours are ranked by beside the cosine.
        nlist: number of lists.
        exact: whether all lists are searched for every query.
        nprobe: number of lists that are searched for a query.
        max_probes: maximum number of lists for a query that is short of neighbours.
        vectors: number of items in the lists.
    """

    published: Published
    rules: Rules
    rank: RankSection
    nlist: int
    exact: bool
    nprobe: int
    max_probes: int
    vectors: int

    @classmethod
    def of(cls, published: Published) -> "Index":
        """The lists of a version.

        Raises:
            UsageError: records of the version are gone.
        """
        index, neighbors = published.record("index"), published.record("neighbors")
        return cls(
            published=published,
            rules=pair_rules(published),
            rank=published.rank,
            nlist=index.outputs["lists"],
            exact=index.outputs["exact"],
            nprobe=neighbors.counts["probes"],
            max_probes=published.settings["max_probes"],
            vectors=index.outputs["vectors"],
        )

    @cached_property
    def items(self) -> ClusteredTable:
        """The lists table; if there are rules, the candidates table, which has their columns.

        Raises:
            UsageError: the table is gone.
        """
        store, published = self.published.store, self.published
        if "candidates" not in published.record("neighbors").tables:
            return store.open_clustered("lists", published.table("lists", "index"))
        return store.open_clustered("candidates", published.table("candidates", "neighbors"))

    @cached_property
    def quantiser(self) -> Quantiser:
        """The quantiser of the lists."""
        version = self.published.record("index").outputs["quantiser"]
        return Quantiser.from_arrays(self.published.store.quantisers.arrays(version))

    def probes(self, vectors: pa.Array, width: int) -> Int32:
        """The nearest lists of vectors, nearest first.

        Args:
            vectors: binary, float16.
            width: number of lists.

        Returns:
            int32[n, width].
        """
        if self.exact:
            return np.tile(np.arange(self.nlist, dtype=np.int32), (len(vectors), 1))
        return self.quantiser.probe(from_bytes(vectors), width)

    def nearest(self, queries: pa.RecordBatch, k: int) -> pa.RecordBatch:
        """The nearest items of each query under the rules, as the neighbors stage finds them.

        Args:
            queries: rows of QUERIES but for `units`; item_id is null if a query is no item of the
                catalogue, and `list` numbers the queries.
            k: neighbours a query.

        Returns:
            rows of NEIGHBORS, whose item_id and list are each query's `list`, ascending: k
            neighbours, or as many as `chosen_lists` chooses from.
        """
        neighbors, kept = _empty_neighbors(queries), self.rank.candidates(k)
        for width in widening.probe_widths(self.nprobe, self.max_probes, self.nlist):
            sizes = np.asarray(pc.list_value_length(neighbors["neighbors"]))
            short = np.flatnonzero((sizes < k) & (sizes < self.vectors))
            if not len(short):
                break
            wider = self._search_width(queries.take(pa.array(short)), kept, width)
            neighbors = _replace(neighbors, wider)
        return neighbors

    def chosen_lists(
        self,
        queries: pa.RecordBatch,
        rows: pa.RecordBatch,
        k: int,
        compare: Compare | None,
    ) -> pa.Array:
        """The lists of k neighbours that are chosen from the nearest.

        Args:
            queries: as for `nearest`.
            rows: what `nearest` has returned for them.
            k: neighbours a query.
            compare: gives what candidates are ranked again by; None if they are not.

        Returns:
            the column `neighbors` of NEIGHBORS, in the order of the rows.
        """
        if not self.rank.chooses or not rows.num_rows:
            return rows["neighbors"]
        width = int(max(rows["probes"].to_numpy()))
        ids = pc.unique(rows["neighbors"].flatten().field("similar_id"))
        lists = np.unique(self.probes(queries["vector"], width))
        found = [
            batch.filter(pc.is_in(batch["item_id"], ids)).select(["item_id", "vector"])
            for batch in self.items.rows_of_lists(lists, ("item_id", "vector"))
        ]
        items = pa.concat_batches(found)
        settings = boosts.diversity(self.rank, k)
        ids, vectors = items["item_id"], items["vector"]
        compared = compare(ids, vectors) if compare else None
        own = len(ids) + np.arange(rows.num_rows)
        return choose(rows, ids, vectors, settings, compared, own)["neighbors"]

    def _search_width(self, queries: pa.RecordBatch, k: int, width: int) -> pa.RecordBatch:
        """The k nearest items in so many lists, with as many candidates as the caps need."""
        probes = self.probes(queries["vector"], width)
        depth = k * search_context.CANDIDATES_PER_NEIGHBOR if self.rules.caps else k
        neighbors = self._search(queries, probes, k, depth)
        while True:
            undecided = np.flatnonzero(np.asarray(neighbors["probes"].is_null()))
            if not len(undecided):
                return neighbors
            depth *= widening.DEPTH_FACTOR
            deeper = self._search(queries.take(pa.array(undecided)), probes[undecided], k, depth)
            neighbors = _replace(neighbors, deeper)

    def _search(self, queries: pa.RecordBatch, probes: Int32, k: int, depth: int) -> pa.RecordBatch:
        """The k best items of the lists that each query probes."""
        plan = _one_group(self.nlist)
        candidates = [_empty_candidates(queries)]
        for block in self._blocks(queries, probes, depth):
            items = loaded_group.items_of_group(iter(block), plan, 0, depth)
            group = LoadedGroup(items, k, depth, self.rules)
            in_block = np.zeros(self.nlist, dtype=bool)
            for batch in block:
                in_block[batch["list"].to_numpy()] = True
            probing = _probing_queries(queries, probes, in_block)
            if probing.num_rows:
                candidates.append(_number(join.search_batches(group, [probing])))
        settings = merge.MergeSettings(k, probes.shape[1], self.rules)
        return merge.top_k(pa.concat_batches(candidates), settings)

    def _blocks(
        self, queries: pa.RecordBatch, probes: Int32, depth: int
    ) -> Iterator[list[pa.RecordBatch]]:
        """The rows of the probed lists in blocks; for few queries pruned."""
        pruning = queries.num_rows <= prune.MAX_QUERIES and prune.is_possible(self.rules)
        block: list[pa.RecordBatch] = []
        for batch in self.items.rows_of_lists(np.unique(probes), COLUMNS):
            rows = prune.prune_rows(batch, queries, probes, depth) if pruning else batch
            if rows.num_rows:
                block.append(rows)
            if sum(part.num_rows for part in block) >= _BLOCK_ROWS:
                yield block
                block = []
        if block:
            yield block


def _one_group(nlist: int) -> GroupPlan:
    """A plan in which every list is a unit, and all are in one group."""
    units = np.arange(nlist, dtype=np.int64)
    return GroupPlan(units, np.ones(nlist, dtype=np.int64), np.zeros(nlist, dtype=np.int64))


def _probing_queries(
    queries: pa.RecordBatch, probes: Int32, in_block: npt.NDArray[np.bool_]
) -> pa.RecordBatch:
    """The queries that probe lists of a block, as rows of QUERIES whose units are these lists."""
    mask = in_block[probes]
    rows: Int64 = np.flatnonzero(mask.any(axis=1))
    counts = mask[rows].sum(axis=1)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    units = pa.ListArray.from_arrays(offsets, pa.array(probes[rows][mask[rows]]))
    names = [name for name in QUERIES.names if name != "units"]
    columns = {name: queries[name].take(pa.array(rows)) for name in names} | {"units": units}
    return pa.RecordBatch.from_arrays([columns[n] for n in QUERIES.names], schema=QUERIES)


def _number(candidates: pa.RecordBatch) -> pa.RecordBatch:
    """Candidates under their queries' numbers: two queries may have the same item, or none."""
    columns = [candidates[field.name].cast(field.type) for field in join.GROUP_CANDIDATES]
    columns[0] = candidates["list"].cast(pa.string())
    return pa.RecordBatch.from_arrays(columns, schema=join.GROUP_CANDIDATES)


def _empty_candidates(queries: pa.RecordBatch) -> pa.RecordBatch:
    """A row without candidates for every query."""
    count = queries.num_rows
    empty = pa.array([[]] * count)
    columns = {
        "item_id": queries["list"].cast(pa.string()),
        "list": queries["list"],
        "part": queries["part"],
        **{
            name: empty.cast(join.GROUP_CANDIDATES.field(name).type)
            for name in ("similar_ids", "scores", "values")
        },
    }
    arrays = [
        columns[field.name] if field.name in columns else pa.nulls(count, field.type)
        for field in join.GROUP_CANDIDATES
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=join.GROUP_CANDIDATES)


def _empty_neighbors(queries: pa.RecordBatch) -> pa.RecordBatch:
    """A row of NEIGHBORS without neighbours for every query."""
    count = queries.num_rows
    columns = [
        queries["list"].cast(pa.string()),
        queries["list"],
        pa.array([[]] * count, NEIGHBORS.field("neighbors").type),
        pa.nulls(count, NEIGHBOR),
        pa.array(np.zeros(count, dtype=np.int32)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=NEIGHBORS)


def _replace(rows: pa.RecordBatch, new: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of NEIGHBORS with the new ones in place of those with the same `list`."""
    unchanged = rows.filter(pc.invert(pc.is_in(rows["list"], new["list"])))
    combined = pa.concat_batches([unchanged, new])
    return combined.take(pc.sort_indices(combined["list"]))
