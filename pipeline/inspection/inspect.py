"""One item looked at: tokens, neighbours and what their scores are made of, what rules removed."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.config.sections import RulesSection
from pipeline.errors import UsageError
from pipeline.inspection import sentences
from pipeline.inspection.candidates import Candidate, walk
from pipeline.inspection.contributions import Reader, Shares, Texts
from pipeline.inspection.item import Item, Version
from pipeline.retrieval import quantiser
from pipeline.store import reasons

# Candidates that rules removed which are shown.
_SHOWN = 5


@dataclass(frozen=True)
class Neighbour:
    """An item of the list."""

    item_id: str
    score: float
    title: str | None
    shares: Shares

    def shown(self, rank: int) -> dict[str, Any]:
        """For JSON."""
        score = float(str(np.float32(self.score)))
        about = {"rank": rank, "similar_id": self.item_id, "title": self.title, "score": score}
        return about | self.shares.shown()


@dataclass(frozen=True)
class Out:
    """A better candidate that a rule removed."""

    item_id: str
    score: float
    title: str | None
    rule: str
    why: str

    def shown(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "item_id": self.item_id,
            "title": self.title,
            "score": float(str(np.float32(self.score))),
            "rule": self.rule,
            "why": self.why,
        }


@dataclass
class Inspected:
    """What was found of an item.

    Attributes:
        item: the item.
        tokens: of its title and its description.
        unknown: those that are not in the model's vocabulary; None of an encoder.
        left_out: those of its title that belong to promotional phrases.
        searched: how many lists were searched for it; None if it did not ask.
        reason: why it has fewer neighbours than were asked for.
        neighbours: as they are published.
        removed: of each rule, how many better candidates it removed.
        nearest: the nearest of these.
        why_not: why another item is not in its list, if that was asked.
    """

    item: Item
    description: str | None
    tokens: Texts
    unknown: list[str] | None
    left_out: list[str]
    searched: int | None
    reason: str | None
    neighbours: list[Neighbour] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)
    nearest: list[Out] = field(default_factory=list)
    why_not: dict[str, Any] | None = None


class Inspector:
    """Looks at items of one version."""

    def __init__(self, version: Version) -> None:
        """Load its model.

        Raises:
            UsageError: the model is not there.
        """
        self._version = version
        self._reader = Reader(version.published)
        self._rules = version.published.rules or RulesSection()
        self._item_details: dict[str, dict[str, Any]] = {}

    def inspect(self, item_id: str, why_not: str | None = None) -> Inspected:
        """Look at an item.

        Args:
            item_id: which.
            why_not: another, of which is asked why it is not in the list.

        Raises:
            UsageError: the item is none of the catalogue's, or the version is not whole any more.
        """
        version = self._version
        item = version.item(item_id)
        shown = version.shown(item_id)
        tokens = version.tokens([item_id, *(other for other, _ in shown)])
        mine = tokens[item_id]
        every = [word for texts in mine for word in texts.split()]
        found = Inspected(
            item=item,
            description=version.description(item_id),
            tokens=mine,
            unknown=self._reader.unknown(every),
            left_out=self._reader.left_out(mine),
            searched=version.searched(item),
            reason=version.reason(item_id),
        )
        if found.searched is None and found.reason is None and not shown:
            found.reason = reasons.NOT_ASKED
        details = version.details([other for other, _ in shown])
        found.neighbours = [
            Neighbour(other, score, details.get(other, {}).get("title"),
                      self._reader.shares(mine, tokens[other]))
            for other, score in shown if other in tokens
        ]  # fmt: skip
        candidates = self._candidates(item, found.searched)
        self._give_removed(found, candidates, len(shown))
        if why_not is not None:
            found.why_not = self._why_not(found, candidates, why_not)
        return found

    def _candidates(self, item: Item, searched: int | None) -> list[Candidate]:
        if item.row is None or searched is None:
            return []
        index = self._version.index
        lists = index.probes(item.row["vector"], searched)[0]
        caps = ["collapse"] if self._rules.collapse else []
        caps += [f"max_per.{column}" for column in sorted(self._rules.max_per)]
        return walk(index, item, lists, caps)

    def _give_removed(self, found: Inspected, candidates: list[Candidate], shown: int) -> None:
        """What rules removed before the last that is shown, or of all where there are too few."""
        wanted = max(shown, self._version.published.settings["k"])
        better = [one for one in candidates if one.removed and one.rank <= wanted]
        found.removed = dict(Counter(one.removed.rule for one in better if one.removed))
        some = better[:_SHOWN]
        details = self._version.details([one.item_id for one in some])
        for one in some:
            about = details[one.item_id]
            why = sentences.of_rule(self._rules, found.item.about, about, one)
            rule = one.removed.rule if one.removed else ""
            found.nearest.append(Out(one.item_id, one.score, about["title"], rule, why))

    # Why not another

    def _why_not(self, found: Inspected, candidates: list[Candidate], other: str) -> dict[str, Any]:
        """Why another item is not in the list; the first reason that holds."""
        if other == found.item.item_id:
            raise UsageError(
                f"--why-not {other}: is the item itself, which is in no list of its own"
            )
        details = self._version.details([other]).get(other)
        answer: dict[str, Any] = {"item_id": other, "title": details and details["title"]}
        ranks = {one.item_id: n for n, one in enumerate(found.neighbours, 1)}
        if other in ranks:
            rank = ranks[other]
            return answer | {
                "why": "shown",
                "said": f"is in the list, at rank {rank}",
                "rank": rank,
            }
        if details is None:
            return answer | {"why": "no_item", "said": self._version.missing(other)}
        if found.item.row is None or found.searched is None:
            why = found.reason or "this run did not ask for it"
            return answer | {"why": "no_list", "said": f"the item was not searched for: {why}"}
        if details["list"] is None:
            reason = self._version.reason(other) or reasons.NO_VECTOR
            return answer | {"why": reasons.NO_VECTOR, "said": f"it has no vector: {reason}"}
        mine = next((one for one in candidates if one.item_id == other), None)
        if mine is None:
            return answer | self._not_probed(found.item, found.searched, details["list"], other)
        return answer | self._not_taken(found, mine, details)

    def _not_probed(self, item: Item, searched: int, home: int, other: str) -> dict[str, Any]:
        place = (
            int(quantiser.centroid_ranks(item.vector, self._version.index.centroids)[0, home]) + 1
        )
        score = self._score(item, other)
        said = (
            f"it is in list {home}, the {_ordinal(place)} nearest; {searched} were searched. "
            f"Its score would be {score:.4f}"
        )
        return {"why": "not_probed", "said": said, "list": home, "place": place, "score": score}

    def _score(self, item: Item, other: str) -> float:
        from pipeline.inspection.candidates import scored

        row = self._version.item(other).row
        assert row is not None  # noqa: S101 - it is in a list
        return float(scored(item, row["vector"])[0])

    def _not_taken(
        self, found: Inspected, mine: Candidate, details: dict[str, Any]
    ) -> dict[str, Any]:
        last = found.neighbours[-1].score if found.neighbours else None
        if mine.removed is not None:
            said = sentences.of_rule(self._rules, found.item.about, details, mine)
            said += f". Its score is {mine.score:.4f}"
            return {"why": "rule", "rule": mine.removed.rule, "said": said, "score": mine.score}
        above = f"; the last that is shown has {last:.4f}" if last is not None else ""
        said = (
            f"its score is {mine.score:.4f}{above}. It is at rank {mine.rank:,} of what the lists "
            f"that were searched hold ({found.searched:,})"
        )
        return {"why": "score", "said": said, "score": mine.score, "rank": mine.rank}


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{'th' if 10 < number % 100 < 14 else ending}"
