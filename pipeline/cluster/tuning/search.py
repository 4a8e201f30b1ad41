"""The search for the best setup: it tries what people try by hand.

It begins with one executor a node, which has one core and all of the node's memory. It doubles the
executors and halves their memory until a trial fails or is slower. From the best of these setups on
it doubles the cores as long as that is faster.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

# Times that differ by less count as equal: each setup is measured once.
NOISE = 0.05


@dataclass(frozen=True)
class Setup:
    """Executors of a node.

    Attributes:
        executors: number of executors.
        cores: cores of an executor, which is the number of its tasks at once.
        memory: memory of an executor, its JVM and its Python workers together, MiB.
    """

    executors: int
    cores: int
    memory: float

    @property
    def tasks(self) -> int:
        """Tasks at once on a node."""
        return self.executors * self.cores


@dataclass(frozen=True)
class Trial:
    """A setup that was tried.

    Attributes:
        setup: the setup.
        seconds: duration of the work; None if the trial failed.
        failure: why the trial failed; empty if it did not.
    """

    setup: Setup
    seconds: float | None
    failure: str = ""


Measure = Callable[[Setup], Trial]


def search(cores: int, memory: float, measure: Measure) -> list[Trial]:
    """Try setups, one after the other.

    Args:
        cores: cores of a node.
        memory: memory of a node for executors, MiB.
        measure: tries one setup.

    Returns:
        all trials, in order.
    """
    trials = [measure(Setup(1, 1, memory))]
    while (last := trials[-1]).seconds is not None and 2 * last.setup.executors <= cores:
        trials.append(measure(Setup(2 * last.setup.executors, 1, last.setup.memory / 2)))
        seconds = trials[-1].seconds
        if seconds is not None and seconds > last.seconds * (1 + NOISE):
            break
    start = best(trials)
    if start is None or start.seconds is None:
        return trials
    fastest, setup = start.seconds, start.setup
    while 2 * setup.tasks <= cores:
        setup = Setup(setup.executors, 2 * setup.cores, setup.memory)
        trials.append(measure(setup))
        seconds = trials[-1].seconds
        if seconds is None or seconds > fastest * (1 - NOISE):
            break
        fastest = seconds
    return trials


def best(trials: Iterable[Trial]) -> Trial | None:
    """The best trial: the one with the fewest tasks within 5% of the fastest.

    Of trials with the same number of tasks it is the one with the fewest executors, which means
    the fewest JVMs. None if all failed.
    """
    timed = [(trial.seconds, trial) for trial in trials if trial.seconds is not None]
    if not timed:
        return None
    fastest = min(seconds for seconds, _ in timed)
    fast = [trial for seconds, trial in timed if seconds <= fastest * (1 + NOISE)]
    return min(fast, key=lambda trial: (trial.setup.tasks, trial.setup.executors))
