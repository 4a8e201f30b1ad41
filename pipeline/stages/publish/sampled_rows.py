"""Rows of a few items on the driver: of those on the run's page, and of those that are measured.

Each table is read once for both. How many rows come is bounded, whatever the catalogue.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.spark.sampling import collected_sample, hash_bound, seeded_hash
from pipeline.stages.context import Job
from pipeline.stages.tokenize import token_columns

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

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
    on_page = pa.chunked_array([pa.array([*mapped, *shown], pa.string()), *neighbors.chunks])
    of_measured = collected.filter(collected["is_measured"])
    ids = pc.unique(
        pa.chunked_array(
            [
                *on_page.chunks,
                *of_measured["item_id"].chunks,
                *of_measured["similar_id"].chunks,
            ],
            pa.string(),
        )
    )
    wanted = pa.table({"item_id": ids, "on_page": pc.is_in(ids, pc.unique(on_page))})
    items = _items(job, wanted).join(_tokens(job, wanted), "item_id", join_type="inner")
    one_in = max(1, -(-covered // measured))
    return SampledRows(mapped, shown, one_in, bound, collected, items, _vectors(job, mapped))


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


def _items(job: Job, wanted: pa.Table) -> pa.Table:
    from pyspark.sql import functions as F

    names = {"title": "title", "category": "shown_category", "brand": "brand"}
    address = F.when(F.length("image_url") <= _ADDRESS_CHARACTERS, F.col("image_url"))
    return _rows_of(
        job,
        job.read("items", "ingest"),
        wanted,
        F.col("category"),
        *(
            _on_page(F.substring(name, 1, _NAME_CHARACTERS)).alias(alias)
            for name, alias in names.items()
        ),
        _on_page(address).alias("image_url"),
    )


def _tokens(job: Job, wanted: pa.Table) -> pa.Table:
    from pyspark.sql import functions as F

    def first_tokens(name: str) -> "Column":
        first = F.substring_index(F.col(name), " ", _TOKENS)
        return _on_page(F.substring(first, 1, _TOKENS_CHARACTERS)).alias(name)

    tokens = job.read("tokens", "tokenize")
    texts = map(first_tokens, token_columns.names(tokens.columns))
    return _rows_of(job, tokens, wanted, F.col("text"), *texts)


def _vectors(job: Job, ids: list[str]) -> pa.Table:
    from pyspark.sql import functions as F

    wanted = pa.table({"item_id": pa.array(ids, pa.string())})
    return _rows_of(job, job.read("embeddings", "embed"), wanted, F.col("half"))


def _on_page(value: "Column") -> "Column":
    from pyspark.sql import functions as F

    return F.when(F.col("on_page"), value)


def _rows_of(job: Job, rows: "DataFrame", wanted: pa.Table, *columns: "Column") -> pa.Table:
    """Columns of a few items, on the driver; the ids are broadcast to where the rows are."""
    from pyspark.sql import functions as F

    ids = F.broadcast(job.spark.createDataFrame(wanted))
    return rows.join(ids, "item_id", how="inner").select("item_id", *columns).toArrow()
