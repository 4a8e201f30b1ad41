"""Every table's schema, as data, and its check."""

from typing import TYPE_CHECKING, Any

from pipeline.errors import StageError

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Schema = dict[str, str]

ITEMS: Schema = {
    "item_id": "string",
    "title": "string",
    "description": "string",
    "category": "string",
    "group_id": "string",
    "brand": "string",
    "locale": "string",
    "image_url": "string",
    "price": "double",
    "stock": "double",
}
# `row` is the row as it was read, in JSON.
QUARANTINE: Schema = {"item_id": "string", "reasons": "array<string>", "row": "string"}
# Tokens are separated by single spaces, which Spark reads many times faster than arrays.
# `text` is a hash of the cleaned title and description.
TOKENS: Schema = {
    "item_id": "string",
    "title_tokens": "string",
    "description_tokens": "string",
    "text": "binary",
}
# What has changed since the night that the tokens are built on: added, changed, removed.
CHANGES: Schema = {"item_id": "string", "change": "string"}
# Vectors are rounded to float16 here, once; null where no token has a vector.
# `half` is the same vector in little-endian float16: Spark reads a binary value many times faster
# than a list of floats.
EMBEDDINGS: Schema = {
    "item_id": "string",
    "vector": "array<float>",
    "tokens": "int",
    "half": "binary",
}
# `vector` is the embeddings' `half`; an item is in the list nearest to it. `probes` are the nearest
# lists, nearest first, in little-endian int32; null where every list is searched. In the order of
# the lists, equal vectors together.
LISTS: Schema = {"item_id": "string", "list": "int", "probes": "binary", "vector": "binary"}
# The lists table with what rules read of each item: see pipeline.retrieval.rules.TRAITS.
CANDIDATES: Schema = {
    **LISTS,
    "same": "string",
    "kind": "bigint",
    "eligible": "boolean",
    "asks": "boolean",
    "price": "double",
    "variant": "bigint",
    "capped": "array<bigint>",
    "denied": "array<string>",
}
# The rows of the lists table that came, and those that left, since the night it is built on.
ARRIVALS: Schema = LISTS
DEPARTURES: Schema = {"item_id": "string", "list": "int"}
# Items of the list `home` probe the list `probed`.
REACH: Schema = {"home": "int", "probed": "int"}
# `list` is the item's; `neighbors` are some more than k, best first; `floor` is the last that there
# was room for, null where all that there are have found room; `probes` is how many lists were
# searched. One row for every item with a vector that asks, in the order of the lists.
NEIGHBORS: Schema = {
    "item_id": "string",
    "list": "int",
    "neighbors": "array<struct<similar_id:string,score:float>>",
    "floor": "struct<similar_id:string,score:float>",
    "probes": "int",
}
SIMILAR_ITEMS: Schema = {
    "item_id": "string",
    "rank": "int",
    "similar_id": "string",
    "score": "float",
}
SHORT_LISTS: Schema = {"item_id": "string", "neighbors": "int", "reason": "string"}
# What is shown of an item, and its list, null where it has no vector. Sorted by item_id, in row
# groups that are small: one item is read without the others.
DETAILS: Schema = {name: ITEMS[name] for name in ITEMS if name != "description"} | {"list": "int"}
# A few items for the run's page: see stages/publish/examples.py. `shown` are those with
# `neighbors`, best first; `mapped` those with `half`, the embeddings', if they have a vector.
EXAMPLES: Schema = {
    "item_id": "string",
    "shown": "boolean",
    "mapped": "boolean",
    "title": "string",
    "category": "string",
    "brand": "string",
    "image_url": "string",
    "title_tokens": "string",
    "description_tokens": "string",
    "half": "binary",
    "neighbors": "array<struct<similar_id:string,score:float>>",
}

# Those that are read list by list.
CLUSTERED = {"lists", "candidates", "neighbors"}
# Those whose batches are row groups as they come.
IN_SMALL_GROUPS = {"details"}
# Those that tell from what to what: they depend on the night that is built on too.
MOVES = {"changes", "arrivals", "departures"}
# Columns that hold vectors.
VECTORS = {
    "embeddings": ("vector", "half"),
    "lists": ("vector",),
    "candidates": ("vector",),
}

SCHEMAS: dict[str, Schema] = {
    "items": ITEMS,
    "quarantine": QUARANTINE,
    "tokens": TOKENS,
    "changes": CHANGES,
    "embeddings": EMBEDDINGS,
    "lists": LISTS,
    "candidates": CANDIDATES,
    "arrivals": ARRIVALS,
    "departures": DEPARTURES,
    "neighbors": NEIGHBORS,
    "reach": REACH,
    "similar_items": SIMILAR_ITEMS,
    "short_lists": SHORT_LISTS,
    "details": DETAILS,
    "examples": EXAMPLES,
}


def ddl(table: str) -> str:
    """The table's schema as Spark takes it."""
    return ", ".join(f"{name} {kind}" for name, kind in SCHEMAS[table].items())


def check(frame: "DataFrame", table: str) -> "DataFrame":
    """The frame with the columns of the table's schema, in its order.

    Raises:
        StageError: naming every column that is missing or of another type.
    """
    found = dict(frame.dtypes)
    problems = [
        f"{name} is {found.get(name, 'missing')}, not {kind}"
        for name, kind in SCHEMAS[table].items()
        if found.get(name) != kind
    ]
    if problems:
        raise StageError(f"table {table}: {'; '.join(problems)}")
    return frame.select(*SCHEMAS[table])


def digest(frame: "DataFrame") -> str:
    """A digest of a frame's rows, whatever their order and files: 128 bits of summed hashes."""
    return digest_with(frame)[0]


def digest_with(frame: "DataFrame", **sums: "Column") -> tuple[str, dict[str, Any]]:
    """A frame's digest, and aggregates of it that are to be had by the way."""
    from pyspark.sql import functions as F

    # Spark's hash passes over nulls: where they are is hashed too.
    values = [F.col(name) for name in frame.columns]
    parts = [*values, *(value.isNull() for value in values)]
    halves = [
        F.coalesce(F.sum(F.xxhash64(F.lit(salt), *parts).cast("decimal(20,0)")), F.lit(0))
        for salt in (1, 2)
    ]
    first = frame.agg(*halves, *(value.alias(name) for name, value in sums.items())).first()
    assert first is not None  # noqa: S101 - an aggregate has one row
    text = "".join(f"{int(half) % 2**64:016x}" for half in first[:2])
    return text, dict(zip(sums, first[2:], strict=True))
