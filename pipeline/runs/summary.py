"""What is printed of a run: a note on each stage; where the table is, its counts, a few items."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.report import run_page
from pipeline.runs.record import Outcome
from pipeline.stages import incremental
from pipeline.stages.context import StageResult
from pipeline.stages.ingest.expectations import rounded_ids
from pipeline.store import reason_codes
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from pipeline.terminal.colours import HEAD, paint
from pipeline.terminal.output import display_width, fit_title, score_text, short_id

_EXAMPLES, _NEIGHBOURS_OF_EXAMPLE = 3, 5
# Titles are found by a scan of all item ids; with more items it takes longer than it is worth.
_MAX_ITEMS_WITH_EXAMPLES = 20_000_000


@dataclass(frozen=True)
class Result:
    """The result of a run, for programs.

    Attributes:
        run_id: the run's id.
        published: whether LATEST names its table now.
        version: the version of its similar-item table; None if the run did not get there.
        path: the path of that table; None if there is none.
        recall: value, low and high (95% interval), k and queries; None if it was not measured.
        counts: the counts of all its stages, as run.json has them: items, pairs, ...; those of the
            gate under `gate`.
        tables: the path of each table of its stages.
        stages: `done`, or `reused` from an earlier run, by stage.
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
    """The result of a run, from its outcome."""
    table, neighbors = outcome.record("publish"), outcome.record("neighbors")
    return Result(
        run_id=outcome.run_id,
        published=outcome.version is not None,
        version=table.fingerprint if table else None,
        path=str(store.table_path("similar_items", table.fingerprint)) if table else None,
        recall=neighbors.outputs["recall"] if neighbors else None,
        counts=outcome.counts(),
        tables={
            f"{table}{at}{variant}": str(store.table_path(table, record.version(table)))
            for name, _, record in outcome.stages
            for _, at, variant in (name.partition("@"),)
            for table in record.tables
        },
        stages={name: status for name, status, _ in outcome.stages},
    )


def stage_note(result: StageResult, outcome: Outcome) -> str:
    """The progress line's note on a stage's result.

    Args:
        result: what the stage returned.
        outcome: the stages before it.
    """
    if not result.tables:
        size = result.counts["model_bytes"]
        return f"model of {result.outputs['dim']} dimensions, {size:,} bytes"
    rows = ", ".join(f"{table} {count:,} rows" for table, count in result.tables.items())
    why = result.outputs.get("why")
    noted = [record.outputs.get("why") for _, _, record in outcome.stages]
    # The first night needs no reason, and no reason is printed twice.
    if not why or why in noted or why == incremental.FIRST:
        return rows
    return f"{rows} (all of them: {why})"


def stage_lines(store: Store, outcome: Outcome, stage: str) -> Iterator[str]:
    """The summary of a run that stopped after an earlier stage: the tables of that stage."""
    record = outcome.record(stage)
    if record is None:
        return
    for table, rows in record.tables.items():
        yield f"{table}  {rows:,} rows  {store.table_path(table, record.version(table))}"
    if rounded := rounded_ids(record.counts):
        yield rounded


def run_lines(store: Store, outcome: Outcome) -> Iterator[str]:
    """The summary of a run that has a similar-item table."""
    ingest, neighbors = outcome.record("ingest"), outcome.record("neighbors")
    table = outcome.record("publish")
    if table is None or ingest is None or neighbors is None:
        return
    yield f"Table       {store.table_path('similar_items', table.fingerprint)}"
    if outcome.version is None:
        yield f"            not published: {_published(store)}; --publish publishes this one"
    yield from _item_lines(ingest.counts)
    yield from _neighbor_lines(neighbors)
    if "filled_rows" in table.counts:
        counts = table.counts
        yield (
            f"Filled      {counts['filled_rows']:,} rows in {counts['filled_items']:,} lists"
            f"{_in_brackets(counts['filled_by'])}; {counts['short_after_filling']:,} lists are "
            "still short"
        )
    if outcome.gate.get("against"):
        change = outcome.gate
        yield (
            f"Changed     {change['churn']:.1%} of the neighbours of {change['common']:,} items "
            f"since version {change['against']}"
        )
    for name, _, record in outcome.stages:
        stage, _, variant = name.partition("@")
        if variant and stage == "publish":
            path = store.table_path("similar_items", record.fingerprint)
            yield f"Variant     {variant}: {record.tables['similar_items']:,} rows, {path}"
    page = store.run_path(outcome.run_id) / run_page.FILE_NAME
    if page.is_file():
        yield f"Page        {page}"
    if ingest.tables["items"] <= _MAX_ITEMS_WITH_EXAMPLES:
        yield from _example_lines(store, table.fingerprint, ingest.fingerprint)


def _item_lines(counts: dict[str, Any]) -> Iterator[str]:
    quarantine_reasons = counts["quarantine_reasons"]
    yield (
        f"Items       {counts['rows_read']:,} rows read, {counts['items']:,} items, "
        f"{counts['quarantined']:,} in quarantine{_in_brackets(quarantine_reasons)}"
    )
    if reason_codes.DUPLICATE_ITEM_ID in quarantine_reasons:
        yield "            (of rows with one id, the one with the longest text is kept)"
    if rounded := rounded_ids(counts):
        yield f"            {rounded}"
    if lost := counts["rows_with_lost_numbers"]:
        yield f"            rows with a price or stock that is no number: {lost:,}"
    if garbled := counts["items_with_garbled_text"]:
        yield f"            items with characters that the encoding does not have: {garbled:,}"
    titles, descriptions = (
        counts.get(f"placeholder_{name}", 0) for name in ("titles", "descriptions")
    )
    if titles or descriptions:
        yield (
            "            placeholders such as NULL (text.placeholders): "
            f"{titles:,} titles, {descriptions:,} descriptions"
        )


def _neighbor_lines(neighbors: StageRecord) -> Iterator[str]:
    counts, recall = neighbors.counts, neighbors.outputs["recall"]
    yield (
        f"Neighbours  {counts['pairs']:,} rows, {counts['items_with_neighbors']:,} items; "
        f"{counts['short_lists']:,} items with fewer than k"
        f"{_in_brackets(counts['short_list_reasons'])}"
    )
    if rejected := counts.get("rejected_edits", 0):
        yield f"            edits that were not followed: {rejected:,} (table rejected_edits)"
    if recall["queries"]:
        yield (
            f"Recall@{recall['k']:<4} {recall['value']:.4f} ({recall['low']:.4f} to "
            f"{recall['high']:.4f}), of {recall['queries']} items against exact search"
        )


def _published(store: Store) -> str:
    latest = store.latest()
    if latest is None:
        return "nothing is yet"
    return f"LATEST stays at version {latest['version']} of run {latest['run_id']}"


def _in_brackets(counts: dict[str, int]) -> str:
    if not counts:
        return ""
    return f" ({', '.join(f'{reason} {count:,}' for reason, count in sorted(counts.items()))})"


def _example_lines(store: Store, version: str, items_version: str) -> Iterator[str]:
    """A few items of the table's first file, each with its first neighbours."""
    import pyarrow.dataset as ds

    table = store.dataset("similar_items", version)
    fragment = next(iter(table.get_fragments()), None)
    ids = [] if fragment is None else fragment.to_table(columns=["item_id"])["item_id"].unique()
    count = min(_EXAMPLES, len(ids))
    examples = [ids[len(ids) * (2 * i + 1) // (2 * count)].as_py() for i in range(count)]
    if not examples:
        return
    rows = table.to_table(filter=ds.field("item_id").isin(examples)).to_pylist()
    named = {*examples, *(row["similar_id"] for row in rows)}
    items = store.dataset("items", items_version).to_table(
        columns=["item_id", "title"], filter=ds.field("item_id").isin(list(named))
    )
    titles = dict(zip(items["item_id"].to_pylist(), items["title"].to_pylist(), strict=True))
    for item in examples:
        yield ""
        name = short_id(item)
        yield f"{paint(name, HEAD)}  {fit_title(titles[item], display_width(name) + 2)}"
        for row in sorted((r for r in rows if r["item_id"] == item), key=lambda r: r["rank"]):
            if row["rank"] <= _NEIGHBOURS_OF_EXAMPLE:
                score = score_text(row["score"])
                start = f"  {row['rank']:>2}  {score:>5}  {short_id(row['similar_id'])}  "
                yield f"{start}{fit_title(titles[row['similar_id']], display_width(start))}"
