"""How long a full night takes and how much it sends: what was measured, carried to other sizes.

The figures are of benchmarks/README.md, of a machine of two cores without network: a cluster's
network, disks and stragglers are not in them.
"""

from dataclasses import dataclass

from pipeline.cluster.sizing.demand import Demand, lists
from pipeline.config.sections import Config
from pipeline.retrieval import quantiser

# nightly.py, 500,000 items of 291 characters on two cores: ingest 11.6 s, tokenize 146.1 s.
INGEST_US, TOKENIZE_US_A_CHARACTER = 46.0, 2.0
CHARACTERS = 291
# embedding.py, blend with 300 dimensions: 69,203 items of 16 tokens a second on two cores.
EMBED_US = 29.0
# neighbors.py, 300 dimensions: 26 us an item on two cores.
NEIGHBORS_US = 52.0
# neighbors.py, a distance on two cores: 1.08 ns at 100 dimensions and 4.9 ns at 300; between and
# beyond them in a line.
DISTANCE_NS, DISTANCE_NS_A_DIMENSION, DISTANCE_DIM = 2 * 1.08, 2 * (4.9 - 1.08) / 200, 100
# nightly.py, 500,000 items: publish 7.3 s and the gate 2.2 s on two cores.
PUBLISH_US = 38.0
# neighbors.py, "Carried to larger catalogues": probes, how uneven lists are, groups a query.
PROBES, UNEVEN, GROUPS = 7, 1.3, 1.5
SAMPLES = 2_000
TRAINING_PASSES = 6
# The lists table travels once: an item's vector, id and probes.
LIST_ROW_BYTES = 100


@dataclass(frozen=True)
class Cost:
    """What a full night costs.

    Attributes:
        core_hours: of each stage, on executors.
        training: core-hours of the quantiser's, on the driver, in nights that train one.
        bytes: that the neighbours' join sends, and the lists table.
        lists: that the catalogue is cut into.
        probes: lists searched for an item.
        assumed: what this stands on, in words.
    """

    core_hours: dict[str, float]
    training: float
    bytes: dict[str, float]
    lists: int
    probes: int
    assumed: tuple[str, ...]

    def hours(self, slots: int) -> float:
        """Hours on so many cores."""
        return sum(self.core_hours.values()) / slots


def of(config: Config, items: int, asked: Demand, characters: int = CHARACTERS) -> Cost:
    """What a full night costs.

    Args:
        config: [index] and [neighbors] of it.
        items: in the catalogue.
        asked: the model and its vectors.
        characters: of an item's title and description together, in the mean.
    """
    section, dim = config.neighbors, asked.dim
    count = lists(config, items)
    probes = min(section.nprobe or PROBES, count)
    scored = items * probes * items / count * UNEVEN if count > 1 else float(items) * items
    into_lists = float(items) * count if count > 1 else 0.0
    samples = float(items) * SAMPLES
    points = quantiser.sample_size(count, config.index.sample_items) if count > 1 else 0
    nanoseconds = max(0.3, DISTANCE_NS + DISTANCE_NS_A_DIMENSION * (dim - DISTANCE_DIM))
    micro = {
        "ingest": INGEST_US * items,
        "tokenize": TOKENIZE_US_A_CHARACTER * characters * items,
        "embed": EMBED_US * items,
        "index": into_lists * nanoseconds / 1000,
        "neighbors": NEIGHBORS_US * items + (scored + samples) * nanoseconds / 1000,
        "publish": PUBLISH_US * items,
    }
    row = (GROUPS - 1) * (2 * dim + 40 + 4 * probes) + GROUPS * 17 * (section.k + 2)
    sent = {"neighbors": items * row, "lists": items * float(2 * dim + LIST_ROW_BYTES)}
    assumed = [
        f"{characters} characters an item; every item new; the model is there already",
        f"{count:,} lists, {probes} probes, lists uneven by {UNEVEN}, {GROUPS} groups a query",
        f"a distance of {dim} dimensions takes a core {nanoseconds:.1f} ns",
        "measured on two cores, without a cluster's network, disks and stragglers",
    ]
    if asked.engine != "mapped":
        assumed.append("embed takes as long as with a mapped model, which was not measured")
    hours = {stage: value / 3.6e9 for stage, value in micro.items()}
    training = TRAINING_PASSES * float(points) * count * nanoseconds / 3.6e12
    return Cost(hours, training, sent, count, probes, tuple(assumed))
