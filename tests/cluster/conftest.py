"""What tests on the cluster share: the cluster itself, and runs that are submitted to it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyspark
import pytest

from tests.cluster.standalone import StandaloneCluster

ROOT = Path(__file__).parents[2]
ENTRY = ROOT / "pipeline" / "cli" / "entry" / "nitamono.py"
Submit = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandaloneCluster]:
    """Two workers of one core, for all tests that do nothing to them that lasts."""
    with StandaloneCluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="session")
def submit(tmp_path_factory: pytest.TempPathFactory) -> Submit:
    """Give a file to spark-submit, on a cluster, and wait for its end.

    Its host's cache of models is the fixture's own, for driver and executors.
    """
    cache = tmp_path_factory.mktemp("cache")

    def run(
        cluster: StandaloneCluster,
        *arguments: str | Path,
        entry: Path = ENTRY,
        conf: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        # spark-submit's own JVM is the driver's.
        told = {"spark.driver.memory": "1g", "spark.executor.memory": "700m"}
        told["spark.sql.shuffle.partitions"] = "3"
        told |= cluster.conf() | dict(conf or {})
        flags = [text for name, value in told.items() for text in ("--conf", f"{name}={value}")]
        home = Path(pyspark.__file__).parent
        return subprocess.run(
            [home / "bin" / "spark-submit", *flags, entry, *arguments],
            env=os.environ
            | {
                "NITAMONO_CACHE": str(cache),
                "PYSPARK_PYTHON": sys.executable,
                "PYTHONPATH": str(ROOT),
                "SPARK_LOCAL_IP": "127.0.0.1",
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run
