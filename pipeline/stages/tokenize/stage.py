"""tokenize: items -> tokens."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from models import Handle, resident, shipping
from pipeline.errors import StageError, UsageError
from pipeline.stages import incremental
from pipeline.stages.context import Job, StageResult
from pipeline.stages.tokenize import token_columns
from pipeline.store.arrow_files import Rows
from pipeline.store.schemas import TOKENS
from pipeline.store.stage_record import StageRecord
from pipeline.text.clean import clean
from pipeline.text.tokenize import TextSettings, Tokenizer
from pipeline.text.user_dictionary import Headword, unused_headwords, warning

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "tokenize"
# Raise it when the output for the same inputs and settings changes: see the Stage protocol.
CODE_VERSION = 1


def settings(job: Job) -> TextSettings:
    """The text settings of the config."""
    section = job.config.text
    return TextSettings(
        split_mode=section.split_mode,
        word_form=section.word_form,
        dictionary=section.dictionary,
        user_dictionaries=tuple(section.user_dictionaries),
    )


def text_fingerprint(job: Job) -> str:
    """The text fingerprint of the config.

    Raises:
        UsageError: a dictionary is not there.
    """
    from importlib.metadata import PackageNotFoundError

    try:
        return settings(job).fingerprint()
    except PackageNotFoundError as error:
        raise UsageError(
            f"text.dictionary {job.config.text.dictionary}: not installed; "
            "pip install 'nitamono[dictionaries]'"
        ) from error
    except OSError as error:
        raise UsageError(f"text.user_dictionaries: {error}") from error


def inputs(job: Job) -> dict[str, Any]:
    """The items' content and the text fingerprint."""
    return {"items": job.record("ingest").outputs["content"], "text": text_fingerprint(job)}


def execute(job: Job, version: str) -> StageResult:
    """Tokenise the title and the description of every item."""
    text = settings(job)
    headwords = _unused_headwords(job, text) if text.user_dictionaries else []
    dictionaries = [job.ship(path, "dictionary") for path in text.user_dictionaries]
    base = incremental.token_base(job, (NAME, CODE_VERSION), inputs(job))
    item_count = job.record("ingest").tables["items"]
    if base.record is None:
        items = job.spread(job.read("items", "ingest"), item_count)
        rows = job.store.write_arrow("tokens", version, tokenize(items, text, dictionaries))
        changes = None
    else:
        rows, changes = _update(job, base.record, base.items, text, dictionaries, version)
    if rows != item_count:
        job.store.discard_version("tokens", version)
        raise StageError(f"tokenize: {rows} rows of {item_count} items; run it again")
    counts, tables = _token_counts(job, version), {"tokens": rows}
    if headwords:
        counts["unused_headwords"] = len(headwords)
    if changes is not None:
        counts["changes"] = changes
        tables["changes"] = sum(changes.values())
    return StageResult(
        tables=tables,
        counts=counts,
        outputs={
            "text_fingerprint": text_fingerprint(job),
            "base": base.record and base.record.fingerprint,
            "moves": base.record and incremental.changes_version(version, base.record),
            "why": base.why,
        },
    )


def _token_counts(job: Job, version: str) -> dict[str, Any]:
    from pyspark.sql import functions as F

    sums = (
        job.store.read(job.spark, "tokens", version)
        .select(token_columns.count("title_tokens", "description_tokens").alias("n"))
        .agg(F.sum("n").alias("all"), F.count_if(F.col("n") == 0).alias("none"))
        .first()
    )
    assert sums is not None  # noqa: S101 - an aggregate has one row
    return {"tokens": int(sums["all"]), "items_without_tokens": int(sums["none"])}


def _update(
    job: Job,
    base: StageRecord,
    base_items: str,
    text: TextSettings,
    dictionaries: Sequence[Handle],
    version: str,
) -> tuple[int, dict[str, int]]:
    """Write the tables tokens and changes; only items whose text has changed are tokenised.

    Args:
        job: the run.
        base: the record of the tokens to build on.
        base_items: the version of the items table that those tokens are of.
        text: the text settings.
        dictionaries: the user dictionaries, as shipped.
        version: the version of the tables to write.

    Returns:
        rows of the tokens table, and how many items were added, changed and removed.
    """
    from pyspark import StorageLevel
    from pyspark.sql import functions as F

    job.line.note = "looking for changes"
    items = job.read("items", "ingest")
    before = job.store.read(job.spark, "items", base_items)
    tokens = job.store.read(job.spark, "tokens", base.fingerprint)
    raw_changes = incremental.find_changes(items, before).persist(StorageLevel.DISK_ONLY)
    candidates = items.join(incremental.items_to_compute(raw_changes), "item_id", how="left_semi")
    rows = job.spread(candidates, raw_changes.count())
    new_tokens = tokenize(rows, text, dictionaries).table("tokens").persist(StorageLevel.DISK_ONLY)
    # Computed before the join with what Python workers write: a task must have one Python worker.
    new_tokens.count()
    try:
        # Two raw texts can be one after cleaning: such items have not changed.
        old_text = tokens.select("item_id", F.col("text").alias("old_text"))
        unchanged = new_tokens.select("item_id", "text").join(old_text, "item_id", how="inner")
        unchanged = unchanged.where("text = old_text").select("item_id")
        changes = raw_changes.join(unchanged, "item_id", how="left_anti")
        changes_version = incremental.changes_version(version, base)
        job.store.write(changes, "changes", changes_version)
        changes = job.store.read(job.spark, "changes", changes_version)
        changed_items = incremental.items_to_compute(changes)
        changed_tokens = new_tokens.join(changed_items, "item_id", how="left_semi")
        job.line.note = ""
        updated = incremental.apply_changes(tokens, changes, changed_tokens)
        row_count = job.store.write(updated, "tokens", version)
        counts = {row[0]: row[1] for row in changes.groupBy("change").count().collect()}
    finally:
        new_tokens.unpersist()
        raw_changes.unpersist()
    kinds = (incremental.ADDED, incremental.CHANGED, incremental.REMOVED)
    return row_count, {kind: counts.get(kind, 0) for kind in kinds}


def _unused_headwords(job: Job, text: TextSettings) -> list[Headword]:
    """Load the dictionaries on the driver, and warn of headwords that no text can match.

    Raises:
        UsageError: they can't be used together.
    """
    from sudachipy.errors import SudachiError

    try:
        headwords = unused_headwords(text)
    except SudachiError as error:
        raise UsageError(
            f"text.user_dictionaries: {error}; a dictionary is used in its compiled form: "
            "sudachipy ubuild -s SYSTEM.dic -o user.dic words.csv"
        ) from error
    if headwords:
        job.line.warnings.append(warning(headwords))
    return headwords


def tokenize(items: "DataFrame", text: TextSettings, dictionaries: Sequence[Handle] = ()) -> Rows:
    """Rows of the tokens table; each Python process loads one tokenizer.

    Args:
        items: the items table.
        text: the text settings.
        dictionaries: the user dictionaries, as shipped.
    """

    def load() -> Tokenizer:
        paths = tuple(str(shipping.local_path(handle)) for handle in dictionaries)
        return Tokenizer(replace(text, user_dictionaries=paths))

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        tokenizer = resident.get(("tokenizer", text, *dictionaries), load)
        for batch in batches:
            yield tokenize_batch(tokenizer, batch)

    return Rows(items.select("item_id", "title", "description"), run)


def tokenize_batch(tokenizer: Tokenizer, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of the tokens table for a batch of items.

    Args:
        tokenizer: the tokenizer of this thread.
        batch: columns item_id, title, description.
    """
    titles, descriptions = (
        [clean(text) for text in batch[name].to_pylist()] for name in ("title", "description")
    )
    return pa.RecordBatch.from_pydict(
        {
            "item_id": batch["item_id"],
            "title_tokens": _joined_tokens(tokenizer, titles),
            "description_tokens": _joined_tokens(tokenizer, descriptions),
            "text": [_hash(*both) for both in zip(titles, descriptions, strict=True)],
        },
        schema=TOKENS,
    )


def _joined_tokens(tokenizer: Tokenizer, texts: list[str]) -> list[str]:
    return [" ".join(tokenizer.tokens_of_clean(text)) for text in texts]


def _hash(title: str, description: str) -> bytes:
    # Cleaned text has no line breaks.
    both = f"{title}\n{description}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(both, digest_size=16).digest()
