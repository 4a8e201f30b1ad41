"""What `nitamono run` prints at its end: where the table is, its counts, a few items."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.report import run_page
from pipeline.runs.runner import Outcome
from pipeline.store import reasons
from pipeline.store.store import Store
from pipeline.terminal.colours import HEAD, paint
from pipeline.terminal.output import display_width, fit_title

_EXAMPLES = 3
_SHOWN = 5
# Finding titles is a scan of the items' ids; past this many it takes longer than it is worth.
_EXAMPLES_UP_TO = 20_000_000


@dataclass(frozen=True)
class Result:
    """What a run came to, for programs.

    Attributes:
        run_id: its name.
        published: whether LATEST points at its table now.
        version: of its similar-item table; None if it did not come to it.
        path: of that table; None as well.
        recall: value, low and high (95% interval), k and queries; None as well.
        counts: of all its stages, as run.json has them: items, pairs, ...; of the gate under gate.
        tables: the path of each table of its stages.
        stages: done, or reused from an earlier run, by name.
    """

    run_id: str
    published: bool
    version: str | None
    path: str | None
    recall: dict[str, Any] | None
    counts: dict[str, Any]
    tables: dict[str, str]
    stages: dict[str, str]


def result(store: Store, outcome: Outcome) -> Result:
    """What a run came to."""
    table, neighbors = outcome.record("publish"), outcome.record("neighbors")
    counts = {name: n for _, _, record in outcome.stages for name, n in record.counts.items()}
    return Result(
        run_id=outcome.run_id,
        published=outcome.version is not None,
        version=table.fingerprint if table else None,
        path=str(store.table_path("similar_items", table.fingerprint)) if table else None,
        recall=neighbors.outputs["recall"] if neighbors else None,
        counts=counts | ({"gate": outcome.gate} if outcome.gate else {}),
        tables={
            name: str(store.table_path(name, record.version(name)))
            for _, _, record in outcome.stages
            for name in record.tables
        },
        stages={name: status for name, status, _ in outcome.stages},
    )


def of_stage(store: Store, outcome: Outcome, stage: str) -> Iterator[str]:
    """The tables of a run that ended before its table."""
    record = outcome.record(stage)
    if record is None:
        return
    for table, rows in record.tables.items():
        yield f"{table}  {rows:,} rows  {store.table_path(table, record.version(table))}"


def lines(store: Store, outcome: Outcome) -> Iterator[str]:
    """The summary of a run that came to its table."""
    ingest, neighbors = outcome.record("ingest"), outcome.record("neighbors")
    table = outcome.record("publish")
    if table is None or ingest is None or neighbors is None:
        return
    yield f"Table       {store.table_path('similar_items', table.fingerprint)}"
    if outcome.version is None:
        yield f"            not published: {_what_is(store)}; --publish publishes this one"
    counts = ingest.counts
    yield (
        f"Items       {counts['rows_read']:,} rows read, {counts['items']:,} items, "
        f"{counts['quarantined']:,} in quarantine{_in_brackets(counts['quarantine_reasons'])}"
    )
    if reasons.DUPLICATE_ITEM_ID in counts["quarantine_reasons"]:
        yield "            (of rows with one id, the one with the longest text is kept)"
    if counts["rows_with_lost_numbers"]:
        lost = counts["rows_with_lost_numbers"]
        yield f"            rows with a price or stock that is no number: {lost:,}"
    if garbled := counts["items_with_garbled_text"]:
        yield f"            items with characters that the encoding does not have: {garbled:,}"
    counts = neighbors.counts
    yield (
        f"Neighbours  {counts['pairs']:,} rows, {counts['items_with_neighbors']:,} items; "
        f"{counts['short_lists']:,} items with fewer than k"
        f"{_in_brackets(counts['short_list_reasons'])}"
    )
    recall = neighbors.outputs["recall"]
    if recall["queries"]:
        yield (
            f"Recall@{recall['k']:<4} {recall['value']:.4f} ({recall['low']:.4f} to "
            f"{recall['high']:.4f}), of {recall['queries']} items against exact search"
        )
    if outcome.gate.get("against"):
        now = outcome.gate
        yield (
            f"Changed     {now['churn']:.1%} of the neighbours of {now['common']:,} items since "
            f"version {now['against']}"
        )
    page = store.run_path(outcome.run_id) / run_page.FILE_NAME
    if page.is_file():
        yield f"Page        {page}"
    if ingest.tables["items"] <= _EXAMPLES_UP_TO:
        yield from _examples(store, table.fingerprint, ingest.fingerprint)


def _what_is(store: Store) -> str:
    latest = store.latest()
    if latest is None:
        return "nothing is yet"
    return f"LATEST stays at version {latest['version']} of run {latest['run_id']}"


def _in_brackets(reasons: dict[str, int]) -> str:
    if not reasons:
        return ""
    return f" ({', '.join(f'{reason} {count:,}' for reason, count in sorted(reasons.items()))})"


def _examples(store: Store, version: str, items_version: str) -> Iterator[str]:
    import pyarrow.dataset as ds

    table = store.dataset("similar_items", version)
    fragment = next(iter(table.get_fragments()), None)
    ids = [] if fragment is None else fragment.to_table(columns=["item_id"])["item_id"].unique()
    shown = min(_EXAMPLES, len(ids))
    chosen = [ids[len(ids) * (2 * i + 1) // (2 * shown)].as_py() for i in range(shown)]
    if not chosen:
        return
    rows = table.to_table(filter=ds.field("item_id").isin(chosen)).to_pylist()
    wanted = {*chosen, *(row["similar_id"] for row in rows)}
    found = store.dataset("items", items_version).to_table(
        columns=["item_id", "title"], filter=ds.field("item_id").isin(list(wanted))
    )
    titles = dict(zip(found["item_id"].to_pylist(), found["title"].to_pylist(), strict=True))
    for item in chosen:
        yield ""
        yield f"{paint(item, HEAD)}  {fit_title(titles[item], display_width(item) + 2)}"
        for row in sorted((r for r in rows if r["item_id"] == item), key=lambda r: r["rank"]):
            if row["rank"] <= _SHOWN:
                start = f"  {row['rank']:>2}  {row['score']:.3f}  {row['similar_id']}  "
                yield f"{start}{fit_title(titles[row['similar_id']], display_width(start))}"
