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
    from pyspark.sql import functions as F

    text = settings(job)
    if text.user_dictionaries:
        _try(text)
    dictionaries = [job.ship(path, "dictionary") for path in text.user_dictionaries]
    base = incremental.token_base(job, (NAME, CODE_VERSION), inputs(job))
    wanted = job.record("ingest").tables["items"]
    if base.record is None:
        items = job.spread(job.read("items", "ingest"), wanted)
        rows = job.store.write_arrow("tokens", version, tokenize(items, text, dictionaries))
        changed = None
    else:
        rows, changed = _built_on(job, base.record, base.items, text, dictionaries, version)
    if rows != wanted:
        job.store.discard_version("tokens", version)
        raise StageError(f"tokenize: {rows} rows of {wanted} items; run it again")
    first = (
        job.store.read(job.spark, "tokens", version)
        .select(token_columns.count("title_tokens", "description_tokens").alias("n"))
        .agg(F.sum("n").alias("all"), F.count_if(F.col("n") == 0).alias("none"))
        .first()
    )
    assert first is not None  # noqa: S101 - an aggregate has one row
    counts: dict[str, Any] = {
        "tokens": int(first["all"]),
        "items_without_tokens": int(first["none"]),
    }
    tables = {"tokens": rows}
    if changed is not None:
        counts["changes"] = changed
        tables["changes"] = sum(changed.values())
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


def _built_on(
    job: Job,
    base: StageRecord,
    of: str,
    text: TextSettings,
    dictionaries: Sequence[Handle],
    version: str,
) -> tuple[int, dict[str, int]]:
    """Write tokens and changes: only items with another text are tokenised.

    Args:
        job: tonight's.
        base: the tokens to build on.
        of: the version of the items table that those are of.
        text: the settings.
        dictionaries: as shipped.
        version: of the tables.

    Returns:
        rows of the tokens table, and how many items were added, changed and removed.
    """
    from pyspark import StorageLevel
    from pyspark.sql import functions as F

    job.line.note = "looking for changes"
    items = job.read("items", "ingest")
    before = job.store.read(job.spark, "items", of)
    tokens = job.store.read(job.spark, "tokens", base.fingerprint)
    differing = incremental.find_changes(items, before).persist(StorageLevel.DISK_ONLY)
    candidates = items.join(incremental.items_to_compute(differing), "item_id", how="left_semi")
    rows = job.spread(candidates, differing.count())
    fresh = tokenize(rows, text, dictionaries).table("tokens").persist(StorageLevel.DISK_ONLY)
    # Before it is joined with what is written: a task has one Python worker.
    fresh.count()
    try:
        # Cleaned, two texts may be one.
        known = tokens.select("item_id", F.col("text").alias("known"))
        same = fresh.select("item_id", "text").join(known, "item_id", how="inner")
        same = same.where("text = known").select("item_id")
        changes = differing.join(same, "item_id", how="left_anti")
        moves = incremental.changes_version(version, base)
        job.store.write(changes, "changes", moves)
        changes = job.store.read(job.spark, "changes", moves)
        changed = fresh.join(incremental.items_to_compute(changes), "item_id", how="left_semi")
        job.line.note = ""
        updated = incremental.apply_changes(tokens, changes, changed)
        count = job.store.write(updated, "tokens", version)
        found = {row["change"]: row["count"] for row in changes.groupBy("change").count().collect()}
    finally:
        fresh.unpersist()
        differing.unpersist()
    kinds = (incremental.ADDED, incremental.CHANGED, incremental.REMOVED)
    return count, {kind: found.get(kind, 0) for kind in kinds}


def _try(text: TextSettings) -> None:
    """See on the driver whether the dictionaries can be used together."""
    from sudachipy.errors import SudachiError

    try:
        Tokenizer(text)
    except SudachiError as error:
        raise UsageError(f"text.user_dictionaries: {error}") from error


def tokenize(items: "DataFrame", text: TextSettings, dictionaries: Sequence[Handle] = ()) -> Rows:
    """The tokens table of an items table; one tokenizer a Python process.

    Args:
        items: the items table.
        text: the text settings.
        dictionaries: its user dictionaries, as shipped.
    """

    def make() -> Tokenizer:
        paths = tuple(str(shipping.local_path(handle)) for handle in dictionaries)
        return Tokenizer(replace(text, user_dictionaries=paths))

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        tokenizer = resident.get(("tokenizer", text, *dictionaries), make)
        for batch in batches:
            yield tokenize_batch(tokenizer, batch)

    return Rows(items.select("item_id", "title", "description"), run)


def tokenize_batch(tokenizer: Tokenizer, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of the tokens table.

    Args:
        tokenizer: of this thread.
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
