"""The plan of a search of the lists, for catalogues that no test can hold."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from pipeline.retrieval.groups import max_items_per_group, plan_by_work
from pipeline.retrieval.rules import NO_RULES
from pipeline.stages.neighbors.search import ListSearch, SearchCounts
from pipeline.store.clustered import ClusteredLayer, ClusteredTable

_MAX_CANDIDATES = 4_000_000


@pytest.mark.parametrize("items", [0, 1_000_000, 1_000_000_000])
@pytest.mark.parametrize("nprobe", [7, 112])
def test_a_task_of_the_merge_has_a_bounded_number_of_candidates(items: int, nprobe: int) -> None:
    nlist = 75_000
    shares = np.random.default_rng(0).lognormal(sigma=0.5, size=nlist)
    sizes = (items * shares / shares.sum()).astype(np.int64)
    cores, depth = 100, 12
    plan = plan_by_work(sizes, cores, max_items_per_group(1_500, 448))
    files = ClusteredTable(Path(), (ClusteredLayer(),))
    counts = cast("SearchCounts", None)
    search = ListSearch(
        files, plan, sizes, 10, depth, NO_RULES, plan.group_count, cores, True, counts
    )
    parts = search.merge_parts(nprobe)
    queries = np.zeros(parts.group_count)
    unit_queries = np.repeat(sizes / parts.unit_count, parts.unit_count)
    np.add.at(queries, parts.group_of_unit, unit_queries)
    # Lists are cut into parts of about one size, none more than twice as large.
    in_groups = min(nprobe * plan.unit_count.max(), plan.group_count)
    assert queries.max() * depth * in_groups <= 2 * _MAX_CANDIDATES * plan.unit_count.max()
