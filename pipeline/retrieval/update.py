"""What a night changes for the items that stay: who came into their lists, and who left them.

An item's neighbours are kept beyond the k that are shown, down to a floor: no candidate that ranks
before the floor is missing. One that comes is taken in if it ranks before the floor; where one that
leaves makes the list shorter than k, the item has to ask again. So has every item whose list was
touched where there are caps: what those had kept out may come in.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import parcels
from pipeline.retrieval.groups import Plan
from pipeline.retrieval.held import lowest, units_of
from pipeline.retrieval.join import Done, Read
from pipeline.retrieval.listed import stored_probes
from pipeline.retrieval.merge import NEIGHBOR, NEIGHBORS
from pipeline.retrieval.ranking import Int64, by_list, by_rank, ranges, ranks
from pipeline.retrieval.rules import TRAITS, Rules, Traits, asking, eligible, passing, with_traits
from pipeline.retrieval.vectors import Float32, cosines, from_bytes, hashes, squares, unit

# An item that came into a list, and what rules read of a candidate; without a vector: that left it.
MOVES = pa.schema(
    [
        ("item_id", pa.string()),
        ("list", pa.int32()),
        ("vector", pa.binary()),
        *[TRAITS.field(name) for name in ("same", "kind", "eligible", "price", "variant")],
    ]
)
# Scores that are computed at a time: 8 MB.
_PRODUCT = 1 << 21
# Lists whose groups are found at a time.
_LISTS = 4096


@dataclass(frozen=True)
class Reach:
    """From which lists' items each list is probed.

    Attributes:
        starts: int64[nlist + 1], where in `homes` those of each list begin.
        homes: int32[pairs].
    """

    starts: Int64
    homes: "np.ndarray"

    @classmethod
    def of(cls, home: "np.ndarray", probed: "np.ndarray", nlist: int) -> "Reach":
        """From pairs of a list and one that its items probe; each list reaches itself."""
        own = np.arange(nlist)
        pairs = np.concatenate([probed.astype(np.int64) * nlist + home, own * nlist + own])
        probed, home = np.divmod(np.unique(pairs), nlist)
        return cls(np.searchsorted(probed, np.arange(nlist + 1)), home.astype(np.int32))

    @classmethod
    def everywhere(cls, nlist: int) -> "Reach":
        """Every list is probed from every list."""
        return cls(np.arange(nlist + 1) * nlist, np.tile(np.arange(nlist, dtype=np.int32), nlist))

    def groups(self, lists: Int64, plan: Plan) -> tuple[Int64, Int64]:
        """The groups with an item that probes a list, for each list.

        Returns:
            int64[m] and int64[m]: positions in `lists`, and a group of each.
        """
        # Once for each list, few at a time: there are many more rows than lists.
        some, place = np.unique(lists, return_inverse=True)
        blocks = [self._groups(some[n : n + _LISTS], plan) for n in range(0, len(some), _LISTS)]
        none = np.empty(0, np.int64)
        counts = np.concatenate([none, *(counts for counts, _ in blocks)])
        found = np.concatenate([none, *(groups for _, groups in blocks)])
        starts = np.cumsum(counts) - counts
        rows = np.repeat(np.arange(len(lists)), counts[place])
        return rows, found[ranges(starts[place], counts[place])]

    def _groups(self, lists: Int64, plan: Plan) -> tuple[Int64, Int64]:
        """How many groups have an item that probes each list, and which, list by list."""
        sizes = np.diff(self.starts)[lists]
        homes = self.homes[ranges(self.starts[lists], sizes)].astype(np.int64)
        owner = np.repeat(np.arange(len(lists)), sizes)
        source, group = plan.everywhere(homes)
        owner, groups = np.divmod(np.unique(owner[source] * plan.groups + group), plan.groups)
        return np.bincount(owner, minlength=len(lists)), groups


def send(batches: Iterator[pa.RecordBatch], reach: Reach, plan: Plan) -> Iterator[pa.RecordBatch]:
    """Send rows of MOVES to every group with an item that they can matter to.

    Yields:
        batches of parcels of MOVES under the group.
    """
    for batch in parcels.gathered(batches):
        rows = with_traits(batch).select(MOVES.names).cast(MOVES)
        sources, groups = reach.groups(rows["list"].to_numpy().astype(np.int64), plan)

        def some(taken: Int64, rows: pa.RecordBatch = rows, of: Int64 = sources) -> pa.RecordBatch:
            return rows.take(pa.array(of[taken]))

        yield from parcels.pack(some, groups, max(1, rows.nbytes // rows.num_rows))


def _by_group(
    batches: Iterator[pa.RecordBatch],
) -> Iterator[tuple[int, pa.RecordBatch, pa.Array]]:
    """Each group, what came to lists that its items probe, and the ids of what left those."""
    for group, cells in itertools.groupby(parcels.cells(batches), key=lambda cell: cell[0]):
        nothing = pa.RecordBatch.from_pylist([], schema=MOVES)
        sent = (parcels.unpack(cell, MOVES) for _, cell in cells if len(cell))
        moves = pa.concat_batches([nothing, *sent])
        there = moves["vector"].is_valid()
        yield group, moves.filter(there), moves.filter(pc.invert(there))["item_id"]


@dataclass(frozen=True)
class Settings:
    """What neighbours are.

    Attributes:
        k: how many an item has to have.
        kept: how many are kept.
        width: how many of its nearest lists an item probes; 0 for all.
        rules: what holds for pairs.
        widens: whether an item that is short of k probes more lists.
    """

    k: int
    kept: int
    width: int
    rules: Rules
    widens: bool = False


def short(
    batches: Iterator[pa.RecordBatch], plan: Plan, items: Read, kept: Read, settings: Settings
) -> Iterator[pa.RecordBatch]:
    """The items that stay and have to ask again.

    Args:
        batches: of send's parcels, sorted by key; an empty parcel for every group.
        plan: the groups.
        items: reads a group's rows of the lists table as it is now.
        kept: reads rows of NEIGHBORS of an earlier night by group.
        settings: what neighbours are.

    Yields:
        their rows of the lists table.
    """
    for group, came, left in _by_group(batches):
        if settings.rules.caps:
            for state in _states(group, came, left, plan, items, kept, settings):
                yield state.items.filter(pa.array(state.asks))
            continue
        ids = [pa.array([], pa.string())]
        for rows in kept(group):
            stays = rows.filter(pc.invert(pc.is_in(rows["item_id"], left)))
            ids.append(stays["item_id"].filter(pa.array(_must_ask(stays, left, settings))))
        wanted = pa.concat_arrays(ids)
        for rows in items(group) if len(wanted) else ():
            found = rows.filter(pc.is_in(rows["item_id"], wanted))
            # Of a split list every group has read all rows.
            yield found.filter(pa.array(plan.group[units_of(found, plan)] == group))


def _must_ask(rows: pa.RecordBatch, left: pa.Array, settings: Settings) -> "np.ndarray":
    """Which rows of NEIGHBORS may lack a neighbour after some have left: bool[n]."""
    owner, flat = _flat(rows["neighbors"])
    stays = ~np.asarray(pc.is_in(flat.field("similar_id"), left))
    counts = np.bincount(owner[stays], minlength=rows.num_rows)
    short: np.ndarray = counts < settings.k
    if not settings.widens:
        short &= np.asarray(rows["floor"].is_valid())
    else:
        short |= rows["probes"].to_numpy() != settings.width
    if settings.rules.caps:
        short[owner[~stays]] = True
    return short


def _flat(lists: pa.Array) -> tuple[Int64, pa.StructArray]:
    """The values of a list column without nulls inside, and which row each is of."""
    sizes = np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
    return np.repeat(np.arange(len(lists)), sizes), lists.flatten()


@dataclass(frozen=True)
class _State:
    """What has become of a group's items that stay.

    Attributes:
        items: their rows of the lists table.
        before: their rows of NEIGHBORS of an earlier night.
        asks: bool[n], which have to ask again.
        new: pairs of an item and one that came and ranks before its floor.
        scored: how many pairs were scored.
    """

    items: pa.RecordBatch
    before: pa.RecordBatch
    asks: "np.ndarray"
    new: "Pairs"
    scored: int


def _states(
    group: int,
    came: pa.RecordBatch,
    left: pa.Array,
    plan: Plan,
    items: Read,
    kept: Read,
    settings: Settings,
) -> Iterator[_State]:
    """The state of a group; nothing of one that has no items."""
    rows = [batch for batch in items(group) if batch.num_rows]
    if not rows:
        return
    whole = pa.concat_batches(rows)
    rows.clear()
    mine = pa.array(plan.group[units_of(whole, plan)] == group)
    stays = pc.and_(mine, pc.invert(pc.is_in(whole["item_id"], came["item_id"])))
    whole = asking(whole.filter(stays))
    before = _aligned(whole, kept(group))
    asks = _must_ask(before, left, settings)
    if not settings.rules.caps:
        # Those need not be compared with what came.
        whole, before = whole.filter(pa.array(~asks)), before.filter(pa.array(~asks))
        asks = asks[~asks]
    new, scored = _taken_in(whole, before, eligible(came), settings)
    if settings.rules.caps:
        asks[new[0]] = True
    yield _State(whole, before, asks, new, scored)


def update(
    batches: Iterator[pa.RecordBatch],
    plan: Plan,
    items: Read,
    kept: Read,
    settings: Settings,
    done: Done,
) -> Iterator[pa.RecordBatch]:
    """The neighbours of the items that stay, but for those that have to ask again.

    Args:
        batches: of send's parcels, sorted by key; an empty parcel for every group.
        plan: the groups.
        items: reads a group's rows of the lists table as it is now.
        kept: reads rows of NEIGHBORS of an earlier night by group.
        settings: what neighbours are.
        done: is told of every group's end.

    Yields:
        batches of NEIGHBORS, in the order of the lists.
    """
    for group, came, left in _by_group(batches):
        scored = 0
        for state in _states(group, came, left, plan, items, kept, settings):
            scored = state.scored
            if settings.rules.caps:
                yield state.before.filter(pa.array(~state.asks))
            else:
                ids = eligible(came)["item_id"]
                yield _updated(state.before, left, ids, state.new, settings.kept)
        done(scored)


def _aligned(items: pa.RecordBatch, kept: Iterator[pa.RecordBatch]) -> pa.RecordBatch:
    """The kept row of each item."""
    nothing = pa.RecordBatch.from_pylist([], schema=NEIGHBORS)
    rows = [batch.select(NEIGHBORS.names).cast(NEIGHBORS) for batch in kept]
    before = pa.concat_batches([nothing, *rows])
    place = pc.index_in(items["item_id"], before["item_id"])
    found = before.take(place)
    columns = [items["item_id"], items["list"], *(found[n] for n in NEIGHBORS.names[2:])]
    return pa.RecordBatch.from_arrays(columns, schema=NEIGHBORS)


# For each pair: the row of the item, the one that came, and their cosine.
Pairs = tuple[Int64, Int64, Float32]


def _taken_in(
    items: pa.RecordBatch, before: pa.RecordBatch, came: pa.RecordBatch, settings: Settings
) -> tuple[Pairs, int]:
    """Pairs of an item and one that came to a list that it probes and ranks before its floor."""
    nothing = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    if not items.num_rows or not came.num_rows:
        return nothing, 0
    floor = before["floor"]
    least = np.asarray(pc.fill_null(floor.field("score").cast(pa.float32()), -np.inf))
    least = np.where(np.asarray(floor.is_valid()), least, np.float32(-np.inf)).astype(np.float32)
    mine, theirs = (from_bytes(rows["vector"]) for rows in (items, came))
    left, right = (mine, squares(mine)), (theirs, squares(theirs))
    directions, others = unit(mine), unit(theirs)
    margin = np.float32((mine.shape[1] + 8) * 2.0**-22)
    same = _same(items, came)
    traits = Traits.of(items), Traits.of(came)
    denied = traits[0].denied_pairs(came["item_id"])
    found, scored = [nothing], 0
    for probing, arrived in _meeting(items, came, settings):
        step = max(1, _PRODUCT // len(arrived))
        for start in range(0, len(probing), step):
            some = probing[start : start + step]
            product = directions[some] @ others[arrived].T
            scored += product.size
            near, column = np.nonzero(product >= (least[some] - margin)[:, None])
            rows, new = some[near], arrived[column]
            alike = same[0][rows] == same[1][new]
            rows, new = rows[alike], new[alike]
            scores = cosines(left, right, rows, new)
            kept = scores >= least[rows]
            if settings.rules.any:
                kept &= passing(settings.rules, *traits, denied, (rows, new, scores))
            found.append((rows[kept], new[kept], scores[kept]))
    rows, new, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    ties = np.flatnonzero(scores == least[rows])
    after = pc.greater(
        came["item_id"].take(pa.array(new[ties])),
        floor.field("similar_id").take(pa.array(rows[ties])),
    )
    kept = np.ones(len(rows), dtype=bool)
    kept[ties[np.asarray(pc.fill_null(after, False))]] = False
    return (rows[kept], new[kept], scores[kept]), scored


def _same(items: pa.RecordBatch, came: pa.RecordBatch) -> tuple["np.ndarray", "np.ndarray"]:
    """Numbers that are equal where the values of `same` are."""
    names = items.schema.names
    mine = items["same"] if "same" in names else pa.nulls(items.num_rows, pa.string())
    both = pa.concat_arrays([mine.cast(pa.string()), came["same"]])
    codes = np.asarray(both.dictionary_encode(null_encoding="encode").indices)
    return codes[: len(mine)], codes[len(mine) :]


def _meeting(
    items: pa.RecordBatch, came: pa.RecordBatch, settings: Settings
) -> Iterator[tuple[Int64, Int64]]:
    """For each list: the items that probe it, and those that came to it, few of equal ones."""
    lists = came["list"].to_numpy()
    arrived = dict(by_list(lists, np.arange(came.num_rows)))
    if settings.width:
        probes = stored_probes(items["probes"])[:, : settings.width]
        rows, column = np.nonzero(np.isin(probes, lists))
        probing = dict(by_list(probes[rows, column], rows))
    else:
        probing = dict.fromkeys(arrived, np.arange(items.num_rows))
    for number, mine in probing.items():
        new = arrived[number]
        # One more than is kept: so it is known that there were others.
        yield mine, new[_few(came.take(pa.array(new)), settings.kept + 1)]


def _few(rows: pa.RecordBatch, most: int) -> Int64:
    """Positions of the lowest ids of rows that are equal to rules, at most so many each."""
    keyed = pa.table({"hash": pa.array(hashes(rows["vector"])), "item_id": rows["item_id"]})
    order = np.asarray(
        pc.sort_indices(keyed, sort_keys=[("hash", "ascending"), ("item_id", "ascending")])
    )
    return order[lowest(rows.take(pa.array(order)), np.zeros(len(order), np.int64), most)]


def _updated(
    before: pa.RecordBatch, left: pa.Array, came: pa.Array, new: Pairs, most: int
) -> pa.RecordBatch:
    """Rows of NEIGHBORS brought up to date; those that nobody left or joined stay as they are."""
    owner, flat = _flat(before["neighbors"])
    moved = np.zeros(before.num_rows, dtype=bool)
    moved[owner[np.asarray(pc.is_in(flat.field("similar_id"), left))]] = True
    moved[new[0]] = True
    rows = np.flatnonzero(moved)
    place = np.cumsum(moved) - 1
    some = before.take(pa.array(rows))
    merged = _merged(some, left, came, (place[new[0]], new[1], new[2]), most)
    both = pa.concat_batches([before.filter(pa.array(~moved)), merged])
    order = np.argsort(np.concatenate([np.flatnonzero(~moved), rows]))
    return both.take(pa.array(order))


def _merged(
    before: pa.RecordBatch, left: pa.Array, came: pa.Array, new: Pairs, most: int
) -> pa.RecordBatch:
    """Rows of NEIGHBORS without those that left and with those that were taken in."""
    owner, flat = _flat(before["neighbors"])
    stays = ~np.asarray(pc.is_in(flat.field("similar_id"), left))
    rows = np.concatenate([owner[stays], new[0]])
    scores = np.concatenate([flat.field("score").to_numpy()[stays], new[2]])
    ids = pa.concat_arrays(
        [flat.field("similar_id").filter(pa.array(stays)), came.take(pa.array(new[1]))]
    )

    def by_id(some: Int64) -> Int64:
        return np.asarray(pc.rank(ids.take(pa.array(some)), tiebreaker="dense"))

    order = by_rank(rows, scores.astype(np.float32), by_id)
    total = np.bincount(rows, minlength=before.num_rows)
    order = order[ranks(rows[order]) < most]
    counts = np.minimum(total, most)
    ends = np.cumsum(counts)
    structs = pa.StructArray.from_arrays(
        [ids.take(pa.array(order)), pa.array(scores[order], pa.float32())], fields=list(NEIGHBOR)
    )
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    cut = total > most
    last = structs.take(pa.array(ends - 1, mask=~cut))
    columns = [
        before["item_id"],
        before["list"],
        pa.ListArray.from_arrays(offsets, structs),
        pc.if_else(pa.array(cut), last, before["floor"]),
        before["probes"],
    ]
    return pa.RecordBatch.from_arrays(columns, schema=NEIGHBORS)
