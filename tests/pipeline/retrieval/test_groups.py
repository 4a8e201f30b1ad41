import numpy as np
import pytest

from pipeline.retrieval import groups, list_training
from pipeline.retrieval.quantiser import Quantiser
from tests.pipeline.retrieval import oracle


def sizes_of(nlist: int) -> np.ndarray:
    return np.random.default_rng(1).integers(500, 1500, size=nlist)


def test_groups_have_about_equal_work_and_at_most_max_items() -> None:
    sizes = sizes_of(128)
    plan = groups.plan_by_work(sizes, cores=2, max_items=1_000_000)
    work = np.bincount(plan.group_of_unit, sizes.astype(float) ** 2)
    assert 12 <= plan.group_count <= 24
    assert work.max() <= 1.5 * work.sum() / 12
    assert np.all(np.diff(work) <= 0)
    small = groups.plan_by_work(sizes, cores=2, max_items=2_000)
    assert np.bincount(small.group_of_unit, sizes).max() <= 2_000


def test_near_lists_share_a_group() -> None:
    # Centroids around eight centres.
    centroids = list_training.train(oracle.vectors(1024, 16, seed=1), 128, seed=0).centroids
    plan = groups.plan_by_work(sizes_of(128), cores=1, max_items=1_000_000)
    near = Quantiser(centroids).probe(centroids, 8)
    touched = np.mean([len(set(plan.group_of_unit[probes].tolist())) for probes in near])
    shuffled = np.random.default_rng(2).permutation(plan.group_of_unit)
    assert touched < 0.6 * np.mean([len(set(shuffled[probes].tolist())) for probes in near])


def test_a_list_that_holds_a_third_of_the_items_is_split_over_groups() -> None:
    sizes = np.full(64, 1_000)
    sizes[5] = 30_000
    plan = groups.plan_by_work(sizes, cores=4, max_items=1_000_000)
    mean = sizes.sum() / 64
    assert plan.unit_count[5] == np.ceil(30_000 / (groups.SPLIT_ABOVE * np.ceil(mean)))
    assert np.delete(plan.unit_count, 5).tolist() == [1] * 63
    units = plan.first_unit[5] + np.arange(plan.unit_count[5])
    assert len(set(plan.group_of_unit[units].tolist())) > plan.unit_count[5] / 2


def test_pieces_have_about_equal_rows_in_the_order_of_the_lists() -> None:
    sizes = np.append(sizes_of(100), 40_000)
    plan = groups.plan_by_rows(sizes, 20)
    assert np.all(np.diff(plan.group_of_unit) >= 0)
    units = np.repeat(sizes / plan.unit_count, plan.unit_count)
    rows = np.bincount(plan.group_of_unit, units)
    assert plan.group_count >= 14
    assert rows.max() <= 1.5 * sizes.sum() / 20
    spread = plan.group_of_unit[plan.unit_of(np.full(1000, 100), np.arange(1000))]
    assert len(set(spread.tolist())) >= 4
    for group in range(plan.group_count):
        first, end = plan.list_range(group)
        lists = [n for n in range(101) for u in range(plan.unit_count[n])
                if plan.group_of_unit[plan.first_unit[n] + u] == group]  # fmt: skip
        assert (first, end) == (min(lists), max(lists) + 1)


@pytest.mark.parametrize("sizes", [[0], [1], [0, 0, 5], [3] * 40])
def test_small_and_empty_catalogues_have_one_group(sizes: list[int]) -> None:
    plan = groups.plan_by_work(np.array(sizes), cores=2, max_items=1_000)
    assert plan.group_count == 1
    assert plan.first_unit.tolist() == list(range(len(sizes)))


def test_a_worker_of_more_memory_holds_more_items() -> None:
    max_items = [groups.max_items_per_group(megabytes, 300) for megabytes in (500, 1500, 3000)]
    assert max_items == sorted(set(max_items))
    # 16 bytes a value: rows as they arrive, concatenated, float32 twice, and what sorting takes.
    assert max_items[1] * 300 * 16 < 1_500_000_000


def test_the_vectors_of_a_group_fit_into_one_arrow_column() -> None:
    for dim in (100, 448, 4_096):
        assert groups.max_items_per_group(10**6, dim) * 2 * dim < 2**31
