"""Where nprobe is chosen: how many lists a query probes for the target recall."""

import math
from dataclasses import dataclass

from pipeline.retrieval import recall
from pipeline.stages.index import current_quantiser
from pipeline.stages.neighbors import stored_truth
from pipeline.stages.neighbors.ground_truth import GroundTruth, Sample
from pipeline.stages.neighbors.recall_sample import SampleSettings
from pipeline.stages.neighbors.search_context import SearchContext, read_quantiser
from pipeline.store.stage_record import StageRecord

# By so many standard errors of the pilot sample its recall exceeds the target when nprobe is
# chosen: then the recall of another sample of the same size is below it in 5% of all cases.
_ERRORS = recall.CONFIDENCE * math.sqrt(2)


@dataclass(frozen=True)
class Choice:
    """How many lists are probed, and what recall is measured with.

    Attributes:
        nprobe: how many lists a query probes.
        measured: the queries that recall is measured on.
        truth: the true neighbours of these and of the pilot sample.
    """

    nprobe: int
    measured: Sample
    truth: GroundTruth


def choose_nprobe(context: SearchContext, base: StageRecord | None) -> Choice:
    """Choose nprobe, and find the true neighbours of the sample that recall is measured on.

    nprobe is the setting neighbors.nprobe; or what an earlier run chose with this quantiser, if it
    still gives the target recall on a pilot sample; or what the pilot sample needs. The pilot
    sample has no item of the sample that recall is measured on.

    Args:
        context: what the search works with.
        base: the neighbours that belong to the lists that today's are built on, or None.
    """
    job, section = context.job, context.job.config.neighbors
    needs_pilot = context.centroids is not None and not section.nprobe
    job.line.note = "exact search for a sample"
    settings = SampleSettings(section.recall_sample, needs_pilot, section.seed)
    truth = stored_truth.find_truth(context, settings, base)
    job.line.note = ""
    measured, pilot = (truth.sample(part, section.k) for part in truth.sampled.parts)
    if context.centroids is None:
        return Choice(context.nlist, measured, truth)
    if section.nprobe:
        return Choice(min(section.nprobe, context.nlist), measured, truth)
    return Choice(_needed_nprobe(context, pilot), measured, truth)


def _needed_nprobe(context: SearchContext, pilot: Sample) -> int:
    """An earlier run's nprobe if the pilot sample reaches the target with it, or what it needs."""
    job, target = context.job, context.job.config.neighbors.target_recall
    depths = pilot.depths(read_quantiser(job))
    previous = current_quantiser.previous_nprobe(job)
    if previous and recall.nprobe_for_recall(depths, context.nlist, target, 0) <= previous:
        return previous
    needed = recall.nprobe_for_recall(depths, context.nlist, target, _ERRORS)
    return max(needed, previous or 1)
