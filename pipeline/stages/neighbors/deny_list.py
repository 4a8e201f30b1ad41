"""The table that rules.deny names: items that are never neighbours, and pairs that are none."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline import catalogue
from pipeline.config.sections import CatalogueSection, Config
from pipeline.errors import InputError, NitamonoError
from pipeline.stages.context import Job

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def identity(job: Job) -> list[list[object]]:
    """The files of rules.deny and their content, for the stage's inputs: see catalogue.identity."""
    with naming("rules.deny"):
        return catalogue.identity(_source(job.config))


def read(job: Job) -> "DataFrame":
    """What `_read` reads, once a run for each file: it may change in the meantime."""
    path = job.config.rules.deny
    return job.once(f"rules.deny {path}", lambda: job.keep(_read(job)), shared=True)


def _read(job: Job) -> "DataFrame":
    """The rows of rules.deny: item_id, and other, or null if the item is denied to all others.

    Raises:
        InputError: it has other columns, or rows without an item.
    """
    from pyspark.sql import functions as F

    source = _source(job.config)
    with naming("rules.deny"), catalogue.explained_damage(source):
        raw = catalogue.read(job.spark, source)
        names = catalogue.data_columns(raw)
        if not raw.columns:
            # A JSON Lines file without a line denies nothing.
            return job.spark.createDataFrame([], "item_id string, other string")
        if "item_id" not in names:
            raise InputError(
                f"rules.deny {source.path}: column item_id is missing; it has: {', '.join(names)}"
            )
        pair = F.col("similar_id") if "similar_id" in names else F.lit(None)
        corrupt = F.col(catalogue.CORRUPT) if catalogue.CORRUPT in raw.columns else F.lit(None)
        item_id, similar_id = F.col("item_id").cast("string"), pair.cast("string")
        rows = raw.select(
            item_id.alias("item_id"),
            F.when(~catalogue.is_blank(similar_id), similar_id).alias("other"),
            (catalogue.is_blank(item_id) | corrupt.isNotNull()).alias("bad"),
        )
        bad = rows.where("bad").count()
    if bad:
        raise InputError(
            f"rules.deny {source.path}: {bad} rows have no item_id or can't be read; "
            "give item_id, and similar_id where it is a pair"
        )
    return rows.select("item_id", "other").distinct()


def _source(config: Config) -> catalogue.Source:
    section = CatalogueSection(path=config.rules.deny)
    return catalogue.Source.from_config(section, config.object_stores())


@contextmanager
def naming(setting: str, instead_of: str = "") -> Iterator[None]:
    """Name a setting, in place of those of the catalogue, in the errors of reading its rows."""
    try:
        yield
    except NitamonoError as error:
        text = str(error)
        for name in filter(None, ("catalogue.path", instead_of)):
            text = text.replace(name, setting)
        raise type(error)(text.replace("[catalogue] path", "that setting")) from error
