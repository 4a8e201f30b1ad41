"""The plan of a search of the lists, for catalogues that no test can hold."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from pipeline.retrieval.groups import max_items_per_group, plan_by_work
from pipeline.retrieval.rules import NO_RULES
from pipeline.stages.neighbors.search import ListSearch, SearchCounts, groups_near
from pipeline.store.clustered import ClusteredLayer, ClusteredTable

_MAX_CANDIDATES = 4_000_000


@pytest.mark.parametrize("items", [0, 1_000_000, 200_000_000])
@pytest.mark.parametrize("nprobe", [7, 112])
@pytest.mark.parametrize("heavy", [0, 0.01])
def test_a_task_of_the_merge_has_a_bounded_number_of_candidates(
    items: int, nprobe: int, heavy: float
) -> None:
    nlist, cores, depth = 15_000, 100, 12
    shares = np.random.default_rng(0).lognormal(sigma=0.5, size=nlist)
    shares[nlist // 2] += heavy * shares.sum()
    sizes = (items * shares / shares.sum()).astype(np.int64)
    plan = plan_by_work(sizes, cores, max_items_per_group(1_500, 448))
    files = ClusteredTable(Path(), (ClusteredLayer(),))
    counts = cast("SearchCounts", None)
    search = ListSearch(
        files, plan, sizes, 10, depth, NO_RULES, plan.group_count, cores, True, counts
    )
    parts = search.merge_parts(nprobe)
    # Each list probes the nprobe lists around it.
    first = np.clip(np.arange(nlist) - nprobe // 2, 0, nlist - nprobe)
    group = plan.group_of_unit[plan.first_unit]
    last_group = plan.group_of_unit[plan.first_unit + plan.unit_count - 1]
    in_groups = np.array(
        [
            len(np.union1d(group[low : low + nprobe], last_group[low : low + nprobe]))
            for low in first[:: nlist // 200]
        ]
    )
    heavy_units = plan.unit_count[nlist // 2] if heavy else 0
    queries = np.zeros(parts.group_count)
    own = np.repeat(sizes / parts.unit_count, parts.unit_count)
    np.add.at(queries, parts.group_of_unit, own)
    candidates = queries * depth * in_groups.max()
    assert candidates.max() <= 1.5 * _MAX_CANDIDATES
    # Parts near the heavy list have fewer queries, as these are searched in all of its groups.
    near = parts.group_of_unit[parts.first_unit[nlist // 2 - 1]]
    assert queries[near] * depth * (nprobe + heavy_units) <= 3 * _MAX_CANDIDATES


def test_no_more_parts_are_planned_than_there_are_candidates_for() -> None:
    sizes = np.full(75_000, 1_333, dtype=np.int64)
    plan = plan_by_work(sizes, 300, max_items_per_group(1_500, 448))
    for nprobe, most in ((7, 3), (47, 13)):
        assert groups_near(plan, nprobe).max() <= most
