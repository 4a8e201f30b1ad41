"""Messages as Spark 4.3 and clusters write them."""

import pytest

from pipeline.cluster.tuning.failures import reason

_LOST = (
    "Job aborted due to stage failure: Task 0 in stage 3.0 failed 1 times, most recent failure: "
    "Lost task 0.0 in stage 3.0 (TID 4) (127.0.0.1 executor 1): ExecutorLostFailure (executor 1 "
    "exited caused by one of the running tasks) Reason: {}\nDriver stacktrace:"
)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (_LOST.format("Command exited with code 137"), "exit code 137"),
        (_LOST.format("Container killed by YARN for exceeding physical memory limits. 9.1 GB of 9 "
                      "GB physical memory used."), "YARN killed"),
        (_LOST.format("\nThe executor with id 3 exited with exit code 137(SIGKILL, possible "
                      "container OOM).\n"), "Kubernetes killed"),
        (_LOST.format("Remote RPC client disassociated."), "an executor was lost"),
        ("org.apache.spark.SparkException: Python worker exited unexpectedly (crashed)",
         "a Python worker was killed"),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 2.00 GiB for an array",
         "got no more memory"),
        ("java.lang.OutOfMemoryError: Java heap space", "heap"),
        ("Executor memory 300000000 must be at least 471859200. Please increase executor memory",
         "450 MiB"),
        ("Master removed our application: FAILED", "gave the job up"),
    ],
)  # fmt: skip
def test_a_failure_of_memory_is_recognised(text: str, word: str) -> None:
    assert word in reason(text)


def test_what_spark_says_of_a_lost_executor_is_kept() -> None:
    assert reason(_LOST.format("Command exited with code 137")).endswith(
        "Spark says: Command exited with code 137"
    )


def test_of_other_failures_nothing_is_said() -> None:
    assert reason("ValueError: a value is missing in line 137") == ""
