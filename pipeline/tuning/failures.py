"""Why a trial failed, as Spark's messages tell it."""

import re

_KILLED = r"(?:exit(?:ed)?(?: with)?(?: code| status)?:? ?137|code 137|OOMKilled|SIGKILL)"
_BEYOND = r"[Kk]illed by YARN for exceeding|exceeding (?:physical )?memory limits|memory limits\. "
# The first that is found is the reason: a lost executor is told of beside what it was lost for.
_REASONS = (
    (_BEYOND, "YARN killed an executor: it took more memory than its container has"),
    (_KILLED, "an executor was killed (exit code 137): it took more memory than there is"),
    (r"java\.lang\.OutOfMemoryError", "the heap of an executor's JVM is too small"),
    (r"System memory \d+ must be at least|Executor memory \d+ must be at least",
     "Spark needs a heap of 450 MiB at least"),
    (r"MemoryError|ArrowMemoryError|Unable to allocate|malloc of size",
     "a Python worker was refused memory"),
    (r"Python worker exited unexpectedly|Python worker .*crashed",
     "a Python worker was killed: it took more memory than there is"),
    (r"Master removed our application", "the cluster gave up: its executors end when they start"),
    (r"ExecutorLostFailure|[Ee]xecutor .{0,80} (?:lost|exited)|Lost executor",
     "an executor was lost"),
    (r"No space left on device", "the disk is full"),
)  # fmt: skip
_LOST = re.compile(r"Reason: (.{1,200}?)(?:\n|$)")


def reason(text: str) -> str:
    """A failure in words, with what Spark says of a lost executor; empty if none is told of.

    Args:
        text: an error's message, or a log.
    """
    for pattern, words in _REASONS:
        if re.search(pattern, text):
            told = _LOST.search(text)
            more = " ".join(told[1].split()) if told else ""
            return f"{words}; Spark says: {more}" if more else words
    return ""
