"""The sample of the catalogue that settings are evaluated on, collected on the driver."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import catalogue
from pipeline.errors import StageError, UsageError
from pipeline.evaluation import groups
from pipeline.evaluation.catalogue_columns import Source, as_texts, collect, collect_texts, semi
from pipeline.evaluation.groups import Grouping
from pipeline.evaluation.request import EvaluationRequest
from pipeline.retrieval.float16 import round_to_float16
from pipeline.retrieval.ranking import Int64
from pipeline.spark.sampling import collected_sample
from pipeline.stages.tokenize import token_columns
from pipeline.store import resolve
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_SEED = 0


@dataclass(frozen=True)
class Sample:
    """The items of the sample, in ascending order of their ids by code point.

    Attributes:
        ids: string[n].
        tokens: list<string>[n], those of the title and the description together.
        halves: binary[n], the embeddings in float16; null for no vector.
        labels: by column of labels int64[n], equal numbers for equal labels; -1 for none.
        groupings: the groups of the items, by what they are grouped by.
        total: the number of items in the catalogue.
    """

    ids: pa.Array
    tokens: pa.ListArray
    halves: pa.Array
    labels: dict[str, Int64]
    groupings: dict[str, Grouping]
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


def items_of(store: Store, request: EvaluationRequest) -> dict[str, str]:
    """The versions of the items tables that new items are not in, by the group's name.

    Raises:
        UsageError: the store has no such table.
    """
    versions = {}
    for group in request.groups:
        if group.kind == groups.NEW:
            try:
                versions[group.name] = resolve.resolve(store, group.version).table("items")
            except UsageError as error:
                raise UsageError(
                    f"--group {group.name}: new items are those that an earlier run's catalogue "
                    f"lacks: {error}"
                ) from error
    return versions


def collect_items(
    snapshot: catalogue.Snapshot,
    source: Source,
    tables: StageTables,
    request: EvaluationRequest,
    earlier: Mapping[str, str],
) -> Sample:
    """Collect the items that the request names, and others by a seeded hash of their ids.

    Args:
        snapshot: the catalogue, as `read_catalogue` returns it.
        source: where the catalogue is and how it is read.
        tables: the tables of the stages.
        request: what to measure.
        earlier: the versions that `items_of` returns.

    Raises:
        UsageError: it names more items than there may be.
        InputError: the catalogue has changed since the stages have read it.
        StageError: a table lacks items.
    """
    from pyspark.sql import functions as F

    spark = snapshot.rows.sparkSession
    total = tables.records["ingest"].tables["items"]
    items = tables.read(spark, "items", "ingest").select("item_id")
    ids = _sample_ids(items, total, request)
    sample = spark.createDataFrame(pa.table({"item_id": ids}))
    joined = token_columns.joined()
    tokens = F.when(joined == "", F.array().cast("array<string>")).otherwise(F.split(joined, " "))
    text = collect(tables.read(spark, "tokens", "tokenize"), sample, tokens=tokens)
    vectors = collect(tables.read(spark, "embeddings", "embed"), sample, half=F.col("half"))
    collected = [text, vectors]
    if request.columns:
        record = tables.records["ingest"]
        collected.append(collect_texts(snapshot, source, record, sample, request.columns))
    ordered_ids = ids.take(pc.sort_indices(ids))
    for table in collected:
        if table["item_id"].combine_chunks() != ordered_ids:
            raise StageError("evaluate: the stages' tables are not of the same items; run it again")
    old = {
        name: collect(tables.store.read(spark, "items", version), sample)["item_id"]
        for name, version in earlier.items()
    }
    tokens = text["tokens"].combine_chunks()
    texts = _columns(collected[-1], request)
    return Sample(
        ids=ordered_ids,
        tokens=tokens,
        halves=vectors["half"].combine_chunks(),
        labels={name: _codes(texts[name]) for name in request.labels},
        groupings={
            group.name: groups.by_length(tokens)
            if group.kind == groups.LENGTH
            else groups.by_age(pc.is_in(ordered_ids, old[group.name].combine_chunks()))
            if group.kind == groups.NEW
            else groups.by_value(texts[group.column])
            for group in request.groups
        },
        total=total,
    )


def collect_halves(spark: "SparkSession", tables: StageTables, sample: Sample) -> pa.Array:
    """The vectors that other settings give the sample's items: binary[n], null for none.

    Raises:
        UsageError: the other settings have put items into quarantine that the first ones keep.
    """
    from pyspark.sql import functions as F

    ids = spark.createDataFrame(pa.table({"item_id": sample.ids}))
    rows = collect(tables.read(spark, "embeddings", "embed"), ids, half=F.col("half"))
    if missing := len(sample.ids) - rows.num_rows:
        raise UsageError(
            f"--against: that config puts {missing:,} of the {len(sample.ids):,} items into "
            "quarantine; its columns of ids and titles must be those of --config"
        )
    return rows["half"].combine_chunks()


def collect_details(
    spark: "SparkSession", tables: StageTables, ids: Iterable[str], columns: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """By id, the title and further columns of some items."""
    wanted = spark.createDataFrame(pa.table({"item_id": pa.array(sorted(ids), pa.string())}))
    rows = semi(tables.read(spark, "items", "ingest"), wanted)
    table = rows.select("item_id", "title", *columns).toArrow()
    return {row["item_id"]: row for row in table.to_pylist()}


def collect_vectors(vectors: "DataFrame", request: EvaluationRequest) -> Sample:
    """Collect items with vectors from a frame; their tokens are empty.

    Args:
        vectors: item_id string, vector array<float>, and the columns of labels and groups.
        request: what to measure.

    Raises:
        UsageError: the pairs have more items than there may be, there is no vector, an id comes
            twice, vectors differ in length, or groups need more than a column.
    """
    from pyspark.sql import functions as F

    if odd := [group.name for group in request.groups if not group.column]:
        raise UsageError(
            f"groups {', '.join(odd)}: a frame of vectors has columns only to group by"
        )
    named = vectors.withColumn("item_id", F.col("item_id").cast("string"))
    total = named.count()
    ids = _sample_ids(named.select("item_id"), total, request)
    sample = vectors.sparkSession.createDataFrame(pa.table({"item_id": ids}))
    columns = as_texts([F.col(name) for name in request.columns])
    rows = collect(named, sample, vector=F.col("vector").cast("array<float>"), **columns)
    if rows.num_rows != pc.count_distinct(rows["item_id"]).as_py():
        raise UsageError("vectors: an item_id comes more than once")
    texts = _columns(rows, request)
    return Sample(
        ids=rows["item_id"].combine_chunks(),
        tokens=pa.array([[]] * rows.num_rows, pa.list_(pa.string())),
        halves=_halves(rows["vector"].combine_chunks()),
        labels={name: _codes(texts[name]) for name in request.labels},
        groupings={group.name: groups.by_value(texts[group.column]) for group in request.groups},
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


def _sample_ids(items: "DataFrame", total: int, request: EvaluationRequest) -> pa.Array:
    """The ids of the sample: string[n]."""
    first, max_items = pa.array([], type=pa.string()), request.items
    for argument, ids in request.named_ids.items():
        named = items.sparkSession.createDataFrame(pa.table({"item_id": ids}))
        own = semi(items, named).toArrow()["item_id"].combine_chunks()
        first = pc.unique(pa.concat_arrays([first, own]))
        if len(first) > max_items:
            raise UsageError(
                f"{argument}: its pairs are of {len(first):,} items, more than --items "
                f"{max_items:,}; raise that, or give fewer pairs"
            )
    sample = collected_sample(items, total, max_items, _SEED, "evaluate")
    hashed_ids = sample["item_id"].combine_chunks()
    others = hashed_ids.filter(pc.invert(pc.is_in(hashed_ids, first)))
    return pa.concat_arrays([first, others])[:max_items]


def _columns(table: pa.Table, request: EvaluationRequest) -> dict[str, pa.Array]:
    return {name: table[f"column_{n}"].combine_chunks() for n, name in enumerate(request.columns)}


def _codes(column: pa.Array) -> Int64:
    indices = column.dictionary_encode().indices
    return np.asarray(pc.fill_null(indices, -1)).astype(np.int64)
