"""Why a trial failed, as Spark's messages tell it."""

import re

from pipeline.spark.failures import named

# What is no failure of a run, or not a certain one, is one of a trial.
_OTHERS = (
    (r"System memory \d+ must be at least|Executor memory \d+ must be at least",
     "Spark needs a heap of 450 MiB at least"),
    (r"Unable to allocate|malloc of size", "a Python worker got no more memory"),
    (r"java\.lang\.OutOfMemoryError", "the heap of an executor's JVM is too small"),
    (r"ExecutorLostFailure|[Ee]xecutor .{0,80} (?:lost|exited)|Lost executor",
     "an executor was lost"),
)  # fmt: skip
_LOST = re.compile(r"Reason: (.{1,200}?)(?:\n|$)")


def reason(text: str) -> str:
    """A failure in words, with what Spark says of a lost executor; empty if none is told of.

    Args:
        text: an error's message, or a log.
    """
    others = (said for pattern, said in _OTHERS if re.search(pattern, text))
    words = named(text) or next(others, "")
    told = _LOST.search(text)
    more = " ".join(told[1].split()) if told else ""
    return f"{words}; Spark says: {more}" if words and more else words
