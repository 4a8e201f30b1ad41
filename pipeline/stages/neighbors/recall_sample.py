"""The queries that recall is measured on, and those that nprobe is chosen on.

They are the queries with the lowest seeded hashes of their item_id (bottom-k sampling). So the
sample is a random one of each night's catalogue, it does not depend on partitions, and it hardly
changes from night to night: an item that stays keeps its place, an arrival with a low hash enters,
and if one departs the next in the order of the hashes moves up. The last bit of the hash, which
says nothing about its rank, decides which of the two an item can be in: none is ever in both, and
none changes over to the other.

What a sample that stays means for the interval that is reported with recall: it is that of one
night. The intervals of several nights do not add up to a narrower one, because the error is nearly
the same each night. A change of recall from one night to the next is measured far more precisely
than the interval says.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.retrieval import packed_batches
from pipeline.retrieval.exact_search import TruthQueries
from pipeline.retrieval.ranking import Int64
from pipeline.retrieval.rules import Rules, Traits, with_traits
from pipeline.retrieval.vectors import from_bytes
from pipeline.spark.sampling import MAX_HASH, hash_bound, rows_with_margin, seeded_hash
from pipeline.storage.list_schemas import TRAITS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_PURPOSE = "recall"
# `order` is the hash.
SAMPLED = pa.schema(
    [
        ("item_id", pa.string()),
        ("order", pa.int64()),
        ("list", pa.int32()),
        ("vector", pa.binary()),
        *TRAITS,
    ]
)
_BY_HASH = [("order", "ascending"), ("item_id", "ascending")]


@dataclass(frozen=True)
class SampleSettings:
    """What the sample is.

    Attributes:
        size: how many queries each part has.
        has_pilot: whether there is a part that nprobe is chosen on.
        seed: of the hash.
    """

    size: int
    has_pilot: bool
    seed: int

    @property
    def drawn(self) -> int:
        """How many queries are drawn, about; some more than both parts have."""
        return rows_with_margin(self.size) * (2 if self.has_pilot else 1)


@dataclass(frozen=True)
class SampledQueries:
    """The queries with the lowest hashes.

    Attributes:
        rows: of SAMPLED, in the order of the hashes; some more than both parts have, which replace
            those that depart.
        bound: all queries with a hash up to this are among the rows.
        settings: what the sample is.
    """

    rows: pa.RecordBatch
    bound: int
    settings: SampleSettings

    @cached_property
    def parts(self) -> tuple[Int64, Int64]:
        """The rows that recall is measured on, and those that nprobe is chosen on.

        A few queries may all have the same last bit: then these have to serve for both.
        """
        size, numbers = self.settings.size, np.arange(self.rows.num_rows)
        if not self.settings.has_pilot:
            return numbers[:size], numbers[:0]
        is_pilot = (self.rows["order"].to_numpy() & 1).astype(bool)
        measured, pilot = numbers[~is_pilot][:size], numbers[is_pilot][:size]
        return (measured if len(measured) else pilot), (pilot if len(pilot) else measured)

    @property
    def is_complete(self) -> bool:
        """Whether both parts have their size, or there are no more queries."""
        parts = self.parts[: 1 + self.settings.has_pilot]
        return self.bound == MAX_HASH or all(len(part) == self.settings.size for part in parts)

    def truth_queries(self, numbers: Int64, rules: Rules) -> TruthQueries:
        """Some of the rows, as the exact search takes them under some rules."""
        rows = self.rows.take(pa.array(numbers))
        vectors = from_bytes(rows["vector"])
        return TruthQueries(rows["item_id"], vectors, rows["same"], Traits.from_rows(rows, rules))


def draw(queries: "DataFrame", count: int, settings: SampleSettings) -> SampledQueries:
    """Draw the sample.

    Args:
        queries: rows of the lists table, or of the candidates table.
        count: how many those are.
        settings: what the sample is.
    """
    expected = settings.drawn
    while True:
        bound = hash_bound(count, expected)
        sampled = SampledQueries(_rows_up_to(queries, bound, settings.seed), bound, settings)
        if sampled.is_complete:
            return sampled
        # Almost never: so few queries have hashes up to the bound by chance.
        expected *= 2


def update(
    before: SampledQueries, departures: pa.Array, arrivals: "DataFrame"
) -> SampledQueries | None:
    """The sample, brought up to date.

    Args:
        before: an earlier sample.
        departures: string[n], ids of items that are gone or have another vector.
        arrivals: rows of the lists table that are new.

    Returns:
        the sample; None if it has to be drawn, because too many have departed.
    """
    settings, bound = before.settings, before.bound
    staying = before.rows.filter(pc.invert(pc.is_in(before.rows["item_id"], departures)))
    entering = _rows_up_to(arrivals, bound, settings.seed)
    rows = pa.concat_batches([staying, entering]).sort_by(_BY_HASH)
    if rows.num_rows > 2 * settings.drawn:
        rows = rows.slice(0, settings.drawn)
        bound = rows["order"][-1].as_py()
    sampled = SampledQueries(rows, bound, settings)
    return sampled if sampled.is_complete else None


def _rows_up_to(queries: "DataFrame", bound: int, seed: int) -> pa.RecordBatch:
    """The queries with hashes up to a bound, as rows of SAMPLED in the order of the hashes."""
    from pyspark.sql import functions as F

    hashed = queries.withColumn("order", seeded_hash(seed, _PURPOSE))
    names = [name for name in SAMPLED.names if name in hashed.columns]
    table = hashed.where(F.col("order") <= F.lit(bound)).select(*names).toArrow()
    batches = (with_traits(b).select(SAMPLED.names).cast(SAMPLED) for b in table.to_batches())
    return packed_batches.concat(batches, SAMPLED).sort_by(_BY_HASH)
