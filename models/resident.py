"""Resident models: each is loaded once in a process, whatever the number of rows or batches."""

import os
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.accumulators import AccumulatorParam

Model = TypeVar("Model")

_lock = threading.Lock()
_loading: dict[Hashable, threading.Lock] = {}
_models: dict[Hashable, object] = {}
_identity = (0, "")


@dataclass(frozen=True)
class Load:
    """One load of a model.

    Attributes:
        model: its key.
        process: host, process id, and a mark that tells processes of the same id apart.
        seconds: what the loader took.
    """

    model: str
    process: str
    seconds: float


class _Loads:
    """An AccumulatorParam in all but descent: Spark is not imported until it is used."""

    def zero(self, value: tuple[Load, ...]) -> tuple[Load, ...]:
        return ()

    def addInPlace(  # noqa: N802 - Spark's name
        self, value1: tuple[Load, ...], value2: tuple[Load, ...]
    ) -> tuple[Load, ...]:
        return value1 + value2


class LoadCounter:
    """Gathers the loads of all Python workers of a session, for the driver to read.

    Put it into the closure of a pandas UDF or a mapInArrow function and hand it to `get`. A
    worker that has a model from an earlier stage loads nothing, and adds nothing. Loads of a task
    that failed are not in it.
    """

    def __init__(self, context: "SparkContext") -> None:
        self._loads = context.accumulator((), cast("AccumulatorParam[tuple[Load, ...]]", _Loads()))

    def add(self, load: Load) -> None:
        """Count a load; works in a worker and on the driver."""
        self._loads.add((load,))

    @property
    def loads(self) -> tuple[Load, ...]:
        """All loads so far; on the driver only."""
        return self._loads.value

    def summary(self) -> dict[str, int | float]:
        """The loads for run.json; on the driver only.

        Returns:
            loads; processes that loaded; most_in_one_process, the most that one process loaded
            one model (1 is what it should be); seconds, summed over all processes.
        """
        loads = self.loads
        by_process = Counter((load.process, load.model) for load in loads)
        return {
            "loads": len(loads),
            "processes": len({load.process for load in loads}),
            "most_in_one_process": max(by_process.values(), default=0),
            "seconds": round(sum(load.seconds for load in loads), 3),
        }


def get(key: Hashable, load: Callable[[], Model], counter: LoadCounter | None = None) -> Model:
    """The model under this key, loaded by the first caller while the others wait for it.

    A load that fails leaves nothing behind; the next caller tries again.

    Args:
        key: names the model by its content (`Handle.key`), so that a retrained one is another.
        load: makes the model; whatever it raises goes to the caller.
        counter: is told when this call loads.
    """
    with _lock:
        turn = _loading.setdefault(key, threading.Lock())
    with turn:
        if key not in _models:
            start = time.monotonic()
            _models[key] = load()
            if counter is not None:
                counter.add(Load(str(key), _process(), time.monotonic() - start))
        return cast("Model", _models[key])


def _process() -> str:
    """This process's name; made anew after a fork, because ids are given again."""
    global _identity
    if _identity[0] != os.getpid():
        _identity = (os.getpid(), f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}")
    return _identity[1]
