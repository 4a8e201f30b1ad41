"""Where nprobe is chosen: how many lists a query probes for the target recall."""

from pipeline.retrieval import recall
from pipeline.stages.index import current_quantiser
from pipeline.stages.neighbors import ground_truth
from pipeline.stages.neighbors.search_context import SearchContext, read_centroids


def choose_nprobe(context: SearchContext) -> tuple[int, ground_truth.Sample]:
    """Choose nprobe, and draw the sample that recall is measured on.

    nprobe is the setting neighbors.nprobe; or what an earlier run chose with this quantiser; or
    what a pilot sample needs, which is not the sample that is returned. In the last two cases it is
    at least what the returned sample needs, since the finished table is measured on that.

    Returns:
        nprobe, and the sample.
    """
    job, section = context.job, context.job.config.neighbors
    previous = current_quantiser.previous_nprobe(job)
    is_chosen = context.centroids is not None and not section.nprobe
    needs_pilot = is_chosen and previous is None
    max_queries = section.recall_sample * (2 if needs_pilot else 1)
    job.line.note = "exact search for a sample"
    sample = ground_truth.draw_sample(
        context.lists,
        context.queries,
        context.query_count,
        max_queries,
        ground_truth.TruthSettings(section.k, context.search.rules),
        section.seed,
    )
    job.line.note = ""
    if not is_chosen:
        is_exact = context.centroids is None
        return context.nlist if is_exact else min(section.nprobe, context.nlist), sample
    # In a small catalogue there may be no queries left for the pilot sample.
    measured, pilot = sample[: section.recall_sample], sample[section.recall_sample :]
    centroids, target = read_centroids(job), section.target_recall
    depths = (pilot if pilot.ids else sample).depths(centroids)
    expected = previous or recall.nprobe_for_recall(depths, context.nlist, target)
    # The recall that the finished table will have on this sample is known beforehand, because the
    # table holds the best of the lists probed.
    shown = recall.nprobe_for_recall(measured.depths(centroids), context.nlist, target, 0)
    return max(expected, shown), measured
