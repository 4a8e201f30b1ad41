import numpy as np
import pytest

from pipeline.retrieval import groups, quantiser
from tests.pipeline.retrieval import oracle


def sizes_of(nlist: int) -> np.ndarray:
    return np.random.default_rng(1).integers(500, 1500, size=nlist)


def test_groups_have_about_equal_work_and_keep_to_the_most_items() -> None:
    sizes = sizes_of(128)
    found = groups.plan_by_work(sizes, cores=2, most=1_000_000)
    work = np.bincount(found.group, sizes.astype(float) ** 2)
    assert 12 <= found.groups <= 24
    assert work.max() <= 1.5 * work.sum() / 12
    assert np.all(np.diff(work) <= 0)
    small = groups.plan_by_work(sizes, cores=2, most=2_000)
    assert np.bincount(small.group, sizes).max() <= 2_000


def test_near_lists_share_a_group() -> None:
    # Centroids around eight centres.
    centroids = quantiser.train(oracle.vectors(1024, 16, seed=1), 128, seed=0)
    found = groups.plan_by_work(sizes_of(128), cores=1, most=1_000_000)
    near = quantiser.probe(centroids, centroids, 8)
    touched = np.mean([len(set(found.group[probes].tolist())) for probes in near])
    at_random = np.random.default_rng(2).permutation(found.group)
    assert touched < 0.6 * np.mean([len(set(at_random[probes].tolist())) for probes in near])


def test_a_list_that_holds_a_third_of_the_items_is_split_over_groups() -> None:
    sizes = np.full(64, 1_000)
    sizes[5] = 30_000
    found = groups.plan_by_work(sizes, cores=4, most=1_000_000)
    mean = sizes.sum() / 64
    assert found.parts[5] == np.ceil(30_000 / (groups.SPLIT_ABOVE * np.ceil(mean)))
    assert np.delete(found.parts, 5).tolist() == [1] * 63
    units = found.first[5] + np.arange(found.parts[5])
    assert len(set(found.group[units].tolist())) > found.parts[5] / 2


def test_pieces_have_about_equal_rows_in_the_order_of_the_lists() -> None:
    sizes = np.append(sizes_of(100), 40_000)
    found = groups.plan_by_rows(sizes, 20)
    assert np.all(np.diff(found.group) >= 0)
    units = np.repeat(sizes / found.parts, found.parts)
    rows = np.bincount(found.group, units)
    assert found.groups >= 14
    assert rows.max() <= 1.5 * sizes.sum() / 20
    spread = found.group[found.units(np.full(1000, 100), np.arange(1000))]
    assert len(set(spread.tolist())) >= 4
    for group in range(found.groups):
        first, last = found.lists(group)
        mine = [n for n in range(101) for u in range(found.parts[n])
                if found.group[found.first[n] + u] == group]  # fmt: skip
        assert (first, last) == (min(mine), max(mine) + 1)


@pytest.mark.parametrize("sizes", [[0], [1], [0, 0, 5], [3] * 40])
def test_small_and_empty_catalogues_have_one_group(sizes: list[int]) -> None:
    found = groups.plan_by_work(np.array(sizes), cores=2, most=1_000)
    assert found.groups == 1
    assert found.first.tolist() == list(range(len(sizes)))


def test_a_worker_of_more_memory_holds_more_items() -> None:
    most = [groups.max_items_per_group(megabytes, 300) for megabytes in (500, 1500, 3000)]
    assert most == sorted(set(most))
    # 16 bytes a value: rows as they came, in one piece, float32 twice, and what sorting takes.
    assert most[1] * 300 * 16 < 1_500_000_000
