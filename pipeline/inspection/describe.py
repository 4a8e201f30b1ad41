"""How `inspect` tells a person and a program what it found."""

from collections.abc import Iterator
from typing import Any

from pipeline.inspection.inspect import Inspected, Neighbour
from pipeline.query.published import Published
from pipeline.store.reasons import explain
from pipeline.terminal.colours import BAD, DIM, HEAD, WARNING, paint
from pipeline.terminal.output import shorten, table

_TOKENS, _SHARED = 40, 5


def lines(found: Inspected, published: Published) -> Iterator[str]:
    """What was found of an item."""
    about = found.item.about
    yield paint(f"{found.item.item_id}  {shorten(about['title'], 70)}", HEAD)
    yield f"version     {published.version}  run {published.run_id}"
    if said := _columns(about):
        yield f"columns     {said}"
    yield f"tokens      {_tokens(found.tokens[0], found)}"
    if found.tokens[1]:
        yield f"            {_tokens(found.tokens[1], found)}"
    yield from _notes(found)
    if found.item.norm is not None:
        searched = f"; lists searched for it: {found.searched:,}" if found.searched else ""
        yield f"vector      length {found.item.norm:.4f}, in list {about['list']}{searched}"
    if found.reason is not None:
        yield f"neighbours  {len(found.neighbours)}: {explain(found.reason)}"
    if found.neighbours:
        yield ""
        yield from _neighbours(found.neighbours)
    yield from _removed(found)
    if found.why_not is not None:
        yield ""
        why_not = f"why not {found.why_not['item_id']}  {shorten(found.why_not['title'])}"
        yield paint(why_not.rstrip(), HEAD)
        yield f"  {found.why_not['said']}"


def _columns(about: dict[str, Any]) -> str:
    names = ("category", "group_id", "brand", "locale", "price", "stock")
    known = [(name, about[name]) for name in names if about[name] is not None]
    return ", ".join(
        f"{name} {value:,g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in known
    )


def _tokens(text: str, found: Inspected) -> str:
    unknown, left_out = set(found.unknown or ()), set(found.left_out)
    words = text.split()
    marked = [
        paint(f"({word})", DIM)
        if word in left_out
        else paint(f"{word}*", WARNING)
        if word in unknown
        else word
        for word in words[:_TOKENS]
    ]
    more = f" … and {len(words) - _TOKENS:,} more" if len(words) > _TOKENS else ""
    return (" ".join(marked) or "none") + more


def _notes(found: Inspected) -> Iterator[str]:
    if found.unknown:
        yield "            * not in the model's vocabulary: known by its letters only"
    if found.left_out:
        yield "            ( ) part of a promotional phrase: left out"


def _neighbours(found: list[Neighbour]) -> Iterator[str]:
    rows = [
        (
            str(rank),
            f"{one.score:.3f}",
            _part(one.shares.meaning),
            _part(one.shares.letters),
            one.item_id,
            shorten(one.title),
        )
        for rank, one in enumerate(found, 1)
    ]
    head = ("", "score", "meaning", "letters", "item", "title")
    first, *others = table(head, rows, right=" score meaning letters", cut="title")
    yield first
    for line, one in zip(others, found, strict=True):
        yield line
        yield paint(f"      {_shared(one)}", DIM)


def _part(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _shared(one: Neighbour) -> str:
    shares = one.shares
    if shares.other is None:
        words = " ".join(word for word, _ in shares.tokens[: 2 * _SHARED])
        return f"shared: {words or 'nothing'}"
    parts = [f"{word} {share:.0%}" for word, share in shares.tokens[:_SHARED] if share is not None]
    rest = sum(share for _, share in shares.tokens[_SHARED:] if share is not None)
    if len(shares.tokens) > _SHARED:
        parts.append(f"{len(shares.tokens) - _SHARED} more {rest:.0%}")
    return f"shared: {', '.join(parts) or 'nothing'}; tokens that are alike {shares.other:.0%}"


def _removed(found: Inspected) -> Iterator[str]:
    if not found.removed:
        return
    counts = ", ".join(f"{rule} {count:,}" for rule, count in sorted(found.removed.items()))
    yield ""
    removed = f"Better candidates that rules removed: {sum(found.removed.values()):,}"
    yield f"{paint(removed, BAD)} ({counts})"
    rows = [(f"{one.score:.3f}", one.item_id, one.why) for one in found.nearest]
    yield from table(("score", "item", "why"), rows, right="score", cut="why")


def as_json(found: Inspected, published: Published) -> dict[str, Any]:
    """The same for programs."""
    title, description = (text.split() for text in found.tokens)
    return {
        "version": published.version,
        "run_id": published.run_id,
        **found.item.about,
        "description": found.description,
        "norm": found.item.norm,
        "tokens": {"title": title, "description": description},
        "unknown": found.unknown,
        "left_out": found.left_out,
        "lists_searched": found.searched,
        "reason": found.reason,
        "neighbours": [one.shown(rank) for rank, one in enumerate(found.neighbours, 1)],
        "removed": found.removed,
        "removed_nearest": [one.shown() for one in found.nearest],
        "why_not": found.why_not,
    }
