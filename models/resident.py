"""Resident models: each is loaded once in a process, whatever the number of rows or batches."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

Model = TypeVar("Model")

_lock = threading.Lock()
_loading: dict[Hashable, threading.Lock] = {}
_models: dict[Hashable, object] = {}
_seconds: dict[Hashable, float] = {}


def get(key: Hashable, load: Callable[[], Model]) -> Model:
    """The model under this key, loaded by the first caller while the others wait for it.

    A load that fails leaves nothing behind; the next caller tries again.

    Args:
        key: names the model by its content, so that a retrained one is another key.
        load: makes the model; whatever it raises goes to the caller.
    """
    with _lock:
        turn = _loading.setdefault(key, threading.Lock())
    with turn:
        if key not in _models:
            start = time.monotonic()
            _models[key] = load()
            _seconds[key] = time.monotonic() - start
        return cast("Model", _models[key])


def load_seconds() -> dict[Hashable, float]:
    """What this process has loaded so far, and the seconds that each took."""
    return dict(_seconds)
