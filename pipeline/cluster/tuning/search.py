"""The search by hand that people do, done by the machine: which setups are tried, which wins.

One executor a node with one core and all of its memory; then twice as many with half the memory
each, until one fails or gets slower; from the best of those on, twice the cores as long as that is
faster.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

# Times that differ by less are the same: a trial is measured once.
NOISE = 0.05


@dataclass(frozen=True)
class Setup:
    """Executors of a node.

    Attributes:
        executors: how many.
        cores: of each: its tasks at once.
        memory: MiB of each, its JVM and its Python workers together.
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
        setup: which.
        seconds: that the work took; None if it failed.
        why: it failed; empty if it did not.
    """

    setup: Setup
    seconds: float | None
    why: str = ""


Measure = Callable[[Setup], Trial]


def search(cores: int, memory: float, measure: Measure) -> list[Trial]:
    """Try setups, one after the other.

    Args:
        cores: of a node.
        memory: MiB of a node, for executors.
        measure: tries one.

    Returns:
        all trials, in order.
    """
    trials = [measure(Setup(1, 1, memory))]
    while (last := trials[-1]).seconds is not None and 2 * last.setup.executors <= cores:
        before = last.seconds
        trials.append(measure(Setup(2 * last.setup.executors, 1, last.setup.memory / 2)))
        if (now := trials[-1].seconds) is not None and now > before * (1 + NOISE):
            break
    start = best(trials)
    if start is None or start.seconds is None:
        return trials
    before, setup = start.seconds, start.setup
    while 2 * setup.tasks <= cores:
        setup = Setup(setup.executors, 2 * setup.cores, setup.memory)
        trials.append(measure(setup))
        now = trials[-1].seconds
        if now is None or now > before * (1 - NOISE):
            break
        before = now
    return trials


def best(trials: Iterable[Trial]) -> Trial | None:
    """Of the trials that take no more than 5% longer than the fastest, that of the fewest tasks.

    Of equally many tasks that of the fewest executors, which is the one with the fewest JVMs.
    None if all failed.
    """
    done = [(trial.seconds, trial) for trial in trials if trial.seconds is not None]
    if not done:
        return None
    fastest = min(seconds for seconds, _ in done)
    near = [trial for seconds, trial in done if seconds <= fastest * (1 + NOISE)]
    return min(near, key=lambda trial: (trial.setup.tasks, trial.setup.executors))
