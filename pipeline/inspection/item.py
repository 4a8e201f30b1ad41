"""What the tables of a version have of one item."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.query.index import COLUMNS, Index
from pipeline.query.published import Published
from pipeline.retrieval.rules import with_traits
from pipeline.retrieval.vectors import Float32, from_bytes
from pipeline.store import lookup
from pipeline.store.schemas import DETAILS

Pairs = list[tuple[str, float]]


@dataclass
class Item:
    """An item.

    Attributes:
        about: its row of the details table.
        row: its row of the lists table and what rules read of it; None without a vector.
    """

    about: dict[str, Any]
    row: pa.RecordBatch | None

    @property
    def item_id(self) -> str:
        """Its id."""
        return str(self.about["item_id"])

    @property
    def vector(self) -> Float32:
        """Its vector, float32[1, dim]; it has one."""
        assert self.row is not None  # noqa: S101 - the caller has looked
        return from_bytes(self.row["vector"])

    @property
    def norm(self) -> float | None:
        """The length of its vector."""
        return None if self.row is None else float(np.linalg.norm(self.vector.astype(np.float64)))


class Version:
    """A version's tables, asked by item.

    Attributes:
        published: the version.
        index: its lists.
    """

    def __init__(self, published: Published) -> None:
        self.published = published
        self.index = Index.of(published)

    @cached_property
    def _details(self) -> str:
        return self.published.table("details", "publish")

    def details(self, ids: list[str]) -> dict[str, dict[str, Any]]:
        """Rows of the details table by item."""
        store, columns = self.published.store, DETAILS.names
        rows = lookup.rows(store, "details", self._details, ids, columns, in_order=True)
        return {row["item_id"]: row for row in rows.to_pylist()}

    def _rows(self, table: str, stage: str, ids: list[str], *columns: str) -> list[dict[str, Any]]:
        version = self.published.table(table, stage)
        found = lookup.rows(self.published.store, table, version, ids, columns)
        rows: list[dict[str, Any]] = found.to_pylist()
        return rows

    def item(self, item_id: str) -> Item:
        """An item.

        Raises:
            UsageError: it is none of the catalogue's; saying so if it is in quarantine.
        """
        about = self.details([item_id]).get(item_id)
        if about is None:
            raise UsageError(f"{item_id!r} {self.missing(item_id)}")
        if about["list"] is None:
            return Item(about, None)
        lists = np.array([about["list"]], dtype=np.int32)
        for batch in self.index.items.of_lists(lists, COLUMNS):
            mine = batch.filter(pc.equal(batch["item_id"], item_id))
            if mine.num_rows:
                return Item(about, with_traits(mine))
        raise UsageError(f"{item_id!r} is not in its list {about['list']}: the store is damaged")

    def missing(self, item_id: str) -> str:
        """Why an item is not in the catalogue of this version."""
        reasons = [
            reason
            for row in self._rows("quarantine", "ingest", [item_id], "reasons")
            for reason in row["reasons"]
        ]
        if reasons:
            return f"is in quarantine: {', '.join(sorted(set(reasons)))}"
        near = lookup.nearest(self.published.store, "details", self._details, item_id)
        named = f"; ids beside it are {', '.join(map(repr, near))}" if near else ""
        return f"is not in the catalogue of version {self.published.version}{named}"

    def description(self, item_id: str) -> str | None:
        """An item's description."""
        rows = self._rows("items", "ingest", [item_id], "description")
        return rows[0]["description"] if rows else None

    def texts(self, ids: list[str]) -> dict[str, tuple[str, str]]:
        """Title and description of items as an encoder reads them."""
        rows = self._rows("items", "ingest", ids, "title", "description")
        return {row["item_id"]: (row["title"] or "", row["description"] or "") for row in rows}

    def tokens(self, ids: list[str]) -> dict[str, tuple[str, str]]:
        """The tokens of titles and descriptions, separated by spaces."""
        names = ("title_tokens", "description_tokens")
        rows = self._rows("tokens", "tokenize", ids, *names)
        return {row["item_id"]: (row[names[0]], row[names[1]]) for row in rows}

    def shown(self, item_id: str) -> Pairs:
        """An item's list as it is published: ids and scores, best first."""
        store, version = self.published.store, self.published.version
        columns = ["rank", "similar_id", "score"]
        table = lookup.rows(store, "similar_items", version, [item_id], columns, in_order=True)
        rows = sorted(table.to_pylist(), key=lambda row: row["rank"])
        return [(row["similar_id"], row["score"]) for row in rows]

    def reason(self, item_id: str) -> str | None:
        """Why an item has fewer neighbours than were asked for; None if it has enough."""
        rows = self._rows("short_lists", "neighbors", [item_id], "reason")
        return rows[0]["reason"] if rows else None

    def searched(self, item: Item) -> int | None:
        """How many lists were searched for an item; None if it did not ask."""
        if item.row is None:
            return None
        home = item.about["list"]
        version = self.published.table("neighbors", "neighbors")
        neighbors = self.published.store.clustered("neighbors", version)
        lists = np.array([home], dtype=np.int32)
        for batch in neighbors.of_lists(lists, ("item_id", "probes")):
            mine = batch.filter(pc.equal(batch["item_id"], item.item_id))
            if mine.num_rows:
                found: int | None = mine["probes"][0].as_py()
                return found
        return None
