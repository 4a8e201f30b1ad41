"""tokenize: items -> tokens."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
    dictionaries = ship_dictionaries(job, text)
    base = incremental.token_base(job, (NAME, CODE_VERSION), inputs(job))
    item_count = job.record("ingest").tables["items"]
    if base.record is None:
        items = job.spread(job.read("items", "ingest"), item_count)
        written = job.store.write_counted(
            "tokens", version, tokenize(items, text, dictionaries), count=token_columns.sums
        )
        rows, sums, changes = written.rows, _counts(written.sums), None
    else:
        update = _update(job, base.record, base.items, text, dictionaries, version)
        rows, sums, changes = update.rows, update.sums, update.changes
    if rows != item_count:
        job.store.discard_version("tokens", version)
        raise StageError(f"tokenize: {rows} rows of {item_count} items; run it again")
    counts: dict[str, Any] = dict(sums)
    tables = {"tokens": rows}
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


def ship_dictionaries(job: Job, text: TextSettings) -> list[Handle]:
    """Make the user dictionaries available to the executors."""
    return [job.ship(path, "dictionary") for path in text.user_dictionaries]


def _counts(sums: Mapping[str, int]) -> dict[str, int]:
    return {name: sums.get(name, 0) for name in ("tokens", "items_without_tokens")}


@dataclass(frozen=True)
class _Update:
    """What an update has written.

    Attributes:
        rows: of the tokens table.
        sums: how many tokens it has, and how many items without any.
        changes: how many items were added, changed and removed.
    """

    rows: int
    sums: dict[str, int]
    changes: dict[str, int]


def _update(
    job: Job,
    base: StageRecord,
    base_items: str,
    text: TextSettings,
    dictionaries: Sequence[Handle],
    version: str,
) -> _Update:
    """Write the tables tokens and changes; only items whose text has changed are tokenised.

    Args:
        job: the run.
        base: the record of the tokens to build on.
        base_items: the version of the items table that those tokens are of.
        text: the text settings.
        dictionaries: the user dictionaries, as shipped.
        version: the version of the tables to write.
    """
    from pyspark import StorageLevel
    from pyspark.sql import functions as F

    job.line.note = "looking for changes"
    items = job.read("items", "ingest")
    today = job.record("ingest").version("items")
    raw_changes, numbers = incremental.item_changes(job, today, base_items)
    candidates = items.join(incremental.items_to_compute(raw_changes), "item_id", how="left_semi")
    rows = job.spread(candidates, sum(numbers.values()))
    new_tokens = tokenize(rows, text, dictionaries).table("tokens").persist(StorageLevel.DISK_ONLY)
    # Computed before the join with what Python workers write: a task must have one Python worker.
    new_tokens.count()
    tokens = job.store.read(job.spark, "tokens", base.fingerprint)
    outdated = tokens.join(incremental.outdated_items(raw_changes), "item_id", how="left_semi")
    count = token_columns.count("title_tokens", "description_tokens")
    old = outdated.select("item_id", F.col("text").alias("old_text"), count.alias("n"))
    old = old.persist(StorageLevel.DISK_ONLY)
    try:
        # Two raw texts can be one after cleaning: such items have not changed.
        unchanged = new_tokens.select("item_id", "text").join(old, "item_id", how="inner")
        unchanged = unchanged.where("text = old_text").select("item_id")
        changes = raw_changes.join(unchanged, "item_id", how="left_anti")
        job.store.write(changes, "changes", incremental.changes_version(version, base))
        job.line.note = ""
        return _write_changed(job, base, new_tokens, old, version)
    finally:
        for frame in (old, new_tokens):
            frame.unpersist()


def _write_changed(
    job: Job, base: StageRecord, new_tokens: "DataFrame", old: "DataFrame", version: str
) -> _Update:
    """Write the tokens table: what has changed, on top of the earlier one; or all of it.

    Args:
        job: the run.
        base: the record of the earlier tokens.
        new_tokens: rows of the items that may have changed.
        old: item_id and number of tokens n of the earlier rows of those items.
        version: the version of the tokens table.
    """
    from pyspark.sql import functions as F

    store, spark = job.store, job.spark
    changes = store.read(spark, "changes", incremental.changes_version(version, base))
    by_kind = {row[0]: row[1] for row in changes.groupBy("change").count().collect()}
    kinds = (incremental.ADDED, incremental.CHANGED, incremental.REMOVED)
    numbers = {kind: by_kind.get(kind, 0) for kind in kinds}
    new = new_tokens.join(incremental.items_to_compute(changes), "item_id", how="left_semi")
    if not store.can_add_layer("tokens", base.fingerprint, incremental.changed_rows(numbers)):
        tokens = store.read(spark, "tokens", base.fingerprint)
        parts = Rows(incremental.apply_changes(tokens, changes, new), iter)
        written = store.write_counted("tokens", version, parts, count=token_columns.sums)
        return _Update(written.rows, _counts(written.sums), numbers)
    outdated = incremental.outdated_items(changes)
    gone = old.join(outdated, "item_id", how="left_semi")
    less = gone.agg(F.sum("n").alias("all"), F.count_if(F.col("n") == 0).alias("none")).first()
    assert less is not None  # noqa: S101 - an aggregate has one row
    row_count, written = store.write_layer(
        "tokens",
        version,
        base.fingerprint,
        Rows(new, iter),
        Rows(outdated, iter),
        token_columns.sums,
    )
    sums = Counter(_counts(base.counts))
    sums.update(written.sums)
    sums.subtract({"tokens": less["all"] or 0, "items_without_tokens": less["none"]})
    return _Update(row_count, _counts(sums), numbers)


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

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        tokenizer = load_tokenizer(text, dictionaries)
        for batch in batches:
            yield tokenize_batch(tokenizer, batch)

    return Rows(items.select("item_id", "title", "description"), run)


def load_tokenizer(text: TextSettings, dictionaries: Sequence[Handle]) -> Tokenizer:
    """The tokenizer, loaded once a process; the arguments are those of `tokenize`."""

    def load() -> Tokenizer:
        paths = tuple(str(shipping.local_path(handle)) for handle in dictionaries)
        return Tokenizer(replace(text, user_dictionaries=paths))

    return resident.get(("tokenizer", text, *dictionaries), load)


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
