"""The settings that a job starts its session with."""

import importlib
from pathlib import Path
from typing import cast

import pytest
from pyspark.sql import SparkSession

from pipeline.stages import job_session, python_daemon

DAEMON, PATH = "spark.python.daemon.module", "spark.executorEnv.PYTHONPATH"


@pytest.mark.parametrize("master", ["local", "local[2]", "local[*]"])
def test_workers_of_a_local_master_come_from_the_daemon_of_ours(master: str) -> None:
    settings = job_session.with_daemon({"spark.master": master})
    assert importlib.import_module(settings[DAEMON]) is python_daemon
    assert settings["spark.master"] == master


@pytest.mark.parametrize("master", ["yarn", "spark://host:7077", "local-cluster[2,1,1024]"])
def test_executors_elsewhere_have_sparks_own(master: str) -> None:
    assert job_session.with_daemon({"spark.master": master}) == {"spark.master": master}


@pytest.mark.parametrize("name", [DAEMON, PATH])
def test_the_users_settings_stay(name: str) -> None:
    assert job_session.with_daemon({name: "mine"}) == {name: "mine"}


def test_the_daemon_is_started_only_where_it_is_used() -> None:
    assert python_daemon.is_used(job_session.with_daemon({"spark.master": "local[2]"}))
    assert not python_daemon.is_used(job_session.with_daemon({"spark.master": "yarn"}))


def test_a_job_of_its_own_starts_the_daemon(spark: SparkSession) -> None:
    assert python_daemon.run_job(spark) == 1


@pytest.mark.filterwarnings("error")
def test_what_fails_while_the_daemon_starts_is_said_later() -> None:
    calls = []

    class Stopped:
        def range(self, rows: int, **_: int) -> None:
            calls.append(rows)
            raise OSError("Spark has stopped")

    python_daemon.start(cast("SparkSession", Stopped())).join(60)
    assert calls == [1]


def test_all_that_the_daemon_imports_is_there() -> None:
    for module in python_daemon.MODULES:
        importlib.import_module(module)


def test_archives_of_the_installed_pyspark_are_not_on_the_workers_path(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    lib = site / "pyspark" / "python" / "lib"
    lib.mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    archives = [str(lib / "pyspark.zip"), str(lib / "py4j-src.zip"), "/x/spark-core.jar"]
    rest = ["/project", str(link / "site-packages")]
    assert python_daemon.without_archives([*archives, *rest]) == rest
    # Of another Spark than the installed one, the archives are what there is.
    other = [str(tmp_path / "other" / "pyspark" / "python" / "lib" / "pyspark.zip"), *rest]
    assert python_daemon.without_archives(other) == other
