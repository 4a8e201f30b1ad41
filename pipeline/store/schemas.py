"""Every table's columns, and what is derived from them: Spark's DDL, the check, the digest."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.errors import StageError
from pipeline.storage.list_schemas import (
    CANDIDATES,
    CHOSEN,
    EDITS,
    FILLED,
    LISTS,
    NEIGHBORS,
    PINNED,
    REJECTED_EDITS,
    TITLE_WORDS,
    TOPS,
    list_of,
)

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

ITEMS = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("category", pa.string()),
        ("group_id", pa.string()),
        ("brand", pa.string()),
        ("locale", pa.string()),
        ("image_url", pa.string()),
        ("price", pa.float64()),
        ("stock", pa.float64()),
    ]
)
# The types of a catalogue's further columns, which items and details have after their own.
_FURTHER = {
    "string": pa.string(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
}


def items_schema(further: Mapping[str, str]) -> pa.Schema:
    """The columns of an items table.

    Args:
        further: the types of the further columns, as in catalogue.types.
    """
    return pa.schema([*ITEMS, *((name, _FURTHER[kind]) for name, kind in further.items())])


# `row` is the row as it was read, in JSON.
QUARANTINE = pa.schema(
    [("item_id", pa.string()), ("reasons", list_of(pa.string())), ("row", pa.string())]
)
# Tokens are separated by single spaces, which Spark reads many times faster than arrays.
# `text` is a hash of the cleaned title and description.
TOKENS = pa.schema(
    [
        ("item_id", pa.string()),
        ("title_tokens", pa.string()),
        ("description_tokens", pa.string()),
        ("text", pa.binary()),
    ]
)


def tokens_schema(fields: Iterable[str]) -> pa.Schema:
    """The columns of a tokens table.

    Args:
        fields: the columns of the tokens of each field; `text` is a hash of them too.
    """
    return pa.schema([*TOKENS, *((name, pa.string()) for name in fields)])


# Items that differ from those that the tokens are built on; `change` is added, changed or removed.
CHANGES = pa.schema([("item_id", pa.string()), ("change", pa.string())])
# Vectors are rounded to float16 here, once; null where no token has a vector.
# `half` is the same vector in little-endian float16: Spark reads a binary value many times faster
# than a list of floats.
EMBEDDINGS = pa.schema(
    [
        ("item_id", pa.string()),
        ("vector", list_of(pa.float32())),
        ("tokens", pa.int32()),
        ("half", pa.binary()),
    ]
)
# The rows that came into the lists table, and those that left it, since the version that it is
# built on.
ARRIVALS = LISTS
DEPARTURES = pa.schema([("item_id", pa.string()), ("list", pa.int32())])
# What the quantiser is trained on, as long as the driver reads it; `order` is a hash of the id.
TRAINING_VECTORS = pa.schema(
    [("order", pa.int64()), ("item_id", pa.string()), ("vector", pa.binary())]
)
# Items of the list `home` probe the list `probed`.
REACH = pa.schema([("home", pa.int32()), ("probed", pa.int32())])
_SIMILAR = pa.struct([("similar_id", pa.string()), ("score", pa.float32())])
# The mean cosine of an item to its nearest others, rounded.
CROWDING = pa.schema([("item_id", pa.string()), ("crowding", pa.float64())])
# The queries that recall is measured on and that nprobe is chosen on, and some more, in the order
# of a hash of their id, `order`. `vector` and `list` are the lists table's. `neighbors` are some
# more true neighbours than k, best first, each with its cosine and the list that it is in; null
# where they were not searched.
GROUND_TRUTH = pa.schema(
    [
        ("item_id", pa.string()),
        ("order", pa.int64()),
        ("list", pa.int32()),
        ("vector", pa.binary()),
        ("neighbors", list_of(pa.struct([*_SIMILAR, ("list", pa.int32())]))),
    ]
)
SIMILAR_ITEMS = pa.schema(
    [
        ("item_id", pa.string()),
        ("rank", pa.int32()),
        ("similar_id", pa.string()),
        ("score", pa.float32()),
    ]
)
# The table of a run with publish.reasons has one more: the words that carry most of the score.
SHARED_WORDS = pa.field("shared_words", list_of(pa.string()))
# The lists of a sample of the items, by which a version is compared with the one before it: those
# with the lowest values of a hash of the id, `order`. `similar_ids` are in the order of their rank.
SAMPLE_LISTS = pa.schema(
    [("item_id", pa.string()), ("order", pa.int64()), ("similar_ids", list_of(pa.string()))]
)
# Items with fewer than k neighbours; `reason` is one of pipeline.store.reason_codes.
SHORT_LISTS = pa.schema(
    [("item_id", pa.string()), ("neighbors", pa.int32()), ("reason", pa.string())]
)
# What is shown of an item, and its list, null where it has no vector. Sorted by item_id, in small
# row groups, so that one item is read without the others.
DETAILS = pa.schema(
    [*(field for field in ITEMS if field.name != "description"), ("list", pa.int32())]
)
# A few items for the run's page: see stages/publish/examples.py. `shown` are those with
# `neighbors`, best first; `mapped` are those with `half`, the embeddings', if they have a vector.
# The tokens of fields are further columns.
EXAMPLES = pa.schema(
    [
        ("item_id", pa.string()),
        ("shown", pa.bool_()),
        ("mapped", pa.bool_()),
        ("title", pa.string()),
        ("category", pa.string()),
        ("brand", pa.string()),
        ("image_url", pa.string()),
        ("title_tokens", pa.string()),
        ("description_tokens", pa.string()),
        ("half", pa.binary()),
        ("neighbors", list_of(_SIMILAR)),
    ]
)
# With publish.reasons, a pair has its words here too.
EXPLAINED_EXAMPLES = EXAMPLES.set(
    EXAMPLES.get_field_index("neighbors"),
    pa.field("neighbors", list_of(pa.struct([*_SIMILAR, SHARED_WORDS]))),
)

SCHEMAS: dict[str, pa.Schema] = {
    "items": ITEMS,
    "quarantine": QUARANTINE,
    "tokens": TOKENS,
    "changes": CHANGES,
    "embeddings": EMBEDDINGS,
    "lists": LISTS,
    "candidates": CANDIDATES,
    "arrivals": ARRIVALS,
    "departures": DEPARTURES,
    "training_vectors": TRAINING_VECTORS,
    "neighbors": NEIGHBORS,
    "reach": REACH,
    "crowding": CROWDING,
    "chosen": CHOSEN,
    "tops": TOPS,
    "filled": FILLED,
    "edits": EDITS,
    "rejected_edits": REJECTED_EDITS,
    "pinned": PINNED,
    "ground_truth": GROUND_TRUTH,
    "similar_items": SIMILAR_ITEMS,
    "title_words": TITLE_WORDS,
    "sample_lists": SAMPLE_LISTS,
    "short_lists": SHORT_LISTS,
    "details": DETAILS,
    "examples": EXAMPLES,
}

# Tables that may have columns after those of their schema.
EXTENSIBLE = {"items", "tokens", "details", "similar_items"}
# Tables that are read list by list.
CLUSTERED = {"lists", "candidates", "neighbors"}
# Tables each of whose batches becomes a row group.
IN_SMALL_GROUPS = {"details", "title_words"}
# Tables that hold the difference between two versions: their version is named by both.
MOVES = {"changes", "arrivals", "departures"}
# Columns that hold vectors.
VECTORS = {
    "embeddings": ("vector", "half"),
    "lists": ("vector",),
    "arrivals": ("vector",),
    "candidates": ("vector",),
    "training_vectors": ("vector",),
}

_SPARK_NAMES = {
    pa.string(): "string",
    pa.binary(): "binary",
    pa.bool_(): "boolean",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.date32(): "date",
}


def spark_type(kind: pa.DataType) -> str:
    """Spark's name of an Arrow type.

    Raises:
        KeyError: no table has a column of this type.
    """
    if pa.types.is_list(kind):
        return f"array<{spark_type(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{','.join(f'{field.name}:{spark_type(field.type)}' for field in kind)}>"
    return _SPARK_NAMES[kind]


def spark_types(schema: pa.Schema) -> dict[str, str]:
    """Spark's name of each column's type, by column."""
    return {field.name: spark_type(field.type) for field in schema}


def ddl(schema: pa.Schema) -> str:
    """A schema as Spark takes it: column and type, separated by commas."""
    return ", ".join(f"{name} {kind}" for name, kind in spark_types(schema).items())


def check(frame: "DataFrame", table: str) -> "DataFrame":
    """The frame with the columns of the table's schema, in the schema's order.

    Raises:
        StageError: naming every column that is missing or of another type.
    """
    present = dict(frame.dtypes)
    problems = [
        f"{name} is {present.get(name, 'missing')}, not {kind}"
        for name, kind in spark_types(SCHEMAS[table]).items()
        if present.get(name) != kind
    ]
    if problems:
        raise StageError(f"table {table}: {'; '.join(problems)}")
    return frame.select(*schema_of(frame, table).names)


def schema_of(frame: "DataFrame", table: str) -> pa.Schema:
    """The schema of a frame that becomes a table.

    Args:
        frame: rows with the columns of the table's schema, and others.
        table: the table; only one of EXTENSIBLE keeps the others, after its own.
    """
    schema = SCHEMAS[table]
    if table not in EXTENSIBLE:
        return schema
    arrow_types = {spark: arrow for arrow, spark in _SPARK_NAMES.items()}
    others = [(name, kind) for name, kind in frame.dtypes if name not in schema.names]
    return pa.schema([*schema, *((name, arrow_types[kind]) for name, kind in others)])


def digest(frame: "DataFrame") -> str:
    """A digest of a frame's rows, whatever their order and files: 128 bits of summed hashes."""
    return digest_with(frame)[0]


def digest_with(frame: "DataFrame", **sums: "Column") -> tuple[str, dict[str, Any]]:
    """A frame's digest, and aggregates of the frame that the same scan computes.

    Args:
        frame: the rows.
        sums: aggregates, by name.

    Returns:
        the digest, 32 hexadecimal digits, and the value of each aggregate by name.
    """
    halves = digest_halves(frame.columns)
    first = frame.agg(*halves, *(value.alias(name) for name, value in sums.items())).first()
    assert first is not None  # noqa: S101 - an aggregate has one row
    return digest_text(first[:2]), dict(zip(sums, first[2:], strict=True))


def digest_halves(columns: Sequence[str], condition: "Column | None" = None) -> "list[Column]":
    """Two aggregates of which `digest_text` makes the digest of rows.

    Args:
        columns: of the rows.
        condition: which rows count; None for all.
    """
    from pyspark.sql import functions as F

    # Spark's hash skips nulls, so their positions are hashed too.
    values = [F.col(name) for name in columns]
    parts = [*values, *(value.isNull() for value in values)]
    hashes = [F.xxhash64(F.lit(salt), *parts).cast("decimal(20,0)") for salt in (1, 2)]
    if condition is not None:
        hashes = [F.when(condition, value) for value in hashes]
    return [F.coalesce(F.sum(value), F.lit(0)) for value in hashes]


def digest_text(halves: Iterable[int]) -> str:
    """The digest, 32 hexadecimal digits, of the values of `digest_halves`."""
    return "".join(f"{int(half) % 2**64:016x}" for half in halves)
