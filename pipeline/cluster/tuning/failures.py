"""Why a trial failed, from Spark's messages."""

import re

from pipeline.spark.failures import describe_failure

# Failures of a trial that are not known to pipeline.spark.failures, because in a run they need not
# be failures of memory.
_PATTERNS = (
    (r"System memory \d+ must be at least|Executor memory \d+ must be at least",
     "Spark needs a heap of 450 MiB at least"),
    (r"Unable to allocate|malloc of size", "a Python worker got no more memory"),
    (r"java\.lang\.OutOfMemoryError", "the heap of an executor's JVM is too small"),
    (r"ExecutorLostFailure|[Ee]xecutor .{0,80} (?:lost|exited)|Lost executor",
     "an executor was lost"),
)  # fmt: skip
_LOSS_REASON = re.compile(r"Reason: (.{1,200}?)(?:\n|$)")


def reason(text: str) -> str:
    """The reason of a failure, with what Spark says of a lost executor; empty if none is known.

    Args:
        text: an error's message, or a log.
    """
    descriptions = (description for pattern, description in _PATTERNS if re.search(pattern, text))
    description = describe_failure(text) or next(descriptions, "")
    match = _LOSS_REASON.search(text)
    spark_reason = " ".join(match[1].split()) if match else ""
    if description and spark_reason:
        return f"{description}; Spark says: {spark_reason}"
    return description
