"""Resident models: a process loads each model once, however many rows or batches it works on."""

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
        model: key of the model.
        process: host, process id, and a random suffix, since process ids are reused.
        seconds: time that the loader took.
    """

    model: str
    process: str
    seconds: float


class _Loads:
    """An AccumulatorParam that does not inherit from it, so that Spark is imported only if used."""

    def zero(self, value: tuple[Load, ...]) -> tuple[Load, ...]:
        return ()

    def addInPlace(  # noqa: N802 - Spark's name
        self, value1: tuple[Load, ...], value2: tuple[Load, ...]
    ) -> tuple[Load, ...]:
        return value1 + value2


class LoadCounter:
    """Collects the loads of all Python workers of a session for the driver.

    Put it into the closure of a pandas UDF or a mapInArrow function and pass it to `get`. A
    worker that has the model from an earlier stage loads and adds nothing. Loads of failed tasks
    are not counted.
    """

    def __init__(self, context: "SparkContext") -> None:
        self._loads = context.accumulator((), cast("AccumulatorParam[tuple[Load, ...]]", _Loads()))

    def add(self, load: Load) -> None:
        """Count a load, in a worker or on the driver."""
        self._loads.add((load,))

    @property
    def loads(self) -> tuple[Load, ...]:
        """All loads so far. Works on the driver only."""
        return self._loads.value

    def summary(self) -> dict[str, int | float]:
        """Summarise the loads for run.json. Works on the driver only.

        Returns:
            `loads`, their number; `processes` that loaded a model; `most_in_one_process`, how
            often one process loaded the same model at most (it should be 1); `seconds`, summed
            over all processes.
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
    """Return the model with this key. The first caller loads it while the others wait.

    After a failed load the next caller tries again.

    Args:
        key: identifies the model by its content (`Handle.key`), so that a retrained model has
            another key.
        load: makes the model; its exceptions reach the caller.
        counter: counts this call if it loads the model.
    """
    with _lock:
        model_lock = _loading.setdefault(key, threading.Lock())
    with model_lock:
        if key not in _models:
            start = time.monotonic()
            _models[key] = load()
            if counter is not None:
                counter.add(Load(str(key), _process(), time.monotonic() - start))
        return cast("Model", _models[key])


def _process() -> str:
    """Return the name of this process; a forked process gets a new one."""
    global _identity
    if _identity[0] != os.getpid():
        _identity = (os.getpid(), f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}")
    return _identity[1]
