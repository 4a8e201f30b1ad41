"""Inspection of one item: its tokens, its neighbours and their scores, what rules removed."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipeline.config.sections import RulesSection
from pipeline.inspection.candidates import Candidate, rank_candidates
from pipeline.inspection.contributions import Contributions, Texts, TokenModel
from pipeline.inspection.explanations import explain_removal
from pipeline.inspection.version_tables import Item, ListedItem, VersionTables
from pipeline.inspection.why_not import Search, why_not
from pipeline.query import boost_terms
from pipeline.store.reason_codes import NOT_ASKED

# How many of the removed candidates are shown.
_SHOWN = 5


@dataclass(frozen=True)
class Neighbour:
    """An item of the list.

    Attributes:
        item_id: its id.
        score: the cosine; None if it fills the list.
        title: its title.
        contributions: the parts of the score.
        ranked_by: the score with the boosts; None if there are none.
        boosts: what is added to the score to rank it, by setting.
        reason: why it is shown, as the published table has it; None if it was found.
    """

    item_id: str
    score: float | None
    title: str | None
    contributions: Contributions
    ranked_by: float | None = None
    boosts: dict[str, float] = field(default_factory=dict)
    reason: str | None = None

    def as_json(self, rank: int) -> dict[str, Any]:
        """The neighbour for programs."""
        entry = {
            "rank": rank,
            "similar_id": self.item_id,
            "title": self.title,
            "score": None if self.score is None else _shortest(self.score),
        } | self.contributions.as_json()
        if self.reason is not None:
            entry["reason"] = self.reason
        return entry | boost_terms.as_json(self.ranked_by, self.boosts)


@dataclass(frozen=True)
class RemovedCandidate:
    """A better candidate that a rule removed.

    Attributes:
        item_id: its id.
        score: the cosine.
        title: its title.
        rule: the rule's name.
        why: the explanation.
    """

    item_id: str
    score: float
    title: str | None
    rule: str
    why: str

    def as_json(self) -> dict[str, Any]:
        """The candidate for programs."""
        return {
            "item_id": self.item_id,
            "title": self.title,
            "score": _shortest(self.score),
            "rule": self.rule,
            "why": self.why,
        }


def _shortest(score: float) -> float:
    """The shortest number that is this float32."""
    return float(str(np.float32(score)))


@dataclass
class Inspection:
    """What there is to know about an item.

    Attributes:
        item: the item.
        description: its description.
        tokens: tokens of its title, of its description and of each field.
        fields: the columns of the fields.
        unknown_tokens: tokens outside the model's vocabulary; None if it is an encoder.
        phrase_tokens: tokens of the title that belong to promotional phrases.
        probes: how many lists were searched for it; None if it was not searched for.
        reason: why it has fewer than k neighbours.
        neighbours: its list as it is published.
        removal_counts: by rule, how many better candidates it removed.
        removed: the best of these candidates.
        why_not: why another item is not in the list, if that was asked.
    """

    item: Item
    description: str | None
    tokens: Texts
    unknown_tokens: list[str] | None
    phrase_tokens: list[str]
    probes: int | None
    reason: str | None
    fields: list[str] = field(default_factory=list)
    neighbours: list[Neighbour] = field(default_factory=list)
    removal_counts: dict[str, int] = field(default_factory=dict)
    removed: list[RemovedCandidate] = field(default_factory=list)
    why_not: dict[str, Any] | None = None


class Inspector:
    """Inspects items of one version."""

    def __init__(self, tables: VersionTables) -> None:
        """Load the version's model.

        Raises:
            UsageError: the model is not in the store.
        """
        self._tables = tables
        self._model = TokenModel(tables.published)
        self._rules = tables.published.rules or RulesSection()
        self._boosts = boost_terms.BoostTerms(tables.published)

    def inspect(self, item_id: str, other_id: str | None = None) -> Inspection:
        """Inspect an item.

        Args:
            item_id: the item.
            other_id: another item; the inspection tells why it is not in the item's list.

        Raises:
            UsageError: the item is not in the catalogue, or files of the version are gone.
        """
        tables = self._tables
        item = tables.item(item_id)
        published = tables.published_list(item_id)
        tokens = tables.tokens([item_id, *(one.similar_id for one in published)])
        inspection = self._describe(item, tokens[item_id])
        if inspection.probes is None and inspection.reason is None and not published:
            inspection.reason = NOT_ASKED
        candidates = self._candidates(item, inspection.probes)
        boosted = {one.item_id: one.ranked_by for one in candidates}
        published = [
            replace(one, boosted=one.ranked_by if one.reason else boosted.get(one.similar_id))
            for one in published
        ]
        inspection.neighbours = self._neighbours(item, published, tokens)
        k = max(len(published), tables.published.settings["k"])
        better = [one for one in candidates if one.removal and one.rank <= k]
        inspection.removal_counts = dict(Counter(one.removal.rule for one in better if one.removal))
        inspection.removed = self._removed(item, better[:_SHOWN])
        if other_id is not None:
            search = Search(item, published, inspection.probes, inspection.reason, candidates)
            inspection.why_not = why_not(tables, self._rules, search, other_id)
        return inspection

    def _describe(self, item: Item, tokens: Texts) -> Inspection:
        return Inspection(
            item=item,
            description=self._tables.description(item.item_id),
            tokens=tokens,
            unknown_tokens=self._model.unknown_tokens(" ".join(tokens).split()),
            phrase_tokens=self._model.phrase_tokens(tokens),
            probes=self._tables.probes(item),
            reason=self._tables.short_list_reason(item.item_id),
            fields=[field.column for field in self._tables.published.fields],
        )

    def _neighbours(
        self, item: Item, published: list[ListedItem], tokens: dict[str, Texts]
    ) -> list[Neighbour]:
        ids = [one.similar_id for one in published]
        details = self._tables.details(ids)
        found = self._boosts.edits.find([item.item_id, *ids])
        return [
            Neighbour(
                one.similar_id,
                one.score,
                other.get("title"),
                self._contributions(tokens[item.item_id], tokens[one.similar_id], one.score),
                one.ranked_by,
                self._boosts.of(item.details, other, one.scores, found),
                one.reason,
            )
            for one in published
            if one.similar_id in tokens
            for other in (details.get(one.similar_id, {}),)
        ]

    def _contributions(self, own: Texts, other: Texts, score: float | None) -> Contributions:
        """The parts of a score; none of an item that fills the list."""
        if score is None:
            return Contributions(None, None, [], None)
        return self._model.contributions(own, other)

    def _candidates(self, item: Item, probes: int | None) -> list[Candidate]:
        if item.row is None or probes is None:
            return []
        index = self._tables.index
        lists = index.probes(item.row["vector"], probes)[0]
        return rank_candidates(index, item, lists)

    def _removed(self, item: Item, candidates: list[Candidate]) -> list[RemovedCandidate]:
        details = self._tables.details([one.item_id for one in candidates])
        return [
            RemovedCandidate(
                item_id=one.item_id,
                score=one.score,
                title=details[one.item_id]["title"],
                rule=one.removal.rule if one.removal else "",
                why=explain_removal(self._rules, item.details, details[one.item_id], one),
            )
            for one in candidates
        ]
