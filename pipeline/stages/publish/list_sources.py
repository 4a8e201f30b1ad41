"""The sources of the lists that are published: an item in several has the list of the first."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval.rules import Bools
from pipeline.stages.publish import pair_sums
from pipeline.storage.list_schemas import list_of
from pipeline.store.schemas import SIMILAR_ITEMS

if TYPE_CHECKING:
    from pyspark import SparkContext

# Which source a list comes from, while it is sent to its file.
SOURCE = pa.field("source", pa.int8())


def similar_items_schema(*, ranked: bool, with_reason: bool) -> pa.Schema:
    """The columns of the similar-item table.

    Args:
        ranked: whether there is a column of what the rank follows beside the score, with [rank].
        with_reason: whether there is one of why a row is shown that was not found by its score,
            with [edits] and [fallback].
    """
    more = [("ranked_by", pa.float32())] * ranked + [("reason", pa.string())] * with_reason
    return pa.schema([*SIMILAR_ITEMS, *more])


def lists_schema(pairs: pa.Schema) -> pa.Schema:
    """The columns of lists that become rows of the similar-item table: item_id, neighbors.

    Args:
        pairs: the columns of that table; those after the rank are fields of a neighbour.
    """
    neighbor = pa.struct(list(pairs)[2:])
    return pa.schema([("item_id", pa.string()), ("neighbors", list_of(neighbor))])


class SentPairs:
    """The digest of the pairs that are to be written; a repeated task counts again.

    Those that tasks send, less those of the lists that a list of another source replaces.
    """

    def __init__(self, context: "SparkContext") -> None:
        self._sums = {name: context.accumulator(0) for name in (pair_sums.PAIRS, pair_sums.DIGEST)}

    def add(self, pairs: pa.RecordBatch, sign: int = 1) -> None:
        """Count pairs; called on an executor. With the sign -1 they do not count any more."""
        for name, value in pair_sums.digest_sums(pairs).items():
            self._sums[name].add(sign * value)

    def sums(self) -> dict[str, int]:
        """What was counted."""
        return {name: counter.value for name, counter in self._sums.items()}


def with_source(rows: pa.RecordBatch, number: int) -> pa.RecordBatch:
    """Rows with the source that they come from."""
    return rows.append_column(SOURCE, pa.array(np.full(rows.num_rows, number, np.int8)))


def of_first_source(pairs: pa.RecordBatch, sent: SentPairs, schema: pa.Schema) -> pa.RecordBatch:
    """The pairs of the first source that has their item; the others do not count as sent.

    Args:
        pairs: pairs with their `source`, sorted by item_id.
        sent: what was counted.
        schema: of the pairs.
    """
    is_first = is_of_first_source(pairs)
    if is_first.all():
        return pairs
    sent.add(pairs.filter(pa.array(~is_first)).select(schema.names), -1)
    return pairs.filter(pa.array(is_first))


def is_of_first_source(rows: pa.RecordBatch) -> Bools:
    """Which lists are of the first source that has their item: bool[n].

    Args:
        rows: lists, or pairs, with their `source`, sorted by item_id.
    """
    sources, ids = rows[SOURCE.name].to_numpy(), rows["item_id"]
    if not len(ids) or (sources == sources[0]).all():
        return np.ones(len(ids), dtype=bool)
    is_new = np.ones(len(ids), dtype=bool)
    is_new[1:] = np.asarray(pc.not_equal(ids[1:], ids[:-1]))
    first = np.minimum.reduceat(sources, np.flatnonzero(is_new))
    is_first: Bools = sources == first[np.cumsum(is_new) - 1]
    return is_first
