"""How the store's verbs tell a person what they found."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pipeline.storage.paths import relative_to
from pipeline.store.gc import Garbage
from pipeline.store.publications import Publication
from pipeline.store.run_records import Run
from pipeline.store.store import Store
from pipeline.terminal.colours import BAD, DIM, GOOD, HEAD, STATUS, paint
from pipeline.terminal.output import display_width, fit_title, format_bytes, table

_NONE = "-"
_SHOWN = 5


def runs(found: list[Run]) -> list[str]:
    """The table of the runs; what ended those that did not succeed is below it."""
    if not found:
        return ["no run yet"]
    rows = [
        (
            run.run_id,
            run.started[:19].replace("T", " "),
            f"{run.seconds:,.0f}",
            run.status,
            _NONE if run.items is None else f"{run.items:,}",
            _NONE if run.recall is None else f"{run.recall:.4f}",
            run.version or _NONE,
            "LATEST" if run.latest else "deleted" if run.version and not run.kept else "",
        )
        for run in found
    ]
    head = ("run", "started (UTC)", "seconds", "status", "items", "recall", "version", "")
    styles = {
        "status": lambda status: STATUS.get(status, ""),
        "": lambda mark: GOOD if mark == "LATEST" else DIM,
    }
    lines = table(head, rows, right="seconds items recall", styles=styles)
    newest = found[0]
    if newest.message:
        lines += ["", f"{newest.run_id}: {newest.message}"]
    return lines


def rollback(was: Publication, now: Publication) -> list[str]:
    """What was published, and what is."""
    rows = [
        (word, entry.version, entry.run_id, entry.time[:19].replace("T", " "))
        for word, entry in (("was", was), ("now", now))
    ]
    return table(("", "version", "run", "published (UTC)"), rows)


def diff(found: dict[str, Any]) -> Iterator[str]:
    """What changed between two versions."""
    for word in ("before", "after"):
        yield f"{word:<12}{found[word]['version']}  run {found[word]['run_id'] or 'unknown'}"
    yield (
        f"items       {found['items_before']:,} before, {found['items_after']:,} after: "
        f"{found['added']:,} added, {found['gone']:,} gone, {found['common']:,} in both"
    )
    if found["common"]:
        yield (
            f"lists       {found['changed']:,} of {found['common']:,} changed; "
            f"mean overlap of the top {found['k']} {found['mean_overlap']:.4f}; "
            f"mean score {_signed(found['score_shift'])}"
        )
    for setting in found["settings"]:
        yield f"setting     {setting['setting']}: {setting['before']!r} -> {setting['after']!r}"
    for item in found["most_changed"]:
        yield ""
        name = item["item_id"]
        yield f"{paint(name, HEAD)}  {fit_title(item['title'], display_width(name) + 2)}"
        yield f"  overlap {item['overlap']:.2f}, mean score {_signed(item['score_shift'])}"
        yield from _lists(item)


def _signed(value: float) -> str:
    """With its sign; what rounds to nothing has a plus."""
    return f"{round(value, 4) + 0.0:+.4f}"


def _lists(item: dict[str, Any]) -> Iterator[str]:
    """Who left and who came, and how many stayed."""
    for sign, one, other in (("-", "before", "after"), ("+", "after", "before")):
        known = {entry["similar_id"] for entry in item[other]}
        for rank, entry in enumerate(item[one], 1):
            if rank <= _SHOWN or entry["similar_id"] not in known:
                mark = " " if entry["similar_id"] in known else sign
                start = (
                    f"  {one:<6} {mark} {rank:>2}  {entry['score']:.3f}  {entry['similar_id']}  "
                )
                name = fit_title(entry["title"], display_width(start), 40)
                yield paint(f"{start}{name}", {"-": BAD, "+": GOOD}.get(mark, ""))


def garbage(found: Garbage, store: Store, *, dry_run: bool) -> Iterator[str]:
    """What was freed, and what was kept and why."""
    sums: dict[str, list[int]] = {}
    for path, count in found.data.items():
        sums.setdefault(str(relative_to(path.parent, store.root)), []).append(count)
    for folder, sizes in sums.items():
        yield f"{folder:<24} {len(sizes):>4}  {format_bytes(sum(sizes)):>10}"
    if found.records:
        yield f"{'stages (records)':<24} {len(found.records):>4}"
    verb = "would free" if dry_run else "freed"
    yield f"{verb} {found.size:,} bytes ({format_bytes(found.size)})"
    yield from (f"kept  {why}: {what}" for why, what in _reasons(found).items())


def _reasons(found: Garbage) -> dict[str, str]:
    """What is kept for each reason, counted."""
    needs = found.needs
    counts: dict[str, list[str]] = {}
    for kind, kept in (
        ("stage output", needs.versions),
        ("model", needs.models),
        ("quantiser", needs.quantisers),
    ):
        for why, count in Counter(kept.values()).items():
            counts.setdefault(why, []).append(f"{count} {kind}{'s' * (count > 1)}")
    return {why: ", ".join(what) for why, what in counts.items()}


def garbage_json(found: Garbage, store: Store, *, dry_run: bool) -> dict[str, Any]:
    """The same for programs."""
    return {
        "dry_run": dry_run,
        "freed_bytes": found.size,
        "deleted": [
            *({"path": str(relative_to(path, store.root)), "bytes": 0} for path in found.records),
            *(
                {"path": str(relative_to(path, store.root)), "bytes": count}
                for path, count in found.data.items()
            ),
        ],
        "kept": {
            "versions": found.needs.versions,
            "models": found.needs.models,
            "quantisers": found.needs.quantisers,
        },
    }
