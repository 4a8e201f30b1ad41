import numpy as np
import pytest

from pipeline.retrieval.recall import measure_recall, nprobe_for_recall, wilson_interval


def test_recall_is_the_share_of_the_true_neighbours_in_the_table() -> None:
    true_neighbors = [
        [("a", 0.9), ("b", 0.8), ("c", 0.7), ("d", 0.6)],
        [("a", 0.5), ("b", 0.5), ("c", 0.5), ("d", 0.5)],
    ]
    # An item that ties with the last counts; one that is better and not true counts for nothing.
    neighbors = [[("a", 0.9), ("c", 0.7), ("x", 0.65), ("e", 0.5)], [("e", 0.5), ("b", 0.5)]]
    measured = measure_recall(neighbors, true_neighbors, 4)
    assert measured.value == pytest.approx((2 / 4 + 2 / 4) / 2)
    assert measured.low < measured.value < measured.high
    assert measured.queries == 2


def test_items_that_can_have_no_neighbour_are_not_measured() -> None:
    assert measure_recall([[], [("a", 0.9)]], [[], [("a", 0.9)]], 1).queries == 1
    assert measure_recall([[]], [[]], 1).queries == 0


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I: 81 of 263 and 0 of 20.
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_nprobe_is_chosen_so_that_the_pilot_sample_reaches_the_target_with_a_margin() -> None:
    rng = np.random.default_rng(1)
    depths = [rng.geometric(0.3, size=10) - 1 for _ in range(2000)]
    for target in (0.5, 0.9, 0.99):
        nprobe = nprobe_for_recall(depths, 100, target)
        shares = [np.array([np.mean(d < p) for d in depths]) for p in (nprobe, nprobe - 1)]
        low = [s.mean() - 1.645 * s.std() / np.sqrt(2000) for s in shares]
        assert low[0] >= target > low[1]
        # A geometric law: the share within p lists is 1 - 0.7 ** p.
        assert abs(nprobe - np.log(1 - target) / np.log(0.7)) <= 1.5
    without_margin = nprobe_for_recall(depths, 100, 0.9, 0)
    recalls = [
        np.mean([np.mean(d < p) for d in depths]) for p in (without_margin - 1, without_margin)
    ]
    assert recalls[0] < 0.9 <= recalls[1]
    assert nprobe_for_recall(depths, 7, 1.0) == 7
    assert nprobe_for_recall([np.array([], dtype=np.int64)], 7, 0.9) == 1
