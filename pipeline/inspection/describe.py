"""An inspection as lines for a person, and as JSON for programs."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from pipeline.inspection.inspect import Inspection, Neighbour
from pipeline.query import boost_terms
from pipeline.query.published import Published
from pipeline.query.spark_format import cast_to_string as plain
from pipeline.store.reason_codes import explain
from pipeline.terminal.colours import BAD, DIM, HEAD, WARNING, paint
from pipeline.terminal.escapes import escape
from pipeline.terminal.output import score_text, short_id, shorten, table

_MAX_TOKENS, _MAX_SHARED = 40, 5
# In columns of the terminal.
_MAX_REASON = 1000
# What is shown elsewhere, or is no column of the catalogue.
_NOT_SHOWN = ("item_id", "title", "image_url", "list")


def lines(inspection: Inspection, published: Published) -> Iterator[str]:
    """The inspection as lines."""
    item = inspection.item
    yield paint(f"{short_id(item.item_id)}  {shorten(item.details['title'], 70)}", HEAD)
    yield f"version     {published.version}  run {published.run_id}"
    if columns := _columns(item.details):
        yield f"columns     {columns}"
    title, description, *fields = inspection.tokens
    yield f"tokens      {_tokens(title, inspection)}"
    if description:
        yield f"            {_tokens(description, inspection)}"
    for name, text in zip(inspection.fields, fields, strict=True):
        yield f"            {name}: {_tokens(text, inspection)}"
    yield from _token_marks(inspection)
    if item.norm is not None:
        probes = f"; lists searched for it: {inspection.probes:,}" if inspection.probes else ""
        yield f"vector      length {item.norm:.4f}, in list {item.details['list']}{probes}"
    if inspection.reason is not None:
        found = sum(one.score is not None for one in inspection.neighbours)
        filled = len(inspection.neighbours) - found
        more = f", and {filled} that fill the list" if filled else ""
        yield f"neighbours  {found}: {explain(inspection.reason)}{more}"
    if inspection.neighbours:
        yield ""
        yield from _neighbours(inspection.neighbours)
    yield from _removed(inspection)
    if inspection.why_not is not None:
        other = inspection.why_not
        yield ""
        name = short_id(other["item_id"])
        yield paint(f"why not {name}  {shorten(other['title'])}".rstrip(), HEAD)
        yield f"  {shorten(other['said'], _MAX_REASON)}"


def _columns(details: dict[str, Any]) -> str:
    values = [
        (name, value)
        for name, value in details.items()
        if value is not None and name not in _NOT_SHOWN
    ]
    return ", ".join(
        f"{name} {value:,g}" if isinstance(value, float) else f"{name} {shorten(plain(value))}"
        for name, value in values
    )


def _tokens(text: str, inspection: Inspection) -> str:
    unknown = set(inspection.unknown_tokens or ())
    phrases = set(inspection.phrase_tokens)
    tokens = text.split()
    marked = [
        paint(f"({token})", DIM)
        if token in phrases
        else paint(f"{token}*", WARNING)
        if token in unknown
        else escape(token)
        for token in tokens[:_MAX_TOKENS]
    ]
    more = f" … and {len(tokens) - _MAX_TOKENS:,} more" if len(tokens) > _MAX_TOKENS else ""
    return (" ".join(marked) or "none") + more


def _token_marks(inspection: Inspection) -> Iterator[str]:
    """What the marks of tokens mean."""
    if inspection.unknown_tokens:
        yield "            * not in the model's vocabulary: known by its letters only"
    if inspection.phrase_tokens:
        yield "            ( ) part of a promotional phrase: left out"


def _neighbours(neighbours: list[Neighbour]) -> Iterator[str]:
    rows = [
        (
            str(rank),
            score_text(one.score),
            _part(one.contributions.meaning),
            _part(one.contributions.letters),
            short_id(one.item_id),
            shorten(one.title),
        )
        for rank, one in enumerate(neighbours, 1)
    ]
    head = ("", "score", "meaning", "letters", "item", "title")
    head_line, *row_lines = table(head, rows, right=" score meaning letters", cut="title")
    yield head_line
    for line, neighbour in zip(row_lines, neighbours, strict=True):
        yield line
        if neighbour.ranked_by is not None:
            boosts = boost_terms.describe(neighbour.ranked_by, neighbour.boosts)
            yield paint(f"      {boosts}", DIM)
        if neighbour.reason is not None:
            yield paint(f"      {boost_terms.describe_reason(neighbour.reason)}", DIM)
            continue
        yield paint(f"      {_shared_tokens(neighbour)}", DIM)


def _part(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _shared_tokens(neighbour: Neighbour) -> str:
    tokens, other = neighbour.contributions.tokens, neighbour.contributions.other
    if other is None:
        words = " ".join(token for token, _ in tokens[: 2 * _MAX_SHARED])
        return f"shared: {words or 'nothing'}"
    parts = [f"{token} {share:.0%}" for token, share in tokens[:_MAX_SHARED] if share is not None]
    if len(tokens) > _MAX_SHARED:
        rest = sum(share for _, share in tokens[_MAX_SHARED:] if share is not None)
        parts.append(f"{len(tokens) - _MAX_SHARED} more {rest:.0%}")
    return f"shared: {', '.join(parts) or 'nothing'}; tokens that are alike {other:.0%}"


def _removed(inspection: Inspection) -> Iterator[str]:
    counts = inspection.removal_counts
    if not counts:
        return
    by_rule = ", ".join(f"{rule} {count:,}" for rule, count in sorted(counts.items()))
    yield ""
    total = f"Better candidates that rules removed: {sum(counts.values()):,}"
    yield f"{paint(total, BAD)} ({by_rule})"
    rows = [
        (f"{one.score:.3f}", short_id(one.item_id), shorten(one.why, _MAX_REASON))
        for one in inspection.removed
    ]
    yield from table(("score", "item", "why"), rows, right="score", cut="why")


def as_json(inspection: Inspection, published: Published) -> dict[str, Any]:
    """The inspection for programs."""
    names = ("title", "description", *inspection.fields)
    tokens = zip(names, map(str.split, inspection.tokens), strict=True)
    return {
        "version": published.version,
        "run_id": published.run_id,
        **{
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in inspection.item.details.items()
        },
        "description": inspection.description,
        "norm": inspection.item.norm,
        "tokens": dict(tokens),
        "unknown": inspection.unknown_tokens,
        "left_out": inspection.phrase_tokens,
        "lists_searched": inspection.probes,
        "reason": inspection.reason,
        "neighbours": [one.as_json(rank) for rank, one in enumerate(inspection.neighbours, 1)],
        "removed": inspection.removal_counts,
        "removed_nearest": [one.as_json() for one in inspection.removed],
        "why_not": inspection.why_not,
    }
