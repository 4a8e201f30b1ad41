"""A few items with their neighbours, texts and vectors, for the run's page.

They are so few that the page needs no Spark, and that making it costs nothing that grows with the
catalogue. Which they are goes by a hash of the id: another run over the same items shows the same.
"""

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.job import Job
from pipeline.sampling import collected_sample

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

TABLE = "examples"
# Items of the map, and those of them that are shown with their neighbours.
MAPPED, SHOWN = 2000, 300
# Items with fewer neighbours than were asked for, shown beside those.
SHORT = 20
# Neighbours of an item that are shown, at most.
NEIGHBORS = 20
_TITLE_CHARACTERS, _ADDRESS_CHARACTERS = 300, 2000
_TOKENS, _TOKENS_CHARACTERS = 100, 4000

_Lists = dict[str, list[dict[str, Any]]]


def write(job: Job, version: str, pairs: "DataFrame", most_shown: dict[str, Any] | None) -> int:
    """Write the table of examples: items of the map, some shown with neighbours, and those.

    Args:
        job: whose stages before publish are done.
        version: of the table.
        pairs: similar_items, as written.
        most_shown: the item that is in most lists.

    Returns:
        the number of rows.
    """
    from pyspark.sql import functions as F

    chosen = F.broadcast(_chosen(job, pairs, most_shown))
    ids = chosen.select("item_id")
    items = job.read("items", "ingest").join(chosen, "item_id", how="inner")
    texts = job.read("tokens", "tokenize").join(ids, "item_id", how="left_semi")
    on_map = chosen.where("mapped").select("item_id")
    vectors = job.read("embeddings", "embed").join(on_map, "item_id", how="left_semi")
    address = F.when(F.length("image_url") <= _ADDRESS_CHARACTERS, F.col("image_url"))
    about = items.select(
        "item_id",
        "shown",
        "mapped",
        *(F.substring(name, 1, _TITLE_CHARACTERS).alias(name) for name in ("title", "category")),
        F.substring("brand", 1, _TITLE_CHARACTERS).alias("brand"),
        address.alias("image_url"),
        "neighbors",
    )
    tokens = texts.select(
        "item_id", _first_tokens("title_tokens"), _first_tokens("description_tokens")
    )
    # Both are small: nothing is shuffled.
    rows = about.join(F.broadcast(tokens), "item_id", how="left").join(
        F.broadcast(vectors.select("item_id", "half")), "item_id", how="left"
    )
    return job.store.write(rows.repartition(1).sortWithinPartitions("item_id"), TABLE, version)


def _first_tokens(name: str) -> "Column":
    from pyspark.sql import functions as F

    first = F.substring_index(F.col(name), " ", _TOKENS)
    return F.substring(first, 1, _TOKENS_CHARACTERS).alias(name)


def _chosen(job: Job, pairs: "DataFrame", most_shown: dict[str, Any] | None) -> "DataFrame":
    """item_id string, shown boolean, mapped boolean, neighbors; a few thousand rows."""
    total = job.record("ingest").tables["items"]
    ids = job.read("items", "ingest").select("item_id")
    mapped = collected_sample(ids, total, MAPPED, 0, TABLE)["item_id"].to_pylist()
    short = job.read("short_lists", "neighbors").select("item_id")
    shorts = job.record("neighbors").tables["short_lists"]
    few = collected_sample(short, shorts, SHORT, 0, TABLE)["item_id"].to_pylist()
    hub = [most_shown["item_id"]] if most_shown else []
    shown = dict.fromkeys([*mapped[:SHOWN], *few, *hub])
    best = _lists(job, pairs, list(shown))
    neighbors = (entry["similar_id"] for entries in best.values() for entry in entries)
    on_map = set(mapped)
    every = sorted({*mapped, *shown, *neighbors})
    entries = pa.list_(pa.struct([("similar_id", pa.string()), ("score", pa.float32())]))
    table = {
        "item_id": pa.array(every, pa.string()),
        "shown": pa.array([item in shown for item in every], pa.bool_()),
        "mapped": pa.array([item in on_map for item in every], pa.bool_()),
        "neighbors": pa.array([best.get(item) for item in every], entries),
    }
    return job.spark.createDataFrame(pa.table(table))


def _lists(job: Job, pairs: "DataFrame", shown: list[str]) -> _Lists:
    """The first neighbours of the items that are shown, best first."""
    from pyspark.sql import functions as F

    ids = job.spark.createDataFrame(pa.table({"item_id": pa.array(shown, pa.string())}))
    found = pairs.where(F.col("rank") <= NEIGHBORS).join(
        F.broadcast(ids), "item_id", how="left_semi"
    )
    best: _Lists = {item: [] for item in shown}
    for row in (
        found.toArrow().sort_by([("item_id", "ascending"), ("rank", "ascending")]).to_pylist()
    ):
        best[row["item_id"]].append({"similar_id": row["similar_id"], "score": row["score"]})
    return best
