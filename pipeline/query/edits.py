"""The edits by hand of a version, read without Spark."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.conditions import Node, columns_of, parse
from pipeline.conditions.evaluation import Row, value_of
from pipeline.query.index import COLUMNS, Index
from pipeline.query.published import Published
from pipeline.query.spark_format import as_condition_row
from pipeline.retrieval import pins
from pipeline.retrieval.pair_edits import DENIED
from pipeline.retrieval.rules import with_traits
from pipeline.stages.neighbors.edit_rows import MICRO
from pipeline.stages.neighbors.edit_state import Edit, Side, State
from pipeline.storage.list_schemas import QUERY_TRAITS
from pipeline.store import item_rows


@dataclass(frozen=True)
class EditsOfIds:
    """Edits that name some items by their ids.

    Attributes:
        pairs: by item, what each edit adds to the score of a neighbour; DENIED if it is denied.
        of_all: by neighbour, what is added to its score in all lists.
        pins: by item, the ranks and the neighbours.
    """

    pairs: Mapping[str, Mapping[str, float]]
    of_all: Mapping[str, float]
    pins: Mapping[str, Sequence[tuple[int, str]]]


class VersionEdits:
    """The edits of a version.

    Attributes:
        state: those by conditions, and what kinds of others there are.
    """

    def __init__(self, published: Published) -> None:
        """Read the record of the version."""
        self.state: State = published.edits
        self._published = published
        self._columns = columns_of(published.further)
        self._parsed: dict[str, Node] = {}

    @property
    def columns(self) -> list[str]:
        """The columns of items that conditions may read."""
        return list(self._columns) if self.state.conditional else []

    def find(self, ids: Iterable[str]) -> EditsOfIds:
        """The edits that name items.

        Args:
            ids: the items.
        """
        pairs: dict[str, dict[str, int]] = defaultdict(dict)
        denied: dict[str, set[str]] = defaultdict(set)
        of_all: dict[str, int] = defaultdict(int)
        ranks: dict[str, list[tuple[int, str]]] = defaultdict(list)
        wanted = set(ids)
        rows = self._rows(wanted) if wanted and self._published.has_edits else []
        for row in rows:
            item, other, micro = row["item_id"], row["similar_id"], row["value"] * MICRO
            if row["action"] == "pin":
                ranks[item].append((int(row["value"]), other))
            elif row["action"] == "deny":
                denied[item].add(other or "")
            elif other is None:
                of_all[item] += round(micro)
            else:
                pairs[item][other] = pairs[item].get(other, 0) + round(micro)
        boosts = {
            item: {other: _bounded(micro) for other, micro in others.items()}
            | dict.fromkeys(denied[item] - {""}, DENIED)
            for item, others in (*pairs.items(), *((i, {}) for i in denied if i not in pairs))
        }
        return EditsOfIds(boosts, {i: m / MICRO for i, m in of_all.items()}, ranks)

    def _rows(self, ids: set[str]) -> list[dict[str, Any]]:
        version = self._published.table("edits", "neighbors")
        names = ("similar_id", "action", "value")
        store = self._published.store
        table = item_rows.find_rows(store, "edits", version, ids, names, in_order=True)
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    @cached_property
    def _numbered(self) -> list[Edit]:
        return self.state.numbered

    def bits_as_item(self, item: Row) -> int:
        """Which numbered edits an item is the item of: a bit for each."""
        return sum(1 << n for n, edit in enumerate(self._numbered) if self._is(edit.item, item))

    def boost_of(self, item: Row, other: Row, found: EditsOfIds) -> float:
        """What edits add to the score of a pair that none denies.

        Args:
            item: values of the item, by column.
            other: those of the neighbour.
            found: the edits that name the two.
        """
        boost = sum(
            edit.value
            for edit in self._numbered
            if edit.value != DENIED and self._is(edit.item, item) and self._is(edit.neighbor, other)
        )
        item_id, other_id = item.get("item_id"), str(other.get("item_id"))
        of_all = round(found.of_all.get(other_id, 0.0) * MICRO) + sum(
            round(edit.value * MICRO)
            for edit in self.state.of_all
            if edit.value != DENIED and self._is(edit.neighbor, other)
        )
        pair = found.pairs.get(str(item_id), {}).get(other_id, 0.0) if item_id else 0.0
        return boost + _bounded(of_all) + pair

    def _is(self, side: Side, item: Row) -> bool:
        """Whether an item is the one of a side of an edit."""
        if side.where is None:
            return side.item_id == item.get("item_id")
        if side.where not in self._parsed:
            self._parsed[side.where] = parse(side.where, self._columns)
        return value_of(self._parsed[side.where], as_condition_row(item)) is True

    def wanted_pins(self, item: Row, found: EditsOfIds) -> list[dict[str, Any]]:
        """The pins of an item: order, rank, similar_id and item_where: see retrieval/pins.py."""
        item_id = item.get("item_id")
        wanted: list[tuple[int, int, str, str | None]] = [
            (0, rank, other, None) for rank, other in found.pins.get(str(item_id), ())
        ]
        for edit in self.state.with_conditions:
            if edit.action != "pin" or edit.similar_id == item_id:
                continue
            if edit.is_of_all or self._is(edit.item, item):
                order = 2 if edit.is_of_all else 1
                wanted.append((order, int(edit.value), str(edit.similar_id), edit.item_where))
        names = ("order", "rank", "similar_id", "item_where")
        return [dict(zip(names, values, strict=True)) for values in wanted]

    def with_pins(
        self,
        index: Index,
        queries: pa.RecordBatch,
        lists: list[list[dict[str, Any]]],
        wanted: Sequence[list[dict[str, Any]]],
        k: int,
    ) -> list[list[dict[str, Any]]]:
        """Lists with their pins.

        Args:
            index: the lists of the version.
            queries: rows of QUERIES but for `units`.
            lists: the neighbours of each query, rows of NEIGHBOR.
            wanted: the pins of each query.
            k: neighbours, at most.

        Returns:
            the lists, in the order of the queries; rows of SHOWN_NEIGHBOR where there are pins.
        """
        items = self._candidates(index, {pin["similar_id"] for own in wanted for pin in own})
        rows = [
            {
                **{name: queries[name][n].as_py() for name in ("item_id", "vector", *QUERY_TRAITS)},
                "neighbors": lists[n],
                "pins": [items.get(pin["similar_id"], {}) | pin for pin in own],
            }
            for n, own in enumerate(wanted)
        ]
        batch = pa.RecordBatch.from_pylist(rows, schema=pins.PINNED_ITEMS)
        made = pins.lists_with_pins(batch, index.rules, k)["neighbors"].to_pylist()
        return [with_pins or own for with_pins, own in zip(made, lists, strict=True)]

    def _candidates(self, index: Index, ids: set[str]) -> dict[str, dict[str, Any]]:
        """What pins need of neighbours, by id; those without a vector are left out."""
        published = self._published
        details = published.table("details", "publish")
        found = item_rows.find_rows(
            published.store, "details", details, ids, ["list"], in_order=True
        )
        numbers = np.unique(np.asarray(found["list"].drop_null()))
        names = [name for name in pins.PIN_COLUMNS if name != "item_id"]
        rows: dict[str, dict[str, Any]] = {}
        for batch in index.items.rows_of_lists(numbers, COLUMNS) if len(numbers) else ():
            own = batch.filter(pc.is_in(batch["item_id"], pa.array(sorted(ids))))
            for row in with_traits(own).select(["item_id", *names]).to_pylist():
                rows[row["item_id"]] = {name: row[name] for name in names}
        return rows


def _bounded(micro: int) -> float:
    return max(-MICRO, min(MICRO, micro)) / MICRO
