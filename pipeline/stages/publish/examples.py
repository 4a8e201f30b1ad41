"""A few items with their neighbours, texts and vectors, for the run's page.

They are so few that the page needs no Spark, and that they fit into the driver whatever the
catalogue. Which they are goes by a hash of the id: another run over the same items shows the same.
"""

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.spark.sampling import collected_sample
from pipeline.stages.context import Job

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

TABLE = "examples"
# Items of the map, and those of them that are shown with their neighbours.
MAPPED, SHOWN = 2000, 300
# Items with fewer neighbours than were asked for, shown beside those.
SHORT = 20
# Neighbours of an item that are shown, at most.
NEIGHBORS = 20
_NAME_CHARACTERS, _ADDRESS_CHARACTERS = 300, 2000
_TOKENS, _TOKENS_CHARACTERS = 100, 4000

_Lists = dict[str, list[dict[str, Any]]]
_Row = dict[str, Any]


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
    mapped = _mapped(job)
    shown = list(dict.fromkeys([*mapped[:SHOWN], *_short(job), *_hub(most_shown)]))
    lists = _lists(job, pairs, shown)
    neighbors = (entry["similar_id"] for entries in lists.values() for entry in entries)
    every = sorted({*mapped, *shown, *neighbors})
    about, tokens = _items(job, every), _texts(job, every)
    halves, on_map = _halves(job, mapped), set(mapped)
    rows = [
        {
            **about[item],
            **tokens[item],
            "shown": item in lists,
            "mapped": item in on_map,
            "half": halves.get(item),
            "neighbors": lists.get(item),
        }
        for item in every
    ]
    return job.store.write_rows(rows, TABLE, version)


def _mapped(job: Job) -> list[str]:
    total, ids = job.record("ingest").tables["items"], job.read("items", "ingest")
    return _sample(ids.select("item_id"), total, MAPPED)


def _short(job: Job) -> list[str]:
    total = job.record("neighbors").tables["short_lists"]
    if not total:
        return []
    return _sample(job.read("short_lists", "neighbors").select("item_id"), total, SHORT)


def _sample(ids: "DataFrame", total: int, most: int) -> list[str]:
    chosen: list[str] = collected_sample(ids, total, most, 0, TABLE)["item_id"].to_pylist()
    return chosen


def _hub(most_shown: dict[str, Any] | None) -> list[str]:
    return [most_shown["item_id"]] if most_shown else []


def _lists(job: Job, pairs: "DataFrame", shown: list[str]) -> _Lists:
    """The first neighbours of the items that are shown, best first."""
    from pyspark.sql import functions as F

    best: _Lists = {item: [] for item in shown}
    rows = _of(job, pairs.where(F.col("rank") <= NEIGHBORS), shown)
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
    return {row["item_id"]: row for row in _of(job, items, ids)}


def _texts(job: Job, ids: list[str]) -> dict[str, _Row]:
    tokens = job.read("tokens", "tokenize").select(
        "item_id", _first("title_tokens"), _first("description_tokens")
    )
    return {row["item_id"]: row for row in _of(job, tokens, ids)}


def _first(name: str) -> "Column":
    from pyspark.sql import functions as F

    first = F.substring_index(F.col(name), " ", _TOKENS)
    return F.substring(first, 1, _TOKENS_CHARACTERS).alias(name)


def _halves(job: Job, ids: list[str]) -> dict[str, bytes]:
    vectors = job.read("embeddings", "embed").select("item_id", "half")
    return {row["item_id"]: row["half"] for row in _of(job, vectors, ids)}


def _of(job: Job, rows: "DataFrame", ids: list[str]) -> list[_Row]:
    """The rows of a few items, on the driver: the ids travel to where the rows are."""
    from pyspark.sql import functions as F

    few = job.spark.createDataFrame(pa.table({"item_id": pa.array(ids, pa.string())}))
    found: list[_Row] = (
        rows.join(F.broadcast(few), "item_id", how="left_semi").toArrow().to_pylist()
    )
    return found
