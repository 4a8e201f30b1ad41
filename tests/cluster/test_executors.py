"""A cluster that can't do the work: hosts that don't see the store, no room for executors."""

import subprocess
from pathlib import Path

import pytest

from tests.cluster.conftest import Submit
from tests.cluster.runs import sample
from tests.cluster.standalone import StandaloneCluster

# What nitamono says on stderr spark-submit writes to its stdout.
pytestmark = pytest.mark.cluster


def test_hosts_that_do_not_see_the_store_or_cannot_write_there_are_named(
    submit: Submit, tmp_path: Path
) -> None:
    """Two workers whose hosts have other names and other things where the store is."""
    unshare = ["/usr/bin/unshare", "-mu", "true"]
    if subprocess.run(unshare, check=False, capture_output=True).returncode:
        pytest.skip("unshare -mu is not permitted here: this needs root")
    store = tmp_path / "store"
    store.mkdir()
    mounts = (f"mount -t tmpfs none {store}", f"mount --bind -o ro {store} {store}")

    def prefix(number: int) -> list[str]:
        script = f'hostname host{number} && {mounts[number]} && exec "$@"'
        return ["unshare", "-mu", "sh", "-c", script, "sh"]

    with StandaloneCluster(tmp_path / "cluster", prefix=prefix) as cluster:
        done = submit(cluster, *sample(store))
    assert done.returncode == 2, done.stdout[-3000:]
    last = done.stdout.splitlines()[-1]
    assert f"store.path {store}" in last
    assert "host0 does not see it" in last
    assert "host1 can't write there (Read-only file system)" in last
    assert "s3a://" in last
    assert not list(store.glob(".probe-*"))


def test_a_cluster_without_room_is_given_up(
    cluster: StandaloneCluster, submit: Submit, tmp_path: Path
) -> None:
    greedy = {"spark.executor.memory": "64g", "spark.nitamono.wait": "5s"}
    done = submit(cluster, *sample(tmp_path / "store"), conf=greedy)
    assert done.returncode == 5, done.stdout[-3000:]
    last = done.stdout.splitlines()[-1]
    assert "no executor came within 5 s" in last
    assert "spark.executor.memory = 64g" in last
    assert cluster.url in last
