"""A sample of items with their neighbours, texts and vectors, for the run's page.

The sample is small, whatever the catalogue: it fits into the driver, and the page is made without
Spark. It is drawn by a hash of the id, so that every run over the same items shows the same ones.
"""

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.spark.sampling import collected_sample
from pipeline.stages.context import Job

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

TABLE = "examples"
# Items on the map, and how many of them are shown with their neighbours.
MAPPED, SHOWN = 2000, 300
# Items with fewer than k neighbours that are shown as well.
SHORT = 20
# Neighbours of an item that are shown, at most.
NEIGHBORS = 20
_NAME_CHARACTERS, _ADDRESS_CHARACTERS = 300, 2000
_TOKENS, _TOKENS_CHARACTERS = 100, 4000

_Lists = dict[str, list[dict[str, Any]]]
_Row = dict[str, Any]


def write(
    job: Job,
    version: str,
    pairs: "DataFrame",
    sampled: list[str],
    most_shown: dict[str, Any] | None,
) -> int:
    """Write the table of examples: items on the map, those shown, and the neighbours of those.

    Args:
        job: the run; all its stages before publish are done.
        version: of the table.
        pairs: similar_items, as written.
        sampled: items, drawn by a hash of their id.
        most_shown: the item that is in the most lists.

    Returns:
        the number of rows.
    """
    mapped = sampled[:MAPPED]
    shown = list(dict.fromkeys([*mapped[:SHOWN], *_short_items(job), *_hub(most_shown)]))
    lists = _neighbor_lists(job, pairs, shown)
    neighbors = (entry["similar_id"] for entries in lists.values() for entry in entries)
    all_ids = sorted({*mapped, *shown, *neighbors})
    items, tokens = _items(job, all_ids), _tokens(job, all_ids)
    vectors, on_map = _vectors(job, mapped), set(mapped)
    rows = [
        {
            **items[item],
            **tokens[item],
            "shown": item in lists,
            "mapped": item in on_map,
            "half": vectors.get(item),
            "neighbors": lists.get(item),
        }
        for item in all_ids
    ]
    return job.store.write_rows(rows, TABLE, version)


def _short_items(job: Job) -> list[str]:
    total = job.record("neighbors").tables["short_lists"]
    if not total:
        return []
    return _sample_ids(job.read("short_lists", "neighbors").select("item_id"), total, SHORT)


def _sample_ids(ids: "DataFrame", total: int, max_items: int) -> list[str]:
    sample: list[str] = collected_sample(ids, total, max_items, 0, TABLE)["item_id"].to_pylist()
    return sample


def _hub(most_shown: dict[str, Any] | None) -> list[str]:
    return [most_shown["item_id"]] if most_shown else []


def _neighbor_lists(job: Job, pairs: "DataFrame", shown: list[str]) -> _Lists:
    """The first neighbours of the items shown, best first."""
    from pyspark.sql import functions as F

    best: _Lists = {item: [] for item in shown}
    rows = _rows_of(job, pairs.where(F.col("rank") <= NEIGHBORS), shown)
    for row in sorted(rows, key=lambda row: int(row["rank"])):
        best[row["item_id"]].append({"similar_id": row["similar_id"], "score": row["score"]})
    return best


def _items(job: Job, ids: list[str]) -> dict[str, _Row]:
    from pyspark.sql import functions as F

    address = F.when(F.length("image_url") <= _ADDRESS_CHARACTERS, F.col("image_url"))
    items = job.read("items", "ingest").select(
        "item_id",
        *(
            F.substring(name, 1, _NAME_CHARACTERS).alias(name)
            for name in ("title", "category", "brand")
        ),
        address.alias("image_url"),
    )
    return {row["item_id"]: row for row in _rows_of(job, items, ids)}


def _tokens(job: Job, ids: list[str]) -> dict[str, _Row]:
    tokens = job.read("tokens", "tokenize").select(
        "item_id", _first_tokens("title_tokens"), _first_tokens("description_tokens")
    )
    return {row["item_id"]: row for row in _rows_of(job, tokens, ids)}


def _first_tokens(name: str) -> "Column":
    from pyspark.sql import functions as F

    first = F.substring_index(F.col(name), " ", _TOKENS)
    return F.substring(first, 1, _TOKENS_CHARACTERS).alias(name)


def _vectors(job: Job, ids: list[str]) -> dict[str, bytes]:
    vectors = job.read("embeddings", "embed").select("item_id", "half")
    return {row["item_id"]: row["half"] for row in _rows_of(job, vectors, ids)}


def _rows_of(job: Job, rows: "DataFrame", ids: list[str]) -> list[_Row]:
    """The rows of a few items, on the driver; the ids are broadcast to where the rows are."""
    from pyspark.sql import functions as F

    ids_frame = job.spark.createDataFrame(pa.table({"item_id": pa.array(ids, pa.string())}))
    joined = rows.join(F.broadcast(ids_frame), "item_id", how="left_semi")
    collected: list[_Row] = joined.toArrow().to_pylist()
    return collected
