"""Rows of a few items on the driver: of those on the run's page, and of those that are measured.

Each table is read once for both. How many rows come is bounded, whatever the catalogue.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.spark.sampling import collected_sample, hash_bound, seeded_hash
from pipeline.stages.context import Job
from pipeline.stages.tokenize import token_columns
from pipeline.store.scan import ItemRows
from pipeline.store.schemas import EMBEDDINGS, ITEMS, TOKENS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Items on the map, and how many of them are shown with their neighbours.
MAPPED, SHOWN = 2000, 300
# Items with fewer than k neighbours that are shown as well.
SHORT = 20
# Neighbours of an item that are shown, at most.
NEIGHBORS = 20
# If there are more items, a sample of this size is measured: it gives a share of one half to within
# 0.7 percentage points. There are fewer if they have more pairs than this.
MAX_MEASURED, _MAX_MEASURED_PAIRS = 20_000, 400_000
# The purposes of the samples; see pipeline.spark.sampling.
_PURPOSE, _MEASURED = "examples", "measured"
_NAME_CHARACTERS, _ADDRESS_CHARACTERS = 300, 2000
_TOKENS, _TOKENS_CHARACTERS = 100, 4000
_TEXT = pa.string()
_ITEMS = pa.schema(
    [
        *(ITEMS.field(name) for name in ("item_id", "category")),
        *((name, _TEXT) for name in ("title", "shown_category", "brand", "image_url")),
    ]
)
_VECTORS = pa.schema([EMBEDDINGS.field(name) for name in ("item_id", "half")])


def sample_ids(ids: "DataFrame", total: int, max_items: int) -> list[str]:
    """A sample of some items, in the order of a hash of their id.

    Args:
        ids: item_id.
        total: how many rows it has.
        max_items: the size of the sample.
    """
    sample: list[str] = collected_sample(ids, total, max_items, 0, _PURPOSE)["item_id"].to_pylist()
    return sample


@dataclass(frozen=True)
class SampledRows:
    """Rows of a few items.

    Attributes:
        mapped: the items on the map.
        shown: the items that are shown with their neighbours.
        one_in: one in about so many items is measured.
        measured_up_to: the items with a hash up to this are measured: an item that is measured
            stays measured from version to version, as long as the catalogue hardly grows.
        pairs: rows of similar_items of the items that are shown or measured, with their hash,
            `order`, `is_measured` and `is_shown`. What has filled a list is not measured.
        items: of all these items and their neighbours: item_id, `category`, `text` of the tokens
            table; and for those of the run's page, otherwise null, the first characters of title,
            brand, image_url, the tokens of title, description and fields, and of category,
            `shown_category`.
        vectors: item_id and half of the items on the map.
    """

    mapped: list[str]
    shown: list[str]
    one_in: int
    measured_up_to: int
    pairs: pa.Table
    items: pa.Table
    vectors: pa.Table

    @cached_property
    def shown_pairs(self) -> pa.Table:
        """Rows of similar_items of the items that are shown, up to NEIGHBORS of each."""
        return _shown(self.pairs)


def _shown(pairs: pa.Table) -> pa.Table:
    return pairs.filter(pc.and_(pairs["is_shown"], pc.less_equal(pairs["rank"], NEIGHBORS)))


def collect(
    job: Job, pairs: "DataFrame", mapped: list[str], hub: str | None, covered: int
) -> SampledRows:
    """Collect the rows.

    Args:
        job: the run; all its stages before publish are done.
        pairs: similar_items, as written.
        mapped: the items on the map, in random order.
        hub: the item that is in the most lists.
        covered: how many items have neighbours.
    """
    hubs = [] if hub is None else [hub]
    shown = list(dict.fromkeys([*mapped[:SHOWN], *_short_items(job), *hubs]))
    measured = min(MAX_MEASURED, max(1, _MAX_MEASURED_PAIRS // job.config.neighbors.k))
    bound = hash_bound(covered, measured)
    collected = _pairs(job, pairs, shown, bound)
    neighbors = _shown(collected)["similar_id"]
    on_page = pc.unique(_together([pa.array([*mapped, *shown], _TEXT)], neighbors))
    of_measured = collected.filter(collected["is_measured"])
    ids = pc.unique(_together([on_page], of_measured["item_id"], of_measured["similar_id"]))
    tokens = _tokens(job, ids, on_page)
    items = _items(job, ids, on_page).join(tokens, "item_id", join_type="inner")
    one_in = max(1, -(-covered // measured))
    return SampledRows(mapped, shown, one_in, bound, collected, items, _vectors(job, mapped))


def _together(arrays: list[pa.Array], *columns: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([*arrays, *(chunk for each in columns for chunk in each.chunks)], _TEXT)


def _short_items(job: Job) -> list[str]:
    total = job.record("neighbors").tables["short_lists"]
    if not total:
        return []
    return sample_ids(job.read("short_lists", "neighbors").select("item_id"), total, SHORT)


def _pairs(job: Job, pairs: "DataFrame", shown: list[str], bound: int) -> pa.Table:
    from pyspark.sql import functions as F

    ids = pa.table({"item_id": pa.array(shown, pa.string()), "is_shown": [True] * len(shown)})
    known = F.broadcast(job.spark.createDataFrame(ids))
    is_found = F.col("score").isNotNull()
    return (
        pairs.join(known, "item_id", how="left")
        .withColumn("order", seeded_hash(0, _MEASURED))
        .withColumn("is_measured", (F.col("order") <= F.lit(bound)) & is_found)
        .withColumn("is_shown", F.coalesce("is_shown", F.lit(False)))
        .where("is_measured or is_shown")
        .toArrow()
    )


def _items(job: Job, wanted: pa.Array, on_page: pa.Array) -> pa.Table:
    def run(rows: pa.RecordBatch) -> pa.RecordBatch:
        is_on_page = _mask(rows, on_page)
        cut = [
            _first_part(rows[name], is_on_page, _name) for name in ("title", "category", "brand")
        ]
        address = _first_part(rows["image_url"], is_on_page, _address)
        columns = [rows["item_id"], rows["category"], *cut, address]
        return pa.RecordBatch.from_arrays(columns, schema=_ITEMS)

    columns = ("item_id", "category", "title", "brand", "image_url")
    return job.rows_of_items("items", "ingest", ItemRows(wanted, columns, run, _ITEMS))


def _tokens(job: Job, wanted: pa.Array, on_page: pa.Array) -> pa.Table:
    version = job.record("tokenize").version("tokens")
    names = token_columns.names(job.store.schema("tokens", version).names)
    strings = [pa.field(name, _TEXT) for name in names]
    schema = pa.schema([TOKENS.field("item_id"), TOKENS.field("text"), *strings])

    def run(rows: pa.RecordBatch) -> pa.RecordBatch:
        is_on_page = _mask(rows, on_page)
        cut = [_first_part(rows[name], is_on_page, _first_tokens) for name in names]
        return pa.RecordBatch.from_arrays([rows["item_id"], rows["text"], *cut], schema=schema)

    rows = ItemRows(wanted, tuple(schema.names), run, schema)
    return job.rows_of_items("tokens", "tokenize", rows)


def _vectors(job: Job, ids: list[str]) -> pa.Table:
    wanted, columns = pa.array(ids, pa.string()), tuple(_VECTORS.names)
    rows = ItemRows(wanted, columns, lambda batch: batch, _VECTORS)
    return job.rows_of_items("embeddings", "embed", rows)


def _mask(rows: pa.RecordBatch, ids: pa.Array) -> pa.Array:
    return pc.is_in(rows["item_id"], ids)


def _first_part(texts: pa.Array, mask: pa.Array, cut: Callable[[str], str | None]) -> pa.Array:
    """The first part of some texts; null for the others."""
    values: list[str | None] = [None] * len(texts)
    places = np.flatnonzero(mask).tolist()
    for place, text in zip(places, texts.filter(mask).to_pylist(), strict=True):
        values[place] = text and cut(text)
    return pa.array(values, _TEXT)


def _name(text: str) -> str:
    return text[:_NAME_CHARACTERS]


def _address(text: str) -> str | None:
    return text if len(text) <= _ADDRESS_CHARACTERS else None


def _first_tokens(tokens: str) -> str:
    return " ".join(tokens.split(" ", _TOKENS)[:_TOKENS])[:_TOKENS_CHARACTERS]
