"""The published table as docs/rules.md defines it, by brute force over all pairs, item by item.

It reads settings as the config has them, and nothing of the pipeline: plain Python and NumPy.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tests.pipeline.stages.definitions.catalogue import Catalogue
from tests.pipeline.stages.definitions.edits import (
    DENIED,
    DIFFERS,
    NO_LIST,
    NO_VECTOR,
    NOT_ELIGIBLE,
    NOT_SAME,
    PRICE,
    Edits,
    Row,
)
from tests.pipeline.stages.definitions.pairs import Pairs

Settings = Mapping[str, Any]


class Shown(NamedTuple):
    """A row of the table, but for its item and its rank."""

    similar_id: str
    score: float | None
    ranked_by: float | None
    reason: str | None


class Candidate(NamedTuple):
    """An item that may be in a list: its place, its cosine, and what it is ranked by.

    That is the cosine with boosts, or the finer score with them.
    """

    place: int
    cosine: np.float32
    ranked_by: np.float32


@dataclass
class Table:
    """What is published.

    Attributes:
        lists: of each item that has any.
        refused: of each edit that is not followed, its reasons, each with how many items have it.
    """

    lists: dict[str, list[Shown]] = field(default_factory=dict)
    refused: list[tuple[Row, Counter[str]]] = field(default_factory=list)


def publish(catalogue: Catalogue, settings: Settings) -> Table:
    """The table of some settings.

    Args:
        catalogue: the items.
        settings: the sections of the config: neighbors, rules, rank, fallback; and edits, with
            `date` and `rows`.
    """
    return _Shop(catalogue, settings).table()


class _Shop:
    """A catalogue under settings."""

    def __init__(self, catalogue: Catalogue, settings: Settings) -> None:
        self.catalogue, self.rows = catalogue, catalogue.rows
        sections = [settings.get(name, {}) for name in ("neighbors", "rules", "rank", "fallback")]
        self.neighbors, self.rules, self.rank, self.fallback = sections
        self.k: int = self.neighbors["k"]
        edits, ids = settings.get("edits", {}), frozenset(catalogue.ids)
        self.edits = Edits(
            edits.get("rows", []), edits.get("date", ""), self.k, ids, catalogue.conditions
        )
        self.pairs = Pairs(catalogue, self.rules, self.rank, self.edits)

    def table(self) -> Table:
        query = self.rules.get("query", "")
        asking = [n for n, row in enumerate(self.rows) if self.edits.holds(query, row)]
        result = Table()
        for place in asking:
            found = self._found(place) if self.catalogue.has_vector[place] else []
            shown = self._filled(place, self._with_pins(place, found))
            if shown:
                result.lists[self.catalogue.ids[place]] = shown
        self.edits.refuse_items(frozenset(self.catalogue.ids[place] for place in asking))
        both = zip(self.edits.rows, self.edits.refused, strict=True)
        result.refused = [(one, reasons) for one, reasons in both if reasons]
        return result

    # What is found.

    def _found(self, place: int) -> list[Shown]:
        """The neighbours of an item: k, or as many as there are in the lists that are searched."""
        found: list[Candidate] = []
        for width in self._widths():
            found = self._best(place, width)
            if len(found) >= self.k:
                break
        if self.rank.get("rerank"):
            found = self._ranked_again(place, found)
        if self.rank.get("diversity"):
            return self._diverse(found)
        return [self._shown(one, float(one.ranked_by)) for one in found[: self.k]]

    def _widths(self) -> Iterator[int]:
        if self.catalogue.nearest_lists is None:
            yield 1
            return
        first, lists = self.neighbors["nprobe"], self.catalogue.nearest_lists.shape[1]
        most = min(self.neighbors.get("max_probes") or 16 * first, lists)
        yield from sorted({first, min(4 * first, most), min(16 * first, most)} - set(range(first)))

    def _best(self, place: int, width: int) -> list[Candidate]:
        """The best candidates that the rules and the caps leave, best first."""
        depth = self.k
        if self.rank.get("rerank") or self.rank.get("diversity"):
            times = 3 if self.rank.get("diversity") else 2
            depth = max(self.k, self.rank.get("depth") or times * self.k)
        candidates = [
            self._candidate(place, other)
            for other in self.catalogue.probed(place, width)
            if not self.pairs.excluded_by(place, other)
        ]
        low, high = self.rules.get("min_score", -1), self.rules.get("max_score", 1)
        in_bounds = [one for one in candidates if low <= float(one.cosine) <= high]
        chosen: list[Candidate] = []
        for one in self._best_first(in_bounds):
            if len(chosen) < depth and self.pairs.fits(
                one.place, [other.place for other in chosen]
            ):
                chosen.append(one)
        return chosen

    def _candidate(self, place: int, other: int) -> Candidate:
        cosine = self.catalogue.cosines[place, other]
        return Candidate(other, cosine, np.float32(float(cosine) + self.pairs.boost(place, other)))

    def _best_first(self, candidates: list[Candidate]) -> list[Candidate]:
        return sorted(candidates, key=lambda one: (-one.ranked_by, self.catalogue.ids[one.place]))

    def _ranked_again(self, place: int, candidates: list[Candidate]) -> list[Candidate]:
        """The candidates with finer scores in place of cosines; the boosts stay."""
        finer, again = self.catalogue.finer_scores, list[Candidate]()
        for one in candidates:
            boosts = float(one.ranked_by) - float(one.cosine)
            ranked_by = np.float32(finer.of(place, one.place) + boosts)
            again.append(one._replace(ranked_by=ranked_by))
        return self._best_first(again)

    def _diverse(self, left: list[Candidate]) -> list[Shown]:
        """Maximal marginal relevance."""
        share, shown = self.rank["diversity"], list[Shown]()
        nearness = dict.fromkeys(left, 0.0)
        while nearness and len(shown) < self.k:
            values = {
                one: (1 - share) * float(one.ranked_by) - share * near
                for one, near in nearness.items()
            }
            first = min(values, key=lambda one: (-values[one], self.catalogue.ids[one.place]))
            shown.append(self._shown(first, values[first]))
            del nearness[first]
            for one, near in nearness.items():
                cosine = float(self.catalogue.cosines[one.place, first.place])
                nearness[one] = max(near, cosine)
        return shown

    def _shown(self, one: Candidate, ranked_by: float, reason: str | None = None) -> Shown:
        return Shown(self.catalogue.ids[one.place], float(one.cosine), ranked_by, reason)

    # Pins.

    def _pin_refused_by(self, place: int, similar_id: str) -> str:
        if not self.catalogue.has_vector[place]:
            return NO_LIST
        other = self.catalogue.places.get(similar_id)
        if other is None or not self.catalogue.has_vector[other]:
            return NO_VECTOR
        order = (NOT_ELIGIBLE, NOT_SAME, DENIED, DIFFERS, PRICE)
        broken = self.pairs.excluded_by(place, other)
        return next((reason for reason in order if reason in broken), "")

    def _with_pins(self, place: int, found: list[Shown]) -> list[Shown]:
        """The neighbours that were found, with the pins at their ranks."""
        ids = self.edits.pins(self.rows[place], lambda pinned: self._pin_refused_by(place, pinned))
        rest, shown = [one for one in found if one.similar_id not in ids.values()], list[Shown]()
        for rank in range(1, self.k + 1):
            if rank in ids:
                one = self._candidate(place, self.catalogue.places[ids[rank]])
                shown.append(self._shown(one, float(one.ranked_by), "pinned"))
            elif rest:
                shown.append(rest.pop(0))
        return shown

    # What fills short lists.

    def _filled(self, place: int, shown: list[Shown]) -> list[Shown]:
        shown = list(shown)
        for text in self.fallback.get("order", []):
            words = text.split()
            same, by = (words[1] if words[0] == "same" else "", words[-1])
            for other in self._group(place, same, by):
                listed = [self.catalogue.places[one.similar_id] for one in shown]
                is_new = other != place and other not in listed and len(shown) < self.k
                if (
                    is_new
                    and not self.pairs.excluded_by(place, other)
                    and self.pairs.fits(other, listed)
                ):
                    shown.append(Shown(self.catalogue.ids[other], None, None, text))
        return shown

    def _group(self, place: int, same: str, by: str) -> list[int]:
        """The first items of the group that fills an item's list."""
        item = self.rows[place]
        if same and item[same] is None:
            return []
        group = [
            other
            for other, row in enumerate(self.rows)
            if row[by] is not None
            and (not same or row[same] == item[same])
            and all(row[name] == item[name] for name in self.rules.get("same", []))
            and NOT_ELIGIBLE not in self.pairs.excluded_by(place, other)
        ]
        group.sort(key=lambda other: (-self.rows[other][by], self.catalogue.ids[other]))
        return group[: max(self.k, min(10 * self.k, 1000))]
