"""The boosts of a pair, term by term, computed from the values of the two items."""

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

import numpy as np

from pipeline.query.edits import EditsOfIds, VersionEdits
from pipeline.query.published import Published
from pipeline.query.traits import hash_of
from pipeline.retrieval.pins import PINNED
from pipeline.retrieval.vectors import Float64
from pipeline.stages.neighbors import boosts

Details = Mapping[str, Any]


class Scores(NamedTuple):
    """The scores of a neighbour.

    Attributes:
        score: the cosine; None if it fills a list.
        boosted: the cosine with the boosts; None if there are none.
        ranked_by: what it is ranked by; None if by the cosine.
    """

    score: float | None
    boosted: float | None
    ranked_by: float | None


class BoostTerms:
    """The boosts of a version.

    Attributes:
        edits: those that people have written by hand.
    """

    def __init__(self, published: Published) -> None:
        """Read the version's settings and quantiles."""
        self._rank = published.rank
        self.edits = VersionEdits(published)
        self._quantiles = published.record("neighbors").outputs.get("quantiles", {})

    @property
    def columns(self) -> list[str]:
        """The columns of items that they read."""
        names = {name for names in self._rank.columns().values() for name in names}
        return sorted(names | set(self.edits.columns))

    def of(
        self, item: Details, other: Details, scores: Scores, found: EditsOfIds
    ) -> dict[str, float]:
        """What is added to the cosine of a pair, by setting; terms of 0 are left out.

        Args:
            item: values of the item whose list it is, by column; what is left out is missing.
            other: those of the neighbour.
            scores: its scores.
            found: the edits that name the two by their ids.
        """
        rank, boosted = self._rank, scores.boosted
        if scores.score is None or scores.ranked_by is None:
            return {}
        if boosted is None:
            # Lists chosen from candidates are ranked by more than boosts, which may be none.
            boosted = scores.score if rank.chooses else scores.ranked_by
        terms = {}
        for name, weight in sorted(rank.same.items()):
            value = hash_of(item.get(name))
            if value and value == hash_of(other.get(name)):
                terms[f"rank.same.{name}"] = weight
        if rank.price is not None:
            prices = item.get("price") or 0.0, other.get("price") or 0.0
            if min(prices) > 0 and max(prices) < np.inf:
                distance = np.log2(prices[1:]) - np.log2(prices[:1])
                terms["rank.price"] = float(boosts.of_pairs(rank).price_boosts(distance)[0])
        own = boosts.terms(rank, self._quantiles, self._values(other))
        terms |= {name: float(term[0]) for name, term in own.items()}
        terms["edits"] = round(self.edits.boost_of(item, other, found), 6)
        if rank.exposure:
            # How crowded a neighbour is follows from what is added in all.
            terms["rank.exposure"] = round(boosted - scores.score - sum(terms.values()), 6)
        if rank.chooses:
            # With both, what each of them does can't be told from the list.
            both = "chosen" if rank.diversity else "rerank"
            name = both if rank.rerank else "diversity"
            terms[f"rank.{name}"] = round(scores.ranked_by - boosted, 6)
        return {name: term for name, term in terms.items() if term}

    def _values(self, other: Details) -> dict[str, Float64]:
        values = {name: _number(other.get(name)) for name in self._rank.value}
        fresh = self._rank.fresh
        if fresh is not None:
            released: date | None = other.get(fresh.column)
            today = date.fromisoformat(fresh.date)
            values[boosts.AGE] = _number(None if released is None else (today - released).days)
        return values


def _number(value: float | None) -> Float64:
    return np.array([np.nan if value is None else value], dtype=np.float64)


def as_json(ranked_by: float | None, terms: Mapping[str, float]) -> dict[str, Any]:
    """What a neighbour is ranked by, for programs; nothing without boosts."""
    if ranked_by is None:
        return {}
    shortest = float(str(np.float32(ranked_by)))
    return {"ranked_by": shortest, "boosts": {n: round(term, 6) for n, term in terms.items()}}


def describe_reason(reason: str) -> str:
    """Why a row is shown that was not found by its score, for a person."""
    return reason if reason == PINNED else f"fills the list: {reason}"


def describe(ranked_by: float, terms: Mapping[str, float]) -> str:
    """What a neighbour is ranked by, for a person."""
    parts = ", ".join(f"{name.removeprefix('rank.')} {term:+.3f}" for name, term in terms.items())
    return f"ranked by {ranked_by:.3f}: {parts or 'its score alone'}"
