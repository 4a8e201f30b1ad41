"""The driver's JVM is killed while a run is under way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import ROOT
from tests.cluster.runs import sample

pytestmark = pytest.mark.cluster


def test_a_killed_jvm_ends_the_run_with_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.cli.main", *sample(tmp_path / "store")]
    env = os.environ | {"NITAMONO_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        said = iter(run.stderr)
        assert any(line.startswith("[2/7] tokenize ...") for line in said)
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        (jvm,) = [pid for pid in children if Path(f"/proc/{pid}/comm").read_text() == "java\n"]
        os.kill(int(jvm), signal.SIGKILL)
        *_, last = said
    assert run.returncode == 5
    assert "tokenize failed: Spark's driver, a Java process, has ended or was killed" in last
    assert "spark.driver.memory" in last
