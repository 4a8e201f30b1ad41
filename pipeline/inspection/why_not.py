"""Why an item is not in another item's list."""

from dataclasses import dataclass
from typing import Any

from pipeline.config.sections import RankSection, RulesSection
from pipeline.errors import UsageError
from pipeline.inspection.candidates import Candidate, cosine_scores
from pipeline.inspection.explanations import explain_removal
from pipeline.inspection.version_tables import Item, ListedItem, VersionTables
from pipeline.store.reason_codes import NO_VECTOR


@dataclass(frozen=True)
class Search:
    """The search for an item's neighbours.

    Attributes:
        item: the item.
        published: its list, best first.
        probes: how many lists were searched for it; None if it was not searched for.
        reason: why it has fewer than k neighbours.
        candidates: all candidates in the lists that were searched, ranked.
    """

    item: Item
    published: list[ListedItem]
    probes: int | None
    reason: str | None
    candidates: list[Candidate]


def why_not(
    tables: VersionTables, rules: RulesSection, search: Search, other_id: str
) -> dict[str, Any]:
    """Why an item is not in another item's list; the first reason that holds.

    Args:
        tables: the version's tables.
        rules: the version's rules.
        search: the search for the item whose list it is.
        other_id: the item that is not in the list.

    Returns:
        item_id, title; why: shown, no_item, no_list, no_vector, not_probed, rule or score; said:
        the same as a sentence; and figures.

    Raises:
        UsageError: the two are the same item.
    """
    if other_id == search.item.item_id:
        raise UsageError(
            f"--why-not {other_id}: is the item itself, which is in no list of its own"
        )
    details = tables.details([other_id]).get(other_id)
    other = {"item_id": other_id, "title": details and details["title"]}
    return other | _answer(tables, rules, search, other_id, details)


def _answer(
    tables: VersionTables,
    rules: RulesSection,
    search: Search,
    other_id: str,
    details: dict[str, Any] | None,
) -> dict[str, Any]:
    ranks = {one.similar_id: rank for rank, one in enumerate(search.published, 1)}
    if other_id in ranks:
        rank = ranks[other_id]
        return {"why": "shown", "said": f"is in the list, at rank {rank}", "rank": rank}
    if details is None:
        return {"why": "no_item", "said": tables.absence_reason(other_id)}
    if search.item.row is None or search.probes is None:
        reason = search.reason or "this run did not ask for it"
        return {"why": "no_list", "said": f"the item was not searched for: {reason}"}
    if details["list"] is None:
        reason = tables.short_list_reason(other_id) or NO_VECTOR
        return {"why": NO_VECTOR, "said": f"it has no vector: {reason}"}
    candidate = next((one for one in search.candidates if one.item_id == other_id), None)
    if candidate is None:
        return _not_probed(tables, search.item, search.probes, other_id, details["list"])
    if candidate.removal is not None:
        explanation = explain_removal(rules, search.item.details, details, candidate)
        return {
            "why": "rule",
            "rule": candidate.removal.rule,
            "said": f"{explanation}. Its score is {candidate.score:.4f}",
            "score": candidate.score,
        }
    published = tables.published
    return _too_far(search, search.probes, candidate, published.rank, published.settings["k"])


def _not_probed(
    tables: VersionTables, item: Item, probes: int, other_id: str, home_list: int
) -> dict[str, Any]:
    """The other item is in a list that was not searched."""
    ranks = tables.index.quantiser.ranks(item.vector)
    place = int(ranks[0, home_list]) + 1
    row = tables.item(other_id).row
    assert row is not None  # noqa: S101 - it is in a list
    score = float(cosine_scores(item, row["vector"])[0])
    sentence = (
        f"it is in list {home_list}, the {_ordinal(place)} nearest; {probes} were searched. "
        f"Its score would be {score:.4f}"
    )
    figures = {"list": home_list, "place": place, "score": score}
    return {"why": "not_probed", "said": sentence} | figures


def _too_far(
    search: Search, probes: int, candidate: Candidate, rank: RankSection, k: int
) -> dict[str, Any]:
    """The other item's score is too low."""
    last, boosted = "", ""
    published = [one for one in search.published if one.reason is None]
    if published and published[-1].ranked_by is None:
        last = f"; the last that is shown has {published[-1].score:.4f}"
    elif published:
        last = f"; the last that is shown has {published[-1].ranked_by:.4f}"
        if candidate.ranked_by != candidate.score:
            boosted = f", with its boosts {candidate.ranked_by:.4f}"
    sentence = (
        f"its score is {candidate.score:.4f}{boosted}{last}. It is at rank {candidate.rank:,} of "
        f"what the lists that were searched hold ({probes:,})"
    )
    if rank.chooses:
        sentence += f". The list is chosen from the first {rank.candidates(k)} of them"
        sentence += ", which were ranked again" if rank.rerank else ""
        sentence += ", to be diverse" if rank.diversity else ""
    return {"why": "score", "said": sentence, "score": candidate.score, "rank": candidate.rank}


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{'th' if 10 < number % 100 < 14 else ending}"
