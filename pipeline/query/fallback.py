"""Fills the lists of questions with too few neighbours, as the stage publish fills items'."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.config.sections import FallbackSection, RulesSection
from pipeline.query.published import Published, pair_rules
from pipeline.query.traits import hash_of
from pipeline.retrieval import fallback
from pipeline.retrieval.rules import Rules
from pipeline.storage.list_schemas import TOP_ITEM, list_of
from pipeline.store import item_rows

_Row = dict[str, Any]


@dataclass(frozen=True)
class Filler:
    """What a version fills lists with.

    Attributes:
        published: the version.
        section: its [fallback].
        tops: the version of its table tops.
        rules: its rules.
        pair_rules: its rules on pairs.
    """

    published: Published
    section: FallbackSection
    tops: str
    rules: RulesSection
    pair_rules: Rules

    @classmethod
    def of(cls, published: Published) -> "Filler | None":
        """That of a version; None if it fills no lists.

        Raises:
            UsageError: its table tops is gone.
        """
        inputs = published.record("publish").inputs.get("fallback")
        if not inputs:
            return None
        section = FallbackSection(**inputs["settings"])
        rules = published.rules or RulesSection()
        tops = published.table("tops", "publish")
        return cls(published, section, tops, rules, pair_rules(published))

    def fill(
        self, items: pa.RecordBatch, traits: pa.RecordBatch, lists: Sequence[Sequence[_Row]], k: int
    ) -> list[list[_Row]]:
        """What fills the lists of questions.

        Args:
            items: the columns of the items table; item_id is null for texts that are no item.
            traits: what the rules on pairs read of them.
            lists: what was found for each: similar_id, score.
            k: how many items a list may hold.

        Returns:
            what comes behind the neighbours of each: similar_id, reason.
        """
        columns = {
            "item_id": items["item_id"],
            **{name: traits[name] for name in ("price", "differ", "edits", "edited_as_item")},
            "neighbors": self._listed(lists),
        }
        values, same = items.to_pylist(), traits["same"].to_pylist()
        for number, entry in enumerate(self.section.entries):
            hashes = [hash_of(row[entry.same]) if entry.same else 0 for row in values]
            groups = self._groups(number, hashes)
            candidates = [
                groups.get((value, text or "")) if value or not entry.same else None
                for value, text in zip(hashes, same, strict=True)
            ]
            columns["candidates"] = pa.array(candidates, list_of(TOP_ITEM))
            rows = pa.RecordBatch.from_arrays([*columns.values()], names=[*columns])
            columns["neighbors"] = fallback.fill(rows, entry.text, self.pair_rules, k)
        filled = columns["neighbors"].to_pylist()
        return [[one for one in entries if one["reason"] is not None] for entries in filled]

    def _groups(self, entry: int, values: Sequence[int]) -> Mapping[tuple[int, str], list[_Row]]:
        """The candidates of an entry, by value and by the trait `same`."""
        import pyarrow.dataset as ds

        is_asked = (ds.field("entry") == entry) & ds.field("value").isin(sorted(set(values)))
        table = self.published.store.dataset("tops", self.tops).to_table(filter=is_asked)
        return {(row["value"], row["same"]): row["items"] for row in table.to_pylist()}

    def _listed(self, lists: Sequence[Sequence[_Row]]) -> pa.Array:
        """Lists with the values that caps count."""
        names, ids = self.rules.capped, {one["similar_id"] for best in lists for one in best}
        details: dict[str, _Row] = {}
        if names and ids:
            store, version = self.published.store, self.published.table("details", "publish")
            table = item_rows.find_rows(store, "details", version, ids, names, in_order=True)
            details = {row["item_id"]: row for row in table.to_pylist()}

        def capped(item: str) -> list[int]:
            return [hash_of(details.get(item, {}).get(name)) for name in names]

        listed = [[one | {"capped": capped(one["similar_id"])} for one in best] for best in lists]
        return pa.array(listed, list_of(fallback.LISTED))
