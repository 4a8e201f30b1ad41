"""The tables of a published version, looked up by item."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.query import boost_terms
from pipeline.query.index import COLUMNS, Index
from pipeline.query.published import Published
from pipeline.retrieval.rules import with_traits
from pipeline.retrieval.vectors import Float32, from_bytes
from pipeline.stages.tokenize.token_columns import TEXTS
from pipeline.store import item_rows
from pipeline.store.reason_codes import QUARANTINE


@dataclass
class Item:
    """An item.

    Attributes:
        details: its row of the details table.
        row: its row of the lists table and what rules read of it; None without a vector.
    """

    details: dict[str, Any]
    row: pa.RecordBatch | None

    @property
    def item_id(self) -> str:
        """Its id."""
        return str(self.details["item_id"])

    @property
    def vector(self) -> Float32:
        """Its vector, float32[1, dim]; only for an item with a vector."""
        assert self.row is not None  # noqa: S101 - the caller has checked it
        return from_bytes(self.row["vector"])

    @property
    def norm(self) -> float | None:
        """The length of its vector."""
        return None if self.row is None else float(np.linalg.norm(self.vector.astype(np.float64)))


@dataclass(frozen=True)
class ListedItem:
    """An item of a published list.

    Attributes:
        similar_id: its id.
        score: the cosine; None if it fills the list.
        ranked_by: what it is ranked by; None if by the score.
        reason: why it is shown, as the published table has it; None if it was found.
        boosted: the cosine with the boosts, before a list is chosen from candidates.
    """

    similar_id: str
    score: float | None
    ranked_by: float | None
    reason: str | None = None
    boosted: float | None = None

    @property
    def scores(self) -> boost_terms.Scores:
        """Its scores."""
        return boost_terms.Scores(self.score, self.boosted, self.ranked_by)


class VersionTables:
    """The tables of a version.

    Attributes:
        published: the version.
        index: its lists.
    """

    def __init__(self, published: Published) -> None:
        self.published = published
        self.index = Index.of(published)

    @cached_property
    def _details_version(self) -> str:
        return self.published.table("details", "publish")

    def details(self, ids: list[str]) -> dict[str, dict[str, Any]]:
        """Rows of the details table by item."""
        store, version = self.published.store, self._details_version
        names = store.schema("details", version).names
        rows = item_rows.find_rows(store, "details", version, ids, names, in_order=True)
        return {row["item_id"]: row for row in rows.to_pylist()}

    def _rows(
        self, table: str, stage: str, ids: list[str], columns: Sequence[str]
    ) -> list[dict[str, Any]]:
        version = self.published.table(table, stage)
        rows: list[dict[str, Any]] = item_rows.find_rows(
            self.published.store, table, version, ids, columns
        ).to_pylist()
        return rows

    def item(self, item_id: str) -> Item:
        """An item.

        Raises:
            UsageError: the item is not in the catalogue; the message tells if it is in quarantine.
        """
        details = self.details([item_id]).get(item_id)
        if details is None:
            raise UsageError(f"{item_id!r} {self.absence_reason(item_id)}")
        if details["list"] is None:
            return Item(details, None)
        lists = np.array([details["list"]], dtype=np.int32)
        for batch in self.index.items.rows_of_lists(lists, COLUMNS):
            row = batch.filter(pc.equal(batch["item_id"], item_id))
            if row.num_rows:
                return Item(details, with_traits(row))
        raise UsageError(f"{item_id!r} is not in its list {details['list']}: the store is damaged")

    def absence_reason(self, item_id: str) -> str:
        """Why an item is not in the catalogue of this version."""
        reasons = {
            reason
            for row in self._rows("quarantine", "ingest", [item_id], ["reasons"])
            for reason in row["reasons"]
        }
        if reasons:
            named = (f"{code} ({QUARANTINE[code].en})" for code in sorted(reasons))
            return f"is in quarantine: {', '.join(named)}"
        near = item_rows.nearest_ids(
            self.published.store, "details", self._details_version, item_id
        )
        near_ids = f"; ids beside it are {', '.join(map(repr, near))}" if near else ""
        return f"is not in the catalogue of version {self.published.version}{near_ids}"

    def description(self, item_id: str) -> str | None:
        """An item's description."""
        rows = self._rows("items", "ingest", [item_id], ["description"])
        return rows[0]["description"] if rows else None

    def tokens(self, ids: list[str]) -> dict[str, tuple[str, ...]]:
        """By item the tokens of its title, description and fields, each separated by spaces."""
        names = [*TEXTS, *(field.token_column for field in self.published.fields)]
        rows = self._rows("tokens", "tokenize", ids, names)
        return {row["item_id"]: tuple(row[name] for name in names) for row in rows}

    def published_list(self, item_id: str) -> list[ListedItem]:
        """An item's list as it is published, best first."""
        store, version = self.published.store, self.published.version
        columns = ["rank", "similar_id", "score", "ranked_by", "reason"]
        table = item_rows.find_rows(
            store, "similar_items", version, [item_id], columns, in_order=True
        )
        rows = sorted(table.to_pylist(), key=lambda row: row["rank"])
        names = ("similar_id", "score", "ranked_by", "reason")
        return [ListedItem(*(row.get(name) for name in names)) for row in rows]

    def short_list_reason(self, item_id: str) -> str | None:
        """Why an item has fewer than k neighbours; None if it has k."""
        rows = self._rows("short_lists", "neighbors", [item_id], ["reason"])
        return rows[0]["reason"] if rows else None

    def probes(self, item: Item) -> int | None:
        """How many lists were searched for an item; None if it was not searched for."""
        if item.row is None:
            return None
        version = self.published.table("neighbors", "neighbors")
        neighbors = self.published.store.open_clustered("neighbors", version)
        lists = np.array([item.details["list"]], dtype=np.int32)
        for batch in neighbors.rows_of_lists(lists, ("item_id", "probes")):
            row = batch.filter(pc.equal(batch["item_id"], item.item_id))
            if row.num_rows:
                probes: int | None = row["probes"][0].as_py()
                return probes
        return None
