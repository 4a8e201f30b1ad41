"""Cost of a full night: hours and shuffled bytes, extrapolated from measurements.

The measurements are those of benchmarks/README.md, made on a machine with two cores and without a
network: a cluster's network, disks and stragglers are not in them.
"""

import math
from dataclasses import dataclass

from pipeline.cluster.sizing.requirements import Requirements, list_count
from pipeline.config.sections import Config
from pipeline.retrieval import list_training, parents, quantiser

# Microseconds of one core for an item, unless the name says otherwise.
# nightly.py, 500,000 items of 291 characters on two cores: ingest 11.6 s, tokenize 146.1 s.
INGEST_US, TOKENIZE_US_PER_CHARACTER = 46.0, 2.0
CHARACTERS = 291
# embedding.py, blend with 300 dimensions: 69,203 items of 16 tokens a second on two cores.
EMBED_US = 29.0
# neighbors.py, 300 dimensions: 26 us an item on two cores.
NEIGHBORS_US = 52.0
# neighbors.py, a distance on two cores: 1.08 ns at 100 dimensions and 4.9 ns at 300; other
# dimensions are interpolated and extrapolated linearly.
DISTANCE_NS, DISTANCE_NS_PER_DIMENSION, DISTANCE_DIM = 2 * 1.08, 2 * (4.9 - 1.08) / 200, 100
# nightly.py, 500,000 items: publish 7.3 s and the gate 2.2 s on two cores.
PUBLISH_US = 38.0
# neighbors.py, "Carried to larger catalogues": probes, how uneven lists are, groups a query.
PROBES, UNEVENNESS, GROUPS = 7, 1.3, 1.5
RECALL_SAMPLE = 2_000
# lists.py: parents that a vector probes; a comparison takes so many times as long as one with all
# lists, because the products are small.
PARENTS_PROBED, SMALL_PRODUCT = 16, 2.0
# Six to train the lists, and one to count what each has.
TRAINING_PASSES = 7
# The lists table is shuffled once: an item's vector, and so many bytes for its id and probes.
LIST_ROW_BYTES = 100


@dataclass(frozen=True)
class Cost:
    """Cost of a full night.

    Attributes:
        core_hours: core-hours of each stage, on executors.
        training_core_hours: of the quantiser, on the driver, in nights that train one.
        shuffle_bytes: bytes sent by the neighbours' join, and for the lists table.
        lists: number of lists of the index.
        probes: number of lists searched for an item.
        assumptions: what the figures rest on, in words.
    """

    core_hours: dict[str, float]
    training_core_hours: float
    shuffle_bytes: dict[str, float]
    lists: int
    probes: int
    assumptions: tuple[str, ...]

    def hours(self, cores: int) -> float:
        """Hours on so many cores."""
        return sum(self.core_hours.values()) / cores


def estimate(config: Config, items: int, needs: Requirements, characters: int = CHARACTERS) -> Cost:
    """Estimate the cost of a full night.

    Args:
        config: the sections [index] and [neighbors] are read.
        items: number of items in the catalogue.
        needs: the model and its vectors.
        characters: mean length of an item's title and description together.
    """
    section, dim = config.neighbors, needs.dim
    lists = list_count(config, items)
    probes = min(section.nprobe or PROBES, lists)
    distance_ns = max(0.3, DISTANCE_NS + DISTANCE_NS_PER_DIMENSION * (dim - DISTANCE_DIM))
    points = quantiser.sample_size(lists, config.index.sample_items) if lists > 1 else 0
    compared = comparisons(lists, PARENTS_PROBED)
    in_training = comparisons(lists, list_training.PROBED_IN_TRAINING)
    row_bytes = (GROUPS - 1) * (2 * dim + 40 + 4 * probes) + GROUPS * 17 * (section.k + 2)
    assumptions = [
        f"{characters} characters an item; every item new; the model is there already",
        f"{lists:,} lists, {probes} probes, lists uneven by {UNEVENNESS}, {GROUPS} groups a query",
        f"putting an item into a list takes as long as {compared:,.0f} distances",
        f"a distance of {dim} dimensions takes a core {distance_ns:.1f} ns",
        "measured on two cores, without a cluster's network, disks and stragglers",
    ]
    if needs.engine != "mapped":
        assumptions.append("embed takes as long as with a mapped model, which was not measured")
    return Cost(
        core_hours=_core_hours(items, lists, probes, compared, characters, distance_ns),
        training_core_hours=TRAINING_PASSES * points * in_training * distance_ns / 3.6e12,
        shuffle_bytes={
            "neighbors": items * row_bytes,
            "lists": items * float(2 * dim + LIST_ROW_BYTES),
        },
        lists=lists,
        probes=probes,
        assumptions=tuple(assumptions),
    )


def comparisons(lists: int, probed: int) -> float:
    """What putting a vector into one of the lists costs, in distances of a large product.

    Args:
        lists: number of lists.
        probed: how many parents a vector probes, if the lists have parents.
    """
    if lists == 1:
        return 0.0
    if lists < list_training.PARENTS_FROM:
        return float(lists)
    count = parents.PER_ROOT * math.sqrt(lists)
    return SMALL_PRODUCT * (count + probed * lists / count)


def _core_hours(
    items: int,
    lists: int,
    probes: int,
    compared: float,
    characters: int,
    distance_ns: float,
) -> dict[str, float]:
    scored_pairs = items * probes * items / lists * UNEVENNESS if lists > 1 else float(items) ** 2
    recall_pairs = float(items) * RECALL_SAMPLE
    microseconds = {
        "ingest": INGEST_US * items,
        "tokenize": TOKENIZE_US_PER_CHARACTER * characters * items,
        "embed": EMBED_US * items,
        "index": items * compared * distance_ns / 1000,
        "neighbors": NEIGHBORS_US * items + (scored_pairs + recall_pairs) * distance_ns / 1000,
        "publish": PUBLISH_US * items,
    }
    return {stage: value / 3.6e9 for stage, value in microseconds.items()}
