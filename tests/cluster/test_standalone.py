"""The cluster that tests use leaves nothing behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.standalone import StandaloneCluster

pytestmark = pytest.mark.cluster

_HOLDER = """
import os, signal, sys
from pathlib import Path
from pyspark.sql import SparkSession
from tests.cluster.standalone import StandaloneCluster
with StandaloneCluster(Path(sys.argv[1]), workers=1) as cluster:
    spark = SparkSession.builder.config(map=cluster.conf()).getOrCreate()
    spark.sparkContext.parallelize([1], 1).map(str).count()
    assert len(cluster.executors()) == 1
    assert cluster.python_workers()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_cluster_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _HOLDER, tmp_path], capture_output=True, check=False, timeout=200
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    cluster, until = StandaloneCluster(tmp_path), time.monotonic() + 30
    while cluster.processes() and time.monotonic() < until:
        time.sleep(0.1)
    assert cluster.processes() == []
