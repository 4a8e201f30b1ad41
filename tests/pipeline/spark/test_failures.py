"""Failures of Spark are explained, from texts that Spark has written.

failures/ holds the texts of Spark 4.3 for failures that were provoked on a standalone cluster or in
local mode, without the uninformative lines of stack traces. The texts of YARN and Kubernetes
(yarn_*, kubernetes_*) could not be provoked: they are put together from the strings of
YarnAllocator and ExecutorPodsLifecycleManager in Spark's jars, and executors_do_not_start from
those of StandaloneAppClient.
"""

from pathlib import Path

import pytest

from pipeline.errors import cause
from pipeline.spark.failures import explain

TEXTS = Path(__file__).with_name("failures")
LOCAL = {"spark.master": "local[4]", "spark.driver.memory": "4g", "neighbors.worker_mb": "1500"}
STANDALONE = {"spark.master": "spark://h:7077", "spark.executor.memory": "8g"} | {
    "spark.executor.cores": "4"
}
YARN = STANDALONE | {"spark.master": "yarn"}
KUBERNETES = STANDALONE | {"spark.master": "k8s://https://h:6443"}


def explain_text(text: str, settings: dict[str, str], log: Path | None = None) -> str:
    return explain(RuntimeError(text), settings, log)


# The text, the settings, and what the message must name: what failed, why, which setting.
CASES = [
    (
        "damaged_page",
        LOCAL,
        "tables/tokens/version=1/part-0.parquet is damaged",
        ["nitamono check", "nitamono run"],
    ),
    (
        "python_worker_killed",
        LOCAL,
        "a Python worker was killed",
        ["memory ran out", "spark.master = local[2] (now local[4])"],
    ),
    (
        "python_worker_killed",
        YARN,
        "a Python worker was killed",
        ["spark.executor.memoryOverhead = 1638m (now 819m)", "spark.executor.cores = 2 (now 4)"],
    ),
    (
        "python_worker_killed",
        STANDALONE,
        "a Python worker was killed",
        ["a host's memory must hold", "spark.executor.cores = 2 (now 4)"],
    ),
    (
        "executor_killed",
        STANDALONE,
        "an executor was killed (exit code 137)",
        ["memory ran out", "neighbors.worker_mb = 750 (now 1500)"],
    ),
    (
        "executor_heap",
        STANDALONE,
        "an executor's Java heap is too small",
        ["spark.executor.memory = 16g (now 8g)"],
    ),
    (
        "max_result_size",
        LOCAL | {"spark.driver.maxResultSize": "1m"},
        "larger than it takes",
        ["spark.driver.maxResultSize = 2m (now 1m)"],
    ),
    ("disk_full_local_dir", LOCAL, "the disk of Spark's temporary files", ["spark.local.dir"]),
    ("disk_full_shuffle", LOCAL, "the disk of Spark's temporary files", ["spark.local.dir"]),
    ("disk_full_store", LOCAL, "the disk is full (No space left on device)", ["store.path"]),
    ("disk_full_python", LOCAL, "the disk is full (No space left on device)", ["store.path"]),
    ("no_hadoop_aws", LOCAL, "hadoop-aws", ["spark.jars.packages"]),
    ("no_python", STANDALONE, "no Python at /nowhere/python", ["spark.pyspark.python"]),
    ("no_module", STANDALONE, "No module named 'nosuchpackage'", ["spark.archives"]),
    ("no_file", STANDALONE, "does not see a file", ["file:///a.csv", "in an object store"]),
    ("session_stopped", LOCAL, "Spark was stopped", ["spark.driver.memory = 8g (now 4g)"]),
    (
        "heartbeat",
        STANDALONE,
        "an executor was not heard of for",
        ["spark.network.timeout = 240s (now 120s)"],
    ),
    (
        "fetch_failed",
        STANDALONE | {"spark.stage.maxConsecutiveAttempts": "1"},
        "was lost with its executor",
        ["spark.stage.maxConsecutiveAttempts = 2 (now 1)", "spark.shuffle.service.enabled"],
    ),
    ("executors_do_not_start", STANDALONE, "the cluster's master gave the job up", ["stderr"]),
    (
        "yarn_memory",
        YARN,
        "YARN killed an executor's container",
        ["spark.executor.memoryOverhead = 1638m (now 819m)"],
    ),
    (
        "yarn_memory",
        YARN | {"spark.executor.memoryOverhead": "2g"},
        "YARN killed an executor's container",
        ["spark.executor.memoryOverhead = 4g (now 2g)"],
    ),
    ("yarn_killed", YARN, "an executor was killed (exit code 137)", ["memoryOverhead"]),
    (
        "kubernetes_memory",
        KUBERNETES,
        "Kubernetes killed an executor's pod",
        ["spark.executor.memoryOverhead (not set now)"],
    ),
    ("kubernetes_heap", KUBERNETES, "an executor's Java heap", ["spark.executor.memory = 16g"]),
    ("kubernetes_deleted", KUBERNETES, "taken away by the cluster", ["run it again"]),
]


@pytest.mark.parametrize(
    ("name", "settings", "what", "do"), CASES, ids=[f"{c[0]}-{c[1]['spark.master']}" for c in CASES]
)
def test_what_died_and_which_setting_to_change(
    name: str, settings: dict[str, str], what: str, do: list[str]
) -> None:
    message = explain_text((TEXTS / f"{name}.txt").read_text(), settings)
    before, _, after = message.partition(": ")
    assert what in before
    assert [part for part in do if part not in message] == []
    assert after
    assert "\n" not in message
    assert "[" not in message.replace("local[", "")


def test_every_text_is_looked_at() -> None:
    elsewhere = {"driver_heap", "driver_heap_log", "no_master", "no_master_log"}
    elsewhere |= {"memory_error", "memory_error_numpy", "memory_error_arrow"}
    assert {path.stem for path in TEXTS.iterdir()} == {case[0] for case in CASES} | elsewhere


@pytest.mark.parametrize("name", ["memory_error", "memory_error_numpy", "memory_error_arrow"])
def test_a_python_worker_without_memory_came_to_its_bound_or_the_machine_s(name: str) -> None:
    text = (TEXTS / f"{name}.txt").read_text()
    bound = explain_text(text, STANDALONE | {"spark.executor.pyspark.memory": "600m"})
    assert "leave it unset: spark.executor.pyspark.memory (now 600m)" in bound
    free = explain_text(text, YARN)
    assert "a Python worker got no more memory" in free
    assert "spark.executor.memoryOverhead" in free


def test_where_the_error_only_says_that_spark_is_gone_its_log_is_asked(tmp_path: Path) -> None:
    text = (TEXTS / "driver_heap.txt").read_text()
    message = explain_text(text, LOCAL, tmp_path / "missing.log")
    assert "Spark was stopped while it worked" in message
    log = tmp_path / "spark.log"
    log.write_text("x" * 300_000 + "\n" + (TEXTS / "driver_heap_log.txt").read_text())
    message = explain_text(text, LOCAL, log)
    assert "the driver's Java heap is too small" in message
    assert "spark.driver.memory = 8g (now 4g)" in message


def test_a_master_that_does_not_answer_is_in_the_log_only() -> None:
    text = (TEXTS / "no_master.txt").read_text()
    message = explain_text(text, STANDALONE, TEXTS / "no_master_log.txt")
    assert "no master answers at spark.master (now spark://h:7077)" in message


def test_what_the_log_tells_of_and_spark_has_got_over_is_not_the_cause(tmp_path: Path) -> None:
    log = tmp_path / "spark.log"
    log.write_text((TEXTS / "executor_killed.txt").read_text())
    text = (TEXTS / "driver_heap.txt").read_text()
    assert "Spark was stopped" in explain_text(text, STANDALONE, log)


def test_a_killed_jvm_is_told_of_though_its_own_exception_has_no_text_any_more() -> None:
    class GoneError(Exception):
        def __str__(self) -> str:
            raise ConnectionRefusedError(111, "Connection refused")

    refused = ConnectionRefusedError(111, "Connection refused")
    broken = RuntimeError("An error occurred while calling o63.setJobGroup")
    for error in (GoneError(), refused, broken):
        message = explain(error, LOCAL)
        assert "Spark's driver, a Java process, has ended or was killed" in message
        assert "spark.driver.memory = 2g (now 4g)" in message


def test_what_nitamono_itself_says_on_an_executor_comes_first() -> None:
    text = (
        "An exception was thrown from the Python worker:\nTraceback (most recent call last):\n"
        "OSError: [Errno 28] No space left on device\n"
        "models.errors.ModelError: /cache: the disk is full; set NITAMONO_CACHE to another folder\n"
    )
    message = "/cache: the disk is full; set NITAMONO_CACHE to another folder"
    assert explain_text(text, LOCAL) == message


def test_what_is_not_known_is_told_as_java_or_python_put_it() -> None:
    python = "An exception was thrown from the Python worker:\nValueError: cut\n"
    assert explain_text(python, LOCAL) == "ValueError: cut"
    java = "An error occurred while calling o1.x.\n: org.apache.spark.SparkException: outer\n"
    java += "Caused by: java.lang.IllegalStateException: inner\n"
    assert explain_text(java, LOCAL) == "IllegalStateException: inner"
    assert cause(RuntimeError("one\ntwo")) == "RuntimeError: one"
