"""The lists of a version, searched without Spark by the code of the join."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.query import prune
from pipeline.query.published import Published, pairs_of
from pipeline.retrieval import join, loaded_group, merge, quantiser
from pipeline.retrieval.groups import GroupPlan
from pipeline.retrieval.loaded_group import LoadedGroup
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.routing import QUERIES
from pipeline.retrieval.rules import Rules
from pipeline.retrieval.vectors import Float32, from_bytes
from pipeline.stages.neighbors import search_context, widening
from pipeline.storage.clustered_tables import NEIGHBOR, NEIGHBORS, TRAITS
from pipeline.storage.paths import load_array
from pipeline.store.clustered import ClusteredTable

# What is read of an item.
COLUMNS = ("item_id", "list", "vector", *TRAITS.names)
# Items that are held at once: of 448 dimensions some 150 MB.
_HELD_ROWS = 20_000

Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Index:
    """The lists of a version.

    Attributes:
        published: the version.
        rules: what holds for pairs.
        nlist: number of lists.
        exact: whether all of them are searched for every item.
        nprobe: how many lists are searched for an item.
        most: of one that is short of neighbours, at most; the setting max_probes.
        vectors: items in the lists.
    """

    published: Published
    rules: Rules
    nlist: int
    exact: bool
    nprobe: int
    most: int
    vectors: int

    @classmethod
    def of(cls, published: Published) -> "Index":
        """The lists of a version.

        Raises:
            UsageError: its records are gone.
        """
        index, neighbors = published.record("index"), published.record("neighbors")
        return cls(
            published=published,
            rules=pairs_of(published.rules),
            nlist=index.outputs["lists"],
            exact=index.outputs["exact"],
            nprobe=neighbors.counts["probes"],
            most=published.settings["max_probes"],
            vectors=index.outputs["vectors"],
        )

    @cached_property
    def items(self) -> ClusteredTable:
        """The files of the lists table; where there are rules of the candidates table.

        Raises:
            UsageError: they are not there.
        """
        store, published = self.published.store, self.published
        if published.rules is None:
            return store.open_clustered("lists", published.table("lists", "index"))
        return store.open_clustered("candidates", published.table("candidates", "neighbors"))

    @cached_property
    def centroids(self) -> Float32:
        """The quantiser's centroids: float32[nlist, dim]."""
        used = self.published.record("index").outputs["quantiser"]
        centroids: Float32 = load_array(self.published.store.quantiser_path(used))
        return centroids

    def probes(self, vectors: pa.Array, width: int) -> Int32:
        """The nearest lists of vectors, nearest first: int32[n, width].

        Args:
            vectors: binary, float16.
            width: how many.
        """
        if self.exact:
            return np.tile(np.arange(self.nlist, dtype=np.int32), (len(vectors), 1))
        return quantiser.probe(from_bytes(vectors), self.centroids, width)

    def nearest(self, asked: pa.RecordBatch, k: int) -> pa.RecordBatch:
        """The k nearest items of each query under the rules: the same as the batch's.

        Args:
            asked: rows of QUERIES but for `units`; item_id is null where a query is no item of the
                catalogue, and `list` is a number of its own.
            k: neighbours a query.

        Returns:
            rows of NEIGHBORS; item_id and list are each query's `list`, ascending.
        """
        done = _nothing(asked)
        for width in widening.probe_widths(self.nprobe, self.most, self.nlist):
            sizes = np.asarray(pc.list_value_length(done["neighbors"]))
            short = np.flatnonzero((sizes < k) & (sizes < self.vectors))
            if not len(short):
                break
            some = asked.take(pa.array(short))
            done = _replaced(done, self._settled(some, k, width))
        return done

    def _settled(self, asked: pa.RecordBatch, k: int, width: int) -> pa.RecordBatch:
        """The same from so many lists, as many candidates looked at as the caps ask for."""
        probes = self.probes(asked["vector"], width)
        depth = k * search_context.DEPTH if self.rules.caps else k
        done = self._found(asked, probes, k, depth)
        while True:
            open_ = np.flatnonzero(np.asarray(done["probes"].is_null()))
            if not len(open_):
                return done
            depth *= widening.DEEPER
            some = asked.take(pa.array(open_))
            done = _replaced(done, self._found(some, probes[open_], k, depth))

    def _found(self, asked: pa.RecordBatch, probes: Int32, k: int, depth: int) -> pa.RecordBatch:
        """The k best of what lies in the lists that each query probes."""
        plan = _one_group(self.nlist)
        parts = [_nothing_found(asked)]
        probed = np.zeros((asked.num_rows, self.nlist), dtype=bool)
        np.put_along_axis(probed, probes.astype(np.int64), True, axis=1)
        for rows in self._held(asked, probed, depth):
            group = LoadedGroup(
                loaded_group.items_of_group(iter(rows), plan, 0, depth), depth, self.rules
            )
            there = np.zeros(self.nlist, dtype=bool)
            for batch in rows:
                there[batch["list"].to_numpy()] = True
            some = _probing(asked, probes, there)
            if some.num_rows:
                parts.append(_numbered(join.search_batches(group, [some])))
        wanted = merge.MergeSettings(k, probes.shape[1], self.rules)
        return merge.top_k(pa.concat_batches(parts), wanted)

    def _held(
        self, asked: pa.RecordBatch, probed: npt.NDArray[np.bool_], depth: int
    ) -> Iterator[list[pa.RecordBatch]]:
        """The rows of lists that are probed, so many at a time; for few queries the nearest."""
        few = asked.num_rows <= prune.FEW and prune.possible(self.rules)
        lists = np.flatnonzero(probed.any(axis=0)).astype(np.int32)
        rows: list[pa.RecordBatch] = []
        for batch in self.items.rows_of_lists(lists, COLUMNS):
            some = prune.nearest(batch, asked, probed, depth) if few else batch
            if some.num_rows:
                rows.append(some)
            if sum(one.num_rows for one in rows) >= _HELD_ROWS:
                yield rows
                rows = []
        if rows:
            yield rows


def _one_group(nlist: int) -> GroupPlan:
    """Every list is a unit, and all are in one group."""
    each = np.arange(nlist, dtype=np.int64)
    return GroupPlan(each, np.ones(nlist, dtype=np.int64), np.zeros(nlist, dtype=np.int64))


def _probing(asked: pa.RecordBatch, probes: Int32, there: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    """The queries that probe lists that are there, with these, as QUERIES."""
    inside = there[probes]
    mine: Int64 = np.flatnonzero(inside.any(axis=1))
    counts = inside[mine].sum(axis=1)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    units = pa.ListArray.from_arrays(offsets, pa.array(probes[mine][inside[mine]]))
    columns = {name: asked[name].take(pa.array(mine)) for name in QUERIES.names if name != "units"}
    columns["units"] = units
    return pa.RecordBatch.from_arrays([columns[n] for n in QUERIES.names], schema=QUERIES)


def _numbered(found: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of FOUND under their queries' numbers: two may ask for one item, or for none."""
    columns = [found[field.name].cast(field.type) for field in join.FOUND]
    columns[0] = found["list"].cast(pa.string())
    return pa.RecordBatch.from_arrays(columns, schema=join.FOUND)


def _nothing_found(asked: pa.RecordBatch) -> pa.RecordBatch:
    """A row of FOUND without candidates for every query."""
    count = asked.num_rows
    empty = pa.array([[]] * count)
    columns = {
        "item_id": asked["list"].cast(pa.string()),
        "list": asked["list"],
        "part": asked["part"],
        **{name: empty.cast(join.FOUND.field(name).type) for name in
           ("similar_ids", "scores", "values")},
    }  # fmt: skip
    arrays = [
        columns[field.name] if field.name in columns else pa.nulls(count, field.type)
        for field in join.FOUND
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=join.FOUND)


def _nothing(asked: pa.RecordBatch) -> pa.RecordBatch:
    """A row of NEIGHBORS without neighbours for every query."""
    count = asked.num_rows
    columns = [
        asked["list"].cast(pa.string()),
        asked["list"],
        pa.array([[]] * count, NEIGHBORS.field("neighbors").type),
        pa.nulls(count, NEIGHBOR),
        pa.array(np.zeros(count, dtype=np.int32)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=NEIGHBORS)


def _replaced(rows: pa.RecordBatch, new: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of NEIGHBORS by number, some of them replaced."""
    stays = rows.filter(pc.invert(pc.is_in(rows["list"], new["list"])))
    both = pa.concat_batches([stays, new])
    return both.take(pc.sort_indices(both["list"]))
