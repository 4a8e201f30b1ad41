"""Whose settings hold: spark-submit's, then [spark], then nitamono's own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from pipeline.spark import session
from pipeline.spark.log import SparkLog
from pipeline.spark.session import remaining_settings, settings
from tests.conftest import SPARK_CONF

LOCAL_ONLY = {
    "spark.driver.host",
    "spark.driver.bindAddress",
    "spark.driver.extraJavaOptions",
    "spark.driver.memory",
    "spark.python.unix.domain.socket.enabled",
}


def test_what_holds_on_one_host_only_is_left_out_of_clusters() -> None:
    assert settings({}).keys() >= LOCAL_ONLY
    assert settings({"spark.master": "local[2]"}).keys() >= LOCAL_ONLY
    for master in ("yarn", "spark://s:7077", "k8s://https://k"):
        assert not settings({"spark.master": master}).keys() & LOCAL_ONLY


def test_ctrl_c_interrupts_when_the_session_has_stopped(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_spark = signal.getsignal(signal.SIGINT)
    assert "SparkContext" in getattr(of_spark, "__qualname__", "")
    try:
        session.keep_interruptible()
        # As `stop` leaves it.
        monkeypatch.setattr(spark.sparkContext, "_jsc", None)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, of_spark)


def test_spark_submits_master_decides_not_that_of_the_config() -> None:
    here = {"spark.master": "local[2]", "spark.executor.cores": "2"}
    submitted = {"spark.master": "yarn", "spark.sql.session.timeZone": "Asia/Tokyo"}
    left = remaining_settings(here, submitted)
    assert not left.keys() & (LOCAL_ONLY | {"spark.master", "spark.sql.session.timeZone"})
    assert left["spark.executor.cores"] == "2"
    assert left["spark.sql.caseSensitive"] == "true"
    local = remaining_settings({"spark.master": "yarn"}, {"spark.master": "local[1]"})
    assert local["spark.driver.host"] == "127.0.0.1"
    assert "spark.driver.memory" not in local, "its JVM has started"


@pytest.mark.processes
def test_spark_submits_settings_hold_then_the_configs_then_our_own(tmp_path: Path) -> None:
    defaults = SPARK_CONF / "spark-defaults.conf"
    defaults_file = tmp_path / "spark-defaults.conf"
    defaults_file.write_text(f"{defaults.read_text()}\nspark.sql.caseSensitive false\n")
    section = {
        "spark.master": "local[2]",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.caseSensitive": "true",
        "spark.task.maxFailures": "2",
    }
    process = subprocess.run(
        [Path(sys.executable).with_name("spark-submit"), "--master", "local[1]",
         "--conf", "spark.sql.shuffle.partitions=7", "--conf", "spark.driver.memory=700m",
         Path(__file__).with_name("session_conf.py"), json.dumps(section)],
        capture_output=True, text=True, check=False, timeout=180, cwd=tmp_path,
        env=os.environ | {"SPARK_CONF_DIR": str(tmp_path), "PYSPARK_PYTHON": sys.executable,
                          "PYTHONPATH": str(Path(session.__file__).parents[2])},
    )  # fmt: skip
    assert process.returncode == 4, process.stderr
    printed = json.loads(process.stdout)
    conf = printed["conf"]
    assert printed["own"]
    assert conf["spark.master"] == "local[1]"
    assert printed["shuffles"] == "7"
    assert conf["spark.driver.memory"] == "700m"
    assert conf["spark.sql.caseSensitive"] == "false"
    assert conf["spark.task.maxFailures"] == "2"
    assert conf["spark.sql.session.timeZone"] == "UTC"
    assert conf["spark.driver.host"] == "127.0.0.1"


def test_in_a_running_session_its_own_number_of_shuffle_partitions_holds_but_for_the_users(
    spark: SparkSession, tmp_path: Path
) -> None:
    own = spark.sparkContext.getConf().get("spark.sql.shuffle.partitions")
    assert own != "8"
    for section, expected in (({}, own), ({"spark.sql.shuffle.partitions": "5"}, "5")):
        sibling, started = session.start(section, SparkLog(tmp_path / "spark.log"))
        assert not started
        assert sibling.conf.get("spark.sql.shuffle.partitions") == expected
        assert sibling.conf.get("spark.sql.caseSensitive") == "true"
