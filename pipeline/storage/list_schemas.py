"""Columns of the tables that `pipeline.retrieval` makes or reads: lists, neighbors and others.

`pipeline.retrieval` makes their rows and `pipeline.store` writes them, and neither imports the
other, so the columns are declared below both. All other tables are in `pipeline.store.schemas`.
"""

import pyarrow as pa


def list_of(value: pa.DataType) -> pa.DataType:
    """The type of a list; its values are called `element`, as Spark calls them in Parquet files."""
    return pa.list_(pa.field("element", value))


# One row for every item with a vector.
#   list: the list that the item is in, the nearest to its vector.
#   probes: its nearest lists, nearest first, in little-endian int32; null where every list is
#     searched.
#   vector: in little-endian float16, the column `half` of the embeddings table.
# The rows are in the order of the lists, in each file equal vectors together, then by item_id.
LISTS = pa.schema(
    [
        ("item_id", pa.string()),
        ("list", pa.int32()),
        ("probes", pa.binary()),
        ("vector", pa.binary()),
    ]
)

# What the rules read of an item; a column is null where the config has no such rule.
#   same: has to be equal in an item and its neighbours.
#   kind: one number for items that all rules treat alike.
#   eligible: whether the item may be a neighbour.
#   asks: whether the item gets neighbours.
#   price: in the catalogue's currency.
#   differ, capped, matches: hashes of values, 0 where an item has no value: those in which an item
#     and its neighbours have to differ, those that caps count, those whose equality is a boost.
#   edits: what is added to the scores of some neighbours by hand; minus infinity for those that may
#     not be its neighbours.
#   boost: what is added to its score as a neighbour of any item.
#   edited_as_item, edited_as_neighbor: the edits by conditions of which it is the item, and the
#     neighbour: a bit for each.
TRAITS = pa.schema(
    [
        ("same", pa.string()),
        ("kind", pa.int64()),
        ("eligible", pa.bool_()),
        ("asks", pa.bool_()),
        ("price", pa.float64()),
        ("differ", list_of(pa.int64())),
        ("capped", list_of(pa.int64())),
        ("edits", list_of(pa.struct([("similar_id", pa.string()), ("boost", pa.float64())]))),
        ("matches", list_of(pa.int64())),
        ("boost", pa.float64()),
        ("edited_as_item", pa.int64()),
        ("edited_as_neighbor", pa.int64()),
    ]
)

# The lists table with the traits of each item.
CANDIDATES = pa.schema([*LISTS, *TRAITS])

# The traits of the two sides of a pair.
QUERY_TRAITS = ("same", "price", "differ", "edits", "matches", "edited_as_item")
ITEM_TRAITS = (
    *("same", "kind", "price", "differ", "capped", "matches", "boost"),
    "edited_as_neighbor",
)

#   score: the cosine.
#   ranked_by: the cosine with the boosts, by which neighbours are ranked; null if there are none.
#     In a list that was chosen from candidates, the value that the neighbour was chosen by.
NEIGHBOR = pa.struct(
    [("similar_id", pa.string()), ("score", pa.float32()), ("ranked_by", pa.float32())]
)
# One row for every item with a vector that gets neighbours, in the order of the lists.
#   neighbors: some more than k, best first.
#   floor: the last neighbour that there was room for. Items that rank after it may be missing; null
#     where none is missing.
#   probes: how many lists were searched. While the rows are made it is null where the caps left too
#     few of the candidates that were looked at: then more candidates have to be.
NEIGHBORS = pa.schema(
    [
        ("item_id", pa.string()),
        ("list", pa.int32()),
        ("neighbors", list_of(NEIGHBOR)),
        ("floor", NEIGHBOR),
        ("probes", pa.int32()),
    ]
)

# What is shown of an item. `reason` says why, if not by its score: that it was pinned; or the entry
# of fallback.order that has filled the list behind the neighbours: then it has no score.
SHOWN_NEIGHBOR = pa.struct([*NEIGHBOR, ("reason", pa.string())])
# Lists with pins, of the items that have any.
PINNED = pa.schema([("item_id", pa.string()), ("neighbors", list_of(SHOWN_NEIGHBOR))])

# Lists that are chosen from the neighbors of each item: ranked again, diverse, or both.
CHOSEN = pa.schema([("item_id", pa.string()), ("neighbors", list_of(NEIGHBOR))])

# An item that may fill lists, with what the rules on pairs read of it.
TOP_ITEM = pa.struct(
    [
        ("item_id", pa.string()),
        *(TRAITS.field(name) for name in ("price", "differ", "capped", "edited_as_neighbor")),
    ]
)
# The first items of each group that lists are filled from.
#   entry: the position in fallback.order.
#   value: the hash of the value that the items share; 0 if the entry takes all items.
#   same: the trait that the items share, empty if there is no such rule.
#   items: the best first.
TOPS = pa.schema(
    [
        ("entry", pa.int32()),
        ("value", pa.int64()),
        ("same", pa.string()),
        ("items", list_of(TOP_ITEM)),
    ]
)
# The whole lists of the items that something was filled in.
FILLED = pa.schema([("item_id", pa.string()), ("neighbors", list_of(SHOWN_NEIGHBOR))])

# The edits of [edits] and rules.deny that are in force. Those by conditions are not here.
#   item_id: the item; the neighbour of an edit of all items.
#   similar_id: the neighbour; null in an edit of all items.
#   action: boost, deny or pin.
#   value: what is added to the score, minus infinity if the pair is denied; the rank of a pin.
EDITS = pa.schema(
    [
        ("item_id", pa.string()),
        ("similar_id", pa.string()),
        ("action", pa.string()),
        ("value", pa.float64()),
    ]
)
# Rows of [edits] that were not followed, as they were written, and why. `items` counts the lists
# that a pin was left out of; null where the row itself makes no sense.
REJECTED_EDITS = pa.schema(
    [
        *((name, pa.string()) for name in ("item_id", "item_where", "similar_id")),
        *((name, pa.string()) for name in ("similar_where", "action", "value", "from", "until")),
        ("reason", pa.string()),
        ("items", pa.int64()),
    ]
)

# The words of the items' titles, from which those of a pair are found: see
# pipeline/retrieval/shared_words.py. Sorted by item_id, in small row groups.
TITLE_WORDS = pa.schema([("item_id", pa.string()), ("words", pa.binary()), ("tokens", pa.string())])
