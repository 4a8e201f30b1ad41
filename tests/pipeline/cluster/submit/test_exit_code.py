"""How a submission to Kubernetes ends, by real spark-submits to a stand-in for the API server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cluster.submit.exit_code import container_exit_code, run_and_wait
from pipeline.errors import StageError
from tests.pipeline.cluster.submit.api_server import ApiServer
from tests.pipeline.cluster.submit.test_submit import PROGRAM, write_config

ENDED = """\
26/11/27 12:51:50 INFO LoggingPodStatusWatcherImpl: State changed, new state:
\t phase: Failed
\t container status:
\t\t container name: istio-proxy
\t\t exit code: 143
\t\t container name: spark-kubernetes-driver
\t\t container state: terminated
\t\t exit code: 4
\t\t termination reason: Error
\t\t container name: fluentd
\t\t exit code: 0
"""


def test_the_exit_code_is_the_drivers_not_that_of_what_runs_beside_it() -> None:
    lines = ENDED.splitlines(keepends=True)
    assert container_exit_code(lines, "spark-kubernetes-driver") == 4
    assert container_exit_code(lines, "fluentd") == 0
    assert container_exit_code(lines, "main") is None
    assert container_exit_code(lines[:3], "spark-kubernetes-driver") is None


def printing(text: str, code: int) -> list[str]:
    return [sys.executable, "-c", f"import sys; sys.stderr.write({text!r}); sys.exit({code})"]


def test_what_spark_submit_prints_is_shown_and_its_own_failure_comes_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_and_wait(printing(ENDED, 0), {}) == 4
    assert capsys.readouterr().err == ENDED
    assert run_and_wait(printing(ENDED, 1), {}) == 1
    named = {"spark.kubernetes.driver.podTemplateContainerName": "fluentd"}
    assert run_and_wait(printing(ENDED, 0), named) == 0


def test_a_driver_whose_end_is_not_told_has_not_ended_well() -> None:
    with pytest.raises(StageError, match="does not say how the driver ended"):
        run_and_wait(printing("", 0), {})
    unwatched = {"spark.kubernetes.submission.waitAppCompletion": "false"}
    assert run_and_wait(printing("", 0), unwatched) == 0


@pytest.fixture
def api_server() -> Iterator[ApiServer]:
    with ApiServer(exit_code=3) as server:
        yield server


@pytest.mark.processes
def test_kubernetes_gets_the_pod_and_gives_the_verbs_exit_code(
    api_server: ApiServer, tmp_path: Path
) -> None:
    config = write_config(tmp_path, spark="driver.memory = '1g'\nsql.shuffle.partitions = 7")
    done = subprocess.run(
        [PROGRAM, "submit", "--config", config, "--master", f"k8s://{api_server.url}",
         "--deploy-mode", "cluster", "--image", "shop/nitamono:1",
         "--conf", "spark.kubernetes.driver.secretKeyRef.AWS_SECRET_ACCESS_KEY=s3:secret",
         "run", "--run-id", "night1"],
        capture_output=True, text=True, check=False, timeout=180,
        env=os.environ | {"NITAMONO_CACHE": "/mnt/cache", "NITAMONO_PUBLISH_MAX_CHURN": "1"},
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    driver = api_server.created("Pod")["spec"]["containers"][0]
    assert driver["image"] == "shop/nitamono:1"
    assert driver["args"][0] == "driver"
    assert driver["args"][-6:] == [
        "local:///opt/nitamono/entry/nitamono.py",
        *("run", "--run-id", "night1", "--config", "/etc/nitamono/nitamono.toml"),
    ]
    variables = {one["name"]: one for one in driver["env"]}
    for name in ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"):
        assert variables[name]["value"] == "/opt/nitamono/bin/python"
    assert variables["NITAMONO_CACHE"]["value"] == "/mnt/cache"
    assert variables["NITAMONO_PUBLISH_MAX_CHURN"]["value"] == "1"
    secret = variables["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"]
    assert secret == {"name": "s3", "key": "secret"}
    settings = api_server.created("ConfigMap")["data"]["spark.properties"].splitlines()
    assert "spark.sql.shuffle.partitions=7" in settings
    assert "spark.executorEnv.NITAMONO_CACHE=/mnt/cache" in settings
