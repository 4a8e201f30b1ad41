"""The sample of the catalogue that settings are evaluated on, collected on the driver."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import catalogue
from pipeline.errors import InputError, StageError, UsageError
from pipeline.evaluation.pairs_file import Pairs
from pipeline.retrieval.float16 import round_to_float16
from pipeline.retrieval.ranking import Int64
from pipeline.spark.sampling import collected_sample
from pipeline.stages.ingest import validation
from pipeline.stages.tokenize import token_columns
from pipeline.store import reason_codes
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_SEED = 0
_Source = catalogue.Source | catalogue.TableSource


@dataclass(frozen=True)
class Sample:
    """The items of the sample, in ascending order of their ids by code point.

    Attributes:
        ids: string[n].
        tokens: list<string>[n], those of the title and the description together.
        halves: binary[n], the embeddings in float16; null for no vector.
        labels: by column of labels int64[n], equal numbers for equal labels; -1 for none.
        total: the number of items in the catalogue.
    """

    ids: pa.Array
    tokens: pa.ListArray
    halves: pa.Array
    labels: dict[str, Int64]
    total: int


@dataclass(frozen=True)
class StageTables:
    """The tables that the stages have written under the settings.

    Attributes:
        store: the store.
        records: the records of ingest, tokenize and embed, at least, by the stage's name.
    """

    store: Store
    records: dict[str, StageRecord]

    def read(self, spark: "SparkSession", table: str, stage: str) -> "DataFrame":
        """Read a table of a stage."""
        return self.store.read(spark, table, self.records[stage].version(table))


def read_catalogue(
    spark: "SparkSession", source: _Source, labels: Sequence[str]
) -> catalogue.Snapshot:
    """Read the catalogue and check that they have the labels' columns.

    Raises:
        UsageError: a column of labels is missing.
        InputError: the catalogue can't be read.
    """
    snapshot = catalogue.open_snapshot(spark, source)
    raw = snapshot.rows
    catalogue.item_columns(raw, source)
    names = catalogue.data_columns(raw)
    missing = [name for name in labels if name not in names]
    if missing:
        raise UsageError(
            f"--label {', '.join(missing)}: no such column in {source.label}; "
            f"it has: {', '.join(names)}"
        )
    return snapshot


def collect_items(
    snapshot: catalogue.Snapshot,
    source: _Source,
    tables: StageTables,
    labels: Sequence[str],
    pairs: Pairs | None,
    max_items: int,
) -> Sample:
    """Collect the items of the pairs, and others by a seeded hash of their ids.

    Args:
        snapshot: the catalogue, as `read_catalogue` returns it.
        source: where the catalogue is and how it is read.
        tables: the tables of the stages.
        labels: columns of the catalogue.
        pairs: the pairs whose items come first; None for no pairs.
        max_items: the maximum number of items.

    Raises:
        UsageError: the pairs have more items than that.
        InputError: the catalogue has changed since the stages have read it.
        StageError: a table lacks items.
    """
    from pyspark.sql import functions as F

    spark = snapshot.rows.sparkSession
    total = tables.records["ingest"].tables["items"]
    items = tables.read(spark, "items", "ingest").select("item_id")
    ids = _sample_ids(items, total, pairs, max_items)
    sample = spark.createDataFrame(pa.table({"item_id": ids}))
    joined = token_columns.joined()
    tokens = F.when(joined == "", F.array().cast("array<string>")).otherwise(F.split(joined, " "))
    text = _collect(tables.read(spark, "tokens", "tokenize"), sample, tokens=tokens)
    vectors = _collect(tables.read(spark, "embeddings", "embed"), sample, half=F.col("half"))
    columns = [text, vectors]
    codes = {}
    if labels:
        columns.append(_labels(snapshot, source, tables.records["ingest"], sample, labels))
        codes = {name: _codes(columns[-1][f"label_{n}"]) for n, name in enumerate(labels)}
    ordered_ids = ids.take(pc.sort_indices(ids))
    for table in columns:
        if table["item_id"].combine_chunks() != ordered_ids:
            raise StageError("evaluate: the stages' tables are not of the same items; run it again")
    return Sample(
        ids=ordered_ids,
        tokens=text["tokens"].combine_chunks(),
        halves=vectors["half"].combine_chunks(),
        labels=codes,
        total=total,
    )


def collect_vectors(
    vectors: "DataFrame", labels: Sequence[str], pairs: Pairs | None, max_items: int
) -> Sample:
    """Collect items with vectors from a frame; their tokens are empty.

    Args:
        vectors: item_id string, vector array<float>, and the labels' columns.
        labels: columns of the frame.
        pairs: the pairs whose items come first; None for no pairs.
        max_items: the maximum number of items.

    Raises:
        UsageError: the pairs have more items than that, there is no vector, an id comes twice, or
            vectors differ in length.
    """
    from pyspark.sql import functions as F

    texts = {f"label_{n}": F.col(name).cast("string") for n, name in enumerate(labels)}
    named = vectors.withColumn("item_id", F.col("item_id").cast("string"))
    total = named.count()
    ids = _sample_ids(named.select("item_id"), total, pairs, max_items)
    sample = vectors.sparkSession.createDataFrame(pa.table({"item_id": ids}))
    label_columns = {name: F.when(~catalogue.is_blank(text), text) for name, text in texts.items()}
    vector = F.col("vector").cast("array<float>")
    rows = _collect(named, sample, vector=vector, **label_columns)
    if rows.num_rows != pc.count_distinct(rows["item_id"]).as_py():
        raise UsageError("vectors: an item_id comes more than once")
    return Sample(
        ids=rows["item_id"].combine_chunks(),
        tokens=pa.array([[]] * rows.num_rows, pa.list_(pa.string())),
        halves=_halves(rows["vector"].combine_chunks()),
        labels={name: _codes(rows[f"label_{n}"]) for n, name in enumerate(labels)},
        total=total,
    )


def _halves(vectors: pa.ListArray) -> pa.Array:
    """Vectors in float16, as methods.Dense reads them; null for a null or zero vector."""
    halves, odd = round_to_float16(vectors)
    if odd.any():
        raise UsageError(f"vectors: {int(odd.sum()):,} hold values that are null or not finite")
    sizes = pc.unique(pc.binary_length(halves.drop_null()))
    if len(sizes) != 1:
        lengths = " or ".join(str(n // 2) for n in sizes.to_pylist())
        what = f"they have {lengths} values" if len(sizes) else "there is none"
        raise UsageError(f"vectors: {what}; give vectors of one length")
    return halves


def _sample_ids(items: "DataFrame", total: int, pairs: Pairs | None, max_items: int) -> pa.Array:
    """The ids of the sample: string[n]."""
    pair_ids = pa.array([], type=pa.string())
    if pairs is not None:
        named = items.sparkSession.createDataFrame(pa.table({"item_id": pairs.ids()}))
        pair_ids = _semi(items, named).toArrow()["item_id"].combine_chunks()
        if len(pair_ids) > max_items:
            raise UsageError(
                f"--pairs {pairs.path}: its pairs are of {len(pair_ids):,} items, more than "
                f"--items {max_items:,}; raise that, or give fewer pairs"
            )
    sample = collected_sample(items, total, max_items, _SEED, "evaluate")
    hashed_ids = sample["item_id"].combine_chunks()
    others = hashed_ids.filter(pc.invert(pc.is_in(hashed_ids, pair_ids)))
    return pa.concat_arrays([pair_ids, others])[:max_items]


def _semi(frame: "DataFrame", ids: "DataFrame") -> "DataFrame":
    from pyspark.sql import functions as F

    return frame.join(F.broadcast(ids), "item_id", how="left_semi")


def _collect(frame: "DataFrame", ids: "DataFrame", **columns: "Column") -> pa.Table:
    """Columns of the sample's items, in ascending order of item_id."""
    named = [column.alias(name) for name, column in columns.items()]
    return _semi(frame, ids).select("item_id", *named).toArrow().sort_by("item_id")


def _labels(
    snapshot: catalogue.Snapshot,
    source: _Source,
    ingest_record: StageRecord,
    ids: "DataFrame",
    labels: Sequence[str],
) -> pa.Table:
    """The labels of the sample's items as label_0, label_1, ..., of the rows that ingest kept."""
    from pyspark.sql import functions as F

    raw, state = snapshot.rows, snapshot.state
    with catalogue.explained_damage(source):
        rows = _semi(validation.flag_rows(raw, catalogue.item_columns(raw, source)), ids)
        if reason_codes.DUPLICATE_ITEM_ID in ingest_record.counts["quarantine_reasons"]:
            rows = validation.flag_duplicates(rows, validation.duplicate_ids(rows))
        texts = [F.col("raw").getField(name).cast("string") for name in labels]
        columns = {
            f"label_{n}": F.when(~catalogue.is_blank(text), text) for n, text in enumerate(texts)
        }
        table = _collect(rows.where(F.size("reasons") == 0), ids, **columns)
    snapshot.release()
    if isinstance(source, catalogue.Source):
        state = catalogue.identity(source)
    if state != ingest_record.inputs["files"]:
        raise InputError(
            f"{source.label}: changed while it was read; run again when it is written to its end"
        )
    return table


def _codes(column: pa.ChunkedArray) -> Int64:
    indices = column.combine_chunks().dictionary_encode().indices
    return np.asarray(pc.fill_null(indices, -1)).astype(np.int64)
