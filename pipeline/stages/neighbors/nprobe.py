"""Where nprobe is chosen: how many lists a query probes for the target recall."""

import math

from pipeline.retrieval import recall
from pipeline.stages.context import Job
from pipeline.stages.index import current_quantiser
from pipeline.stages.neighbors import ground_truth
from pipeline.stages.neighbors.search_context import SearchContext, read_quantiser

# By so many standard errors of the pilot sample its recall exceeds the target when nprobe is
# chosen: then the recall of another sample of the same size is below it in 5% of all cases.
_ERRORS = recall.CONFIDENCE * math.sqrt(2)


def choose_nprobe(context: SearchContext) -> tuple[int, ground_truth.Sample]:
    """Choose nprobe, and draw the sample that recall is measured on.

    nprobe is the setting neighbors.nprobe; or what an earlier run chose with this quantiser, if it
    still gives the target recall on a pilot sample; or what the pilot sample needs. The pilot
    sample has no item of the sample that is returned, and another catalogue has other samples.

    Returns:
        nprobe, and the sample.
    """
    job, section = context.job, context.job.config.neighbors
    needs_pilot = context.centroids is not None and not section.nprobe
    job.line.note = "exact search for a sample"
    sample = ground_truth.draw_sample(
        context.item_rows(ground_truth.ITEM_COLUMNS),
        context.queries,
        context.query_count,
        section.recall_sample * (2 if needs_pilot else 1),
        ground_truth.TruthSettings(section.k, context.search.rules),
        section.seed,
        _catalogue(job),
    )
    job.line.note = ""
    if context.centroids is None:
        return context.nlist, sample
    if section.nprobe:
        return min(section.nprobe, context.nlist), sample
    # A small catalogue's queries are shared out; a single one has to serve for both.
    size = min(section.recall_sample, len(sample.ids) // 2)
    measured, pilot = sample[size:], sample[:size] if size else sample
    depths, target = pilot.depths(read_quantiser(job)), section.target_recall
    previous = current_quantiser.previous_nprobe(job)
    if previous and recall.nprobe_for_recall(depths, context.nlist, target, 0) <= previous:
        return previous, measured
    needed = recall.nprobe_for_recall(depths, context.nlist, target, _ERRORS)
    return max(needed, previous or 1), measured


def _catalogue(job: Job) -> str:
    """What names the catalogue's content; empty where there are vectors only."""
    return str(job.record("ingest").outputs["content"]) if "ingest" in job.fingerprints else ""
