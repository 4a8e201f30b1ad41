"""The items that settings are judged by: a sample of the catalogue, collected."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import catalogue
from pipeline.errors import InputError, StageError, UsageError
from pipeline.evaluation.pairs_file import Pairs
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rounding import round_to_float16
from pipeline.spark.sampling import collected_sample
from pipeline.stages.ingest import stage as ingest
from pipeline.stages.tokenize import token_columns
from pipeline.store import reasons
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_SEED = 0


@dataclass(frozen=True)
class Taken:
    """Items in ascending order of their ids, by code point.

    Attributes:
        ids: string[n].
        tokens: list<string>[n], of title and description together.
        halves: binary[n], the embeddings in float16; null where there is none.
        labels: for each label's column int64[n], equal numbers for equal labels; -1 for none.
        total: items of the catalogue.
    """

    ids: pa.Array
    tokens: pa.ListArray
    halves: pa.Array
    labels: dict[str, Int64]
    total: int


@dataclass(frozen=True)
class Made:
    """What the stages have made of the catalogue under the settings.

    Attributes:
        store: where it is.
        records: those of ingest, tokenize and embed by name, at least.
    """

    store: Store
    records: dict[str, StageRecord]

    def read(self, spark: "SparkSession", table: str, stage: str) -> "DataFrame":
        """A table that a stage made."""
        return self.store.read(spark, table, self.records[stage].version(table))


def as_read(spark: "SparkSession", source: catalogue.Source, labels: Sequence[str]) -> "DataFrame":
    """The catalogue as its files have it, seen to have the labels' columns.

    Raises:
        UsageError: it lacks one.
        InputError: it can't be read.
    """
    raw = catalogue.read(spark, source)
    catalogue.item_columns(raw, source)
    known = [name for name in raw.columns if name != catalogue.CORRUPT]
    missing = [name for name in labels if name not in known]
    if missing:
        raise UsageError(
            f"--label {', '.join(missing)}: no such column in catalogue.path {source.path}; "
            f"it has: {', '.join(known)}"
        )
    return raw


def take(
    raw: "DataFrame",
    source: catalogue.Source,
    made: Made,
    labels: Sequence[str],
    pairs: Pairs | None,
    most: int,
) -> Taken:
    """Collect at most so many items: those of the pairs first, then a seeded sample.

    Args:
        raw: the catalogue, of `as_read`.
        source: where it is, and how it is read.
        made: what the stages made of it.
        labels: columns of it.
        pairs: whose items are taken first; None for no pairs.
        most: items to take.

    Raises:
        UsageError: the pairs have more items than that.
        InputError: the catalogue is another than the one that the stages have read.
        StageError: a table lacks items.
    """
    from pyspark.sql import functions as F

    spark = raw.sparkSession
    total = made.records["ingest"].tables["items"]
    ids = _ids(made.read(spark, "items", "ingest").select("item_id"), total, pairs, most)
    chosen = spark.createDataFrame(pa.table({"item_id": ids}))
    joined = token_columns.joined()
    tokens = F.when(joined == "", F.array().cast("array<string>")).otherwise(F.split(joined, " "))
    text = _collect(made.read(spark, "tokens", "tokenize"), chosen, tokens=tokens)
    vectors = _collect(made.read(spark, "embeddings", "embed"), chosen, half=F.col("half"))
    tables = [text, vectors]
    codes = {}
    if labels:
        tables.append(_labels(raw, source, made.records["ingest"], chosen, labels))
        codes = {name: _codes(tables[-1][f"label_{n}"]) for n, name in enumerate(labels)}
    wanted = ids.take(pc.sort_indices(ids))
    for table in tables:
        if table["item_id"].combine_chunks() != wanted:
            raise StageError("evaluate: the stages' tables are not of the same items; run it again")
    return Taken(
        ids=wanted,
        tokens=text["tokens"].combine_chunks(),
        halves=vectors["half"].combine_chunks(),
        labels=codes,
        total=total,
    )


def take_vectors(
    vectors: "DataFrame", labels: Sequence[str], pairs: Pairs | None, most: int
) -> Taken:
    """The same of vectors that are given: they have no tokens.

    Args:
        vectors: item_id string, vector array<float>, and the labels' columns.
        labels: columns of it.
        pairs: whose items are taken first; None for no pairs.
        most: items to take.

    Raises:
        UsageError: the pairs have more items than that, or there is no vector, an id comes twice,
            or vectors have several lengths.
    """
    from pyspark.sql import functions as F

    texts = {f"label_{n}": F.col(name).cast("string") for n, name in enumerate(labels)}
    named = vectors.withColumn("item_id", F.col("item_id").cast("string"))
    total = named.count()
    ids = _ids(named.select("item_id"), total, pairs, most)
    chosen = vectors.sparkSession.createDataFrame(pa.table({"item_id": ids}))
    given = {name: F.when(~catalogue.is_blank(text), text) for name, text in texts.items()}
    rows = _collect(named, chosen, vector=F.col("vector").cast("array<float>"), **given)
    if rows.num_rows != pc.count_distinct(rows["item_id"]).as_py():
        raise UsageError("vectors: an item_id comes more than once")
    return Taken(
        ids=rows["item_id"].combine_chunks(),
        tokens=pa.array([[]] * rows.num_rows, pa.list_(pa.string())),
        halves=_halves(rows["vector"].combine_chunks()),
        labels={name: _codes(rows[f"label_{n}"]) for n, name in enumerate(labels)},
        total=total,
    )


def _halves(vectors: pa.ListArray) -> pa.Array:
    """Vectors in float16, as methods.Dense takes them; null for a null or zero one."""
    halves, odd = round_to_float16(vectors)
    if odd.any():
        raise UsageError(f"vectors: {int(odd.sum()):,} hold values that are null or not finite")
    sizes = pc.unique(pc.binary_length(halves.drop_null()))
    if len(sizes) != 1:
        lengths = " or ".join(str(n // 2) for n in sizes.to_pylist())
        what = f"they have {lengths} values" if len(sizes) else "there is none"
        raise UsageError(f"vectors: {what}; give some of one length")
    return halves


def _ids(items: "DataFrame", total: int, pairs: Pairs | None, most: int) -> pa.Array:
    """The ids of the items to take: string[n]."""
    first = pa.array([], type=pa.string())
    if pairs is not None:
        named = items.sparkSession.createDataFrame(pa.table({"item_id": pairs.ids()}))
        first = _semi(items, named).toArrow()["item_id"].combine_chunks()
        if len(first) > most:
            raise UsageError(
                f"--pairs {pairs.path}: its pairs are of {len(first):,} items, more than --items "
                f"{most:,}; raise that, or give fewer pairs"
            )
    sample = collected_sample(items, total, most, _SEED, "evaluate")["item_id"].combine_chunks()
    more = sample.filter(pc.invert(pc.is_in(sample, first)))
    return pa.concat_arrays([first, more])[:most]


def _semi(frame: "DataFrame", chosen: "DataFrame") -> "DataFrame":
    from pyspark.sql import functions as F

    return frame.join(F.broadcast(chosen), "item_id", how="left_semi")


def _collect(frame: "DataFrame", chosen: "DataFrame", **columns: "Column") -> pa.Table:
    """Columns of the chosen items, in ascending order of item_id."""
    named = [column.alias(name) for name, column in columns.items()]
    return _semi(frame, chosen).select("item_id", *named).toArrow().sort_by("item_id")


def _labels(
    raw: "DataFrame",
    source: catalogue.Source,
    ingested: StageRecord,
    chosen: "DataFrame",
    labels: Sequence[str],
) -> pa.Table:
    """The labels of the chosen items, as label_0, label_1, ..., of the rows that ingest kept."""
    from pyspark.sql import functions as F

    with catalogue.explained_damage(source):
        rows = _semi(ingest.flagged_rows(raw, catalogue.item_columns(raw, source)), chosen)
        if reasons.DUPLICATE_ITEM_ID in ingested.counts["quarantine_reasons"]:
            rows = ingest.flag_duplicates(rows, ingest.duplicate_ids(rows))
        texts = [F.col("raw").getField(name).cast("string") for name in labels]
        columns = {
            f"label_{n}": F.when(~catalogue.is_blank(text), text) for n, text in enumerate(texts)
        }
        found = _collect(rows.where(F.size("reasons") == 0), chosen, **columns)
    if catalogue.identity(source) != ingested.inputs["files"]:
        raise InputError(
            f"catalogue.path {source.path}: changed while it was read; "
            "run again when it is written to its end"
        )
    return found


def _codes(column: pa.ChunkedArray) -> Int64:
    indices = column.combine_chunks().dictionary_encode().indices
    return np.asarray(pc.fill_null(indices, -1)).astype(np.int64)
