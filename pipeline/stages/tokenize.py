"""tokenize: items -> tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from models import Handle, resident, shipping
from pipeline.errors import UsageError
from pipeline.job import Job, Made
from pipeline.text.tokenize import TextSettings, Tokenizer
from pipeline.udf import iterator_udf

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NAME = "tokenize"
CODE = (
    "pipeline.tables",
    "pipeline.text.clean",
    "pipeline.text.split",
    "pipeline.text.tokenize",
    "pipeline.text.words",
)


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


def execute(job: Job, version: str) -> Made:
    """Tokenise the title and the description of every item."""
    from pyspark.sql import functions as F

    text = settings(job)
    if text.user_dictionaries:
        _try(text)
    dictionaries = [
        shipping.ship(job.spark.sparkContext, path, kind="dictionary")
        for path in text.user_dictionaries
    ]
    items = job.spread(job.read("items", "ingest"), job.record("ingest").tables["items"])
    tokens = tokenize(items, text, dictionaries)
    rows = job.store.write(tokens, "tokens", version)
    first = (
        job.store.read(job.spark, "tokens", version)
        .select((F.size("title_tokens") + F.size("description_tokens")).alias("n"))
        .agg(F.count("*").alias("items"), F.sum("n").alias("all"), F.count_if(F.col("n") == 0))
        .first()
    )
    assert first is not None  # noqa: S101 - an aggregate has one row
    counts = {"tokens": int(first["all"]), "items_without_tokens": int(first[2])}
    return Made(
        tables={"tokens": rows},
        counts=counts,
        outputs={"text_fingerprint": text_fingerprint(job)},
    )


def _try(text: TextSettings) -> None:
    """See on the driver whether the dictionaries can be used together."""
    from sudachipy.errors import SudachiError

    try:
        Tokenizer(text)
    except SudachiError as error:
        raise UsageError(f"text.user_dictionaries: {error}") from error


def tokenize(
    items: "DataFrame", text: TextSettings, dictionaries: "Sequence[Handle]" = ()
) -> "DataFrame":
    """The tokens table of an items table; one tokenizer a Python process.

    Args:
        items: the items table.
        text: the text settings.
        dictionaries: its user dictionaries, as shipped.
    """

    def make() -> Tokenizer:
        paths = tuple(str(shipping.local_path(handle)) for handle in dictionaries)
        return Tokenizer(replace(text, user_dictionaries=paths))

    schema = "struct<title_tokens:array<string>,description_tokens:array<string>>"

    @iterator_udf(schema)
    def token_columns(
        batches: Iterator[tuple[pd.Series, pd.Series]],
    ) -> Iterator[pd.DataFrame]:
        tokenizer = resident.get(("tokenizer", text, *dictionaries), make)

        def tokens(text: object) -> list[str]:
            # pandas turns a null into None or NaN.
            return tokenizer.tokens(text if isinstance(text, str) else None)

        for titles, descriptions in batches:
            yield pd.DataFrame(
                {
                    "title_tokens": [tokens(text) for text in titles],
                    "description_tokens": [tokens(text) for text in descriptions],
                }
            )

    return items.select("item_id", token_columns("title", "description").alias("t")).select(
        "item_id", "t.title_tokens", "t.description_tokens"
    )
