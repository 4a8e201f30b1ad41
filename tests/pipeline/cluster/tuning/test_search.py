"""The search, on tables of measurements made up for it."""

from collections.abc import Mapping

import pytest

from pipeline.cluster.tuning.search import Setup, Trial, best, search

# By executors and cores of each: seconds, or None where it fails.
Times = Mapping[tuple[int, int], float | None]


def tried(times: Times, cores: int = 16, memory: float = 65_536) -> list[Trial]:
    """The trials of a node whose times are these; asking for another is an error."""

    def measure(setup: Setup) -> Trial:
        seconds = times[setup.executors, setup.cores]
        return Trial(setup, seconds, "" if seconds else "killed")

    return search(cores, memory, measure)


def shape(trials: list[Trial]) -> list[tuple[int, int]]:
    return [(trial.setup.executors, trial.setup.cores) for trial in trials]


def winner(trials: list[Trial]) -> tuple[int, int]:
    trial = best(trials)
    assert trial is not None
    return trial.setup.executors, trial.setup.cores


def test_executors_double_until_one_fails_then_cores_until_that_is_no_faster() -> None:
    trials = tried({(1, 1): 100, (2, 1): 52, (4, 1): None, (2, 2): 30, (2, 4): 29.5})
    assert shape(trials) == [(1, 1), (2, 1), (4, 1), (2, 2), (2, 4)]
    assert winner(trials) == (2, 2)


def test_memory_is_halved_each_time_and_stays_while_cores_are_raised() -> None:
    trials = tried({(1, 1): 100, (2, 1): 52, (4, 1): None, (2, 2): 30, (2, 4): 40})
    assert [trial.setup.memory for trial in trials] == [65_536, 32_768, 16_384, 32_768, 32_768]


def test_executors_stop_where_it_gets_slower_and_cores_go_on_from_the_best() -> None:
    trials = tried({(1, 1): 100, (2, 1): 60, (4, 1): 70, (2, 2): 35, (2, 4): 20, (2, 8): None})
    assert shape(trials) == [(1, 1), (2, 1), (4, 1), (2, 2), (2, 4), (2, 8)]
    assert winner(trials) == (2, 4)


def test_what_is_slower_by_no_more_than_noise_is_no_reason_to_stop() -> None:
    trials = tried({(1, 1): 100, (2, 1): 104, (4, 1): 50, (8, 1): 51, (16, 1): 80, (4, 2): 49})
    assert shape(trials)[:5] == [(1, 1), (2, 1), (4, 1), (8, 1), (16, 1)]
    # 49 is within 5% of 50, which takes half the tasks.
    assert winner(trials) == (4, 1)


def test_of_setups_within_noise_the_fewest_tasks_win_then_the_fewest_executors() -> None:
    def trial(executors: int, cores: int, seconds: float) -> Trial:
        return Trial(Setup(executors, cores, 1024), seconds)

    assert winner([trial(4, 2, 50), trial(4, 1, 52.4), trial(1, 4, 52.5), trial(1, 1, 53)]) == (
        1,
        4,
    )


def test_no_more_tasks_are_tried_than_there_are_cores() -> None:
    trials = tried({(1, 1): 100, (2, 1): 50, (1, 2): 50}, cores=3)
    assert shape(trials) == [(1, 1), (2, 1)]
    assert shape(tried({(1, 1): 100}, cores=1)) == [(1, 1)]


def test_where_the_first_fails_nothing_else_is_tried_and_nothing_wins() -> None:
    trials = tried({(1, 1): None})
    assert shape(trials) == [(1, 1)]
    assert best(trials) is None


@pytest.mark.parametrize("turn", range(3))
def test_the_same_measurements_give_the_same_choice_in_any_order(turn: int) -> None:
    trials = tried({(1, 1): 100, (2, 1): 52, (4, 1): 51, (8, 1): None, (2, 2): 51, (4, 2): 50})
    turned = [*trials[turn:], *trials[:turn]]
    assert winner(turned) == winner(trials)
