"""What `nitamono submit` accepts, refuses, hands on, and ends with."""

import os
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.spark.session import driver_memory
from tests.pipeline.cluster.submit.conftest import Submit

PROGRAM = Path(sys.executable).with_name("nitamono")
YARN = ("--master", "yarn", "--archive", "environment.tar.gz")
YARN_CLUSTER = (*YARN, "--deploy-mode", "cluster")
K8S_CLUSTER = ("--master", "k8s://https://k:6443", "--deploy-mode", "cluster", "--image", "i:1")


def write_config(folder: Path, store: str = "s3a://shop/store", spark: str = "") -> str:
    file = folder / "nitamono.toml"
    file.write_text(
        f'[store]\npath = "{store}"\n[catalogue]\npath = "s3a://shop/items/"\n[spark]\n{spark}\n',
        encoding="utf-8",
    )
    return str(file)


@pytest.fixture
def config(tmp_path: Path) -> str:
    return write_config(tmp_path)


def words(submit: Submit, config: str, *arguments: str, verb: str = "run") -> list[str]:
    return shlex.split(submit("--config", config, "--dry-run", *arguments, verb))


def conf(line: list[str]) -> dict[str, str]:
    """The --conf of a command."""
    settings = [after for before, after in pairwise(line) if before == "--conf"]
    return dict(text.split("=", 1) for text in settings)


def after(line: list[str], option: str) -> str:
    return line[line.index(option) + 1]


def test_conf_comes_before_options_and_options_before_the_config(
    submit: Submit, tmp_path: Path
) -> None:
    config = write_config(
        tmp_path,
        spark='sql.shuffle.partitions = 8\nexecutor.cores = 2\nkubernetes.container.image = "old"\n'
        'pyspark.python = "/py"',
    )
    settings = ("--conf", "spark.executor.cores=4")
    line = words(submit, config, *K8S_CLUSTER, *settings)
    assert conf(line)["spark.kubernetes.container.image"] == "i:1"
    assert conf(line)["spark.sql.shuffle.partitions"] == "8"
    assert conf(line)["spark.pyspark.python"] == "/py"
    assert after(line, "--executor-cores") == "4"
    last = ("--conf", "spark.kubernetes.container.image=i:2")
    assert conf(words(submit, config, *K8S_CLUSTER, *last))["spark.kubernetes.container.image"] == (
        "i:2"
    )


def test_spark_fetches_what_reads_s3a_but_in_images_which_have_it(
    submit: Submit, config: str
) -> None:
    assert "hadoop-aws" in after(words(submit, config, *YARN), "--packages")
    assert "--packages" not in words(submit, config, *K8S_CLUSTER)
    settings = ("--conf", "spark.master=k8s://https://k:6443", "--image", "i:1")
    assert "--packages" not in words(submit, config, *settings)
    own = ("--conf", "spark.jars.packages=my:own:1")
    assert after(words(submit, config, *YARN, *own), "--packages") == "my:own:1"


def test_master_and_mode_come_from_the_config_where_no_option_says_them(
    submit: Submit, tmp_path: Path
) -> None:
    config = write_config(
        tmp_path, spark='master = "yarn"\nsubmit.deployMode = "cluster"\narchives = "more.zip#more"'
    )
    line = words(submit, config, "--archive", "e.tar.gz#mine")
    assert (after(line, "--master"), after(line, "--deploy-mode")) == ("yarn", "cluster")
    assert not [name for name in conf(line) if name in ("spark.master", "spark.submit.deployMode")]
    assert after(line, "--archives") == "more.zip#more,e.tar.gz#mine"
    settings = ("--conf", "spark.master=local[3]", "--conf", "spark.submit.deployMode=client")
    assert after(words(submit, config, *settings), "--master") == "local[3]"
    assert after(words(submit, config, *YARN, "--master", "local[2]", "--deploy-mode", "client"),
                 "--master") == "local[2]"  # fmt: skip


def test_a_local_driver_gets_the_memory_that_run_would_give_it(submit: Submit, config: str) -> None:
    assert after(words(submit, config), "--driver-memory") == driver_memory()
    assert "--driver-memory" not in words(submit, config, *YARN)


def test_the_environment_goes_where_the_driver_and_the_executors_run(
    submit: Submit, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NITAMONO_CACHE", "/mnt/cache")
    monkeypatch.setenv("NITAMONO_CACHE_LIMIT", "20G")
    monkeypatch.setenv("NITAMONO_PUBLISH_MAX_CHURN", "1")
    monkeypatch.setenv("NITAMONO_SERVICE_HOST", "10.0.0.1")
    executors = {
        "spark.executorEnv.NITAMONO_CACHE": "/mnt/cache",
        "spark.executorEnv.NITAMONO_CACHE_LIMIT": "20G",
    }
    driver = {"NITAMONO_CACHE": "/mnt/cache", "NITAMONO_CACHE_LIMIT": "20G",
              "NITAMONO_PUBLISH_MAX_CHURN": "1"}  # fmt: skip

    def variables(*arguments: str) -> dict[str, str]:
        settings = conf(words(submit, config, *arguments))
        return {name: value for name, value in settings.items() if "NITAMONO" in name}

    assert variables(*YARN) == executors
    assert variables(*YARN_CLUSTER) == executors | {
        f"spark.yarn.appMasterEnv.{name}": value for name, value in driver.items()
    }
    assert variables(*K8S_CLUSTER) == executors | {
        f"spark.kubernetes.driverEnv.{name}": value for name, value in driver.items()
    }


def test_changes_of_settings_reach_the_verb_and_spark(submit: Submit, config: str) -> None:
    line = words(submit, config, "--set", "neighbors.k=5", "--set", "spark.executor.memory=3g")
    assert line[-7:] == ["run", "--set", "neighbors.k=5", "--set", "spark.executor.memory=3g",
                         "--config", config]  # fmt: skip
    assert after(line, "--executor-memory") == "3g"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name the verb to run"),
        (("submit", "run"), "name the verb to run"),
        (("run", "--config", "other.toml"), "give --config before run"),
        (("run", "--frm", "embed"), "unrecognized arguments: --frm"),
        (("run", "--set", "neighbors.kk=3"), "did you mean k?"),
        (("--master", "mesos://m", "run"), "write local[N], spark://HOST:PORT, yarn, or k8s://"),
        (("--conf", "executor.memory=3g", "run"), "write it as --conf spark.name=value"),
        (("--master", "spark://s:7077", "--deploy-mode", "cluster", "run"), "client mode only"),
        (("--deploy-mode", "cluster", "run"), "client mode only"),
        (("--master", "yarn", "run"), "give --archive"),
        (("--master", "k8s://https://k", "run"), "give --image"),
    ],
)
def test_what_can_not_work_is_refused_before_anything_starts(
    submit: Submit, config: str, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        submit("--config", config, *arguments)
    assert message in str(raised.value)


@pytest.mark.parametrize("target", [YARN_CLUSTER, K8S_CLUSTER])
def test_a_relative_path_is_refused_where_the_driver_runs_elsewhere(
    submit: Submit, tmp_path: Path, target: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, store="store")
    with pytest.raises(UsageError, match=r"store\.path = store; rules\.deny = d\.csv: in cluster"):
        words(submit, config, *target, "--set", "rules.deny=d.csv")
    assert words(submit, config, *target[:-2], "--master", "local[1]", "--deploy-mode", "client")
    capsys.readouterr()
    shared = write_config(tmp_path, store="/shared/store")
    submit("--config", shared, "--dry-run", *target, "run")


def test_a_path_that_all_hosts_must_have_is_named_on_stderr(
    tmp_path: Path,
) -> None:
    config = write_config(tmp_path, store="/shared/store")
    done = nitamono("--config", config, *YARN, "--dry-run", "run")
    assert done.stderr == "store.path = /shared/store: all hosts must have it under this path\n"
    assert done.stdout.startswith("spark-submit ")
    assert nitamono("--config", config, "--dry-run", "run").stderr == ""


SECRETS = [
    "spark.hadoop.fs.s3a.secret.key",
    "spark.hadoop.fs.s3a.access.key",
    "spark.hadoop.fs.s3a.session.token",
    "spark.hadoop.fs.s3a.bucket.shop.secret.key",
    "spark.hadoop.fs.azure.account.key.shop.dfs.core.windows.net",
    "spark.executorEnv.AWS_SECRET_ACCESS_KEY",
    "spark.kubernetes.driverEnv.AWS_ACCESS_KEY_ID",
    "spark.ssl.keyPassword",
    "spark.authenticate.secret",
    "spark.kubernetes.authenticate.submission.oauthToken",
]


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_refused_and_not_repeated(submit: Submit, tmp_path: Path, name: str) -> None:
    config = write_config(tmp_path)
    with pytest.raises(UsageError) as raised:
        words(submit, config, "--conf", f"{name}=hunter2-x")
    assert str(raised.value).startswith(f"{name} is a secret")
    assert "secretKeyRef" in str(raised.value)
    assert "hunter2" not in str(raised.value)
    written = write_config(tmp_path, spark=f'"{name}" = "hunter2-x"')
    with pytest.raises(UsageError, match="is a secret"):
        words(submit, written)


@pytest.mark.parametrize(
    "settings",
    [
        "spark.driver.extraJavaOptions=-Xss4m -Dfs.s3a.secret.key=hunter2",
        "spark.hadoop.fs.defaultFS=s3a://key:hunter2@shop",
    ],
)
def test_secrets_inside_values_are_refused_too(submit: Submit, config: str, settings: str) -> None:
    with pytest.raises(UsageError, match="is a secret, or holds one"):
        words(submit, config, "--conf", settings)
    with pytest.raises(UsageError, match=r"catalogue\.path holds a password"):
        words(submit, config, "--set", "catalogue.path=s3a://key:hunter2@shop/items")


@pytest.mark.parametrize(
    "settings",
    [
        "spark.kubernetes.driver.secretKeyRef.AWS_SECRET_ACCESS_KEY=s3:secret",
        "spark.kubernetes.executor.secrets.s3-credentials=/etc/s3",
        "spark.authenticate.secret.file=/etc/spark/secret",
        "spark.kubernetes.authenticate.submission.oauthTokenFile=/var/run/token",
        "spark.hadoop.fs.s3a.aws.credentials.provider=org.example.Provider",
        "spark.hadoop.hadoop.security.token.service.use_ip=false",
        "spark.sql.columnVector.offheap.enabled=true",
        "spark.hadoop.fs.s3a.endpoint=http://127.0.0.1:9000",
    ],
)
def test_what_only_says_where_a_secret_is_is_no_secret(
    submit: Submit, config: str, settings: str
) -> None:
    name, value = settings.split("=", 1)
    assert conf(words(submit, config, "--conf", settings))[name] == value


def nitamono(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: text for name, text in os.environ.items() if not name.startswith("NITAMONO_")
    }
    return subprocess.run(
        [PROGRAM, "submit", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=inherited | environment,
        timeout=120,
    )


def stand_in(folder: Path, script: str) -> str:
    """A Spark whose spark-submit does what the script says; its SPARK_HOME."""
    program = folder / "bin" / "spark-submit"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return str(folder)


def test_what_is_printed_is_what_runs_and_its_exit_code_is_passed_on(
    config: str, tmp_path: Path
) -> None:
    home = stand_in(tmp_path, "printf '%s\\n' spark-submit \"$@\"; exit 4")
    verb = ("run", "--set", "rules.eligible=stock > 0")
    planned = nitamono("--config", config, *YARN_CLUSTER, "--dry-run", *verb, SPARK_HOME=home)
    ran = nitamono("--config", config, *YARN_CLUSTER, *verb, SPARK_HOME=home)
    assert ran.returncode == 4
    assert ran.stdout.splitlines() == shlex.split(planned.stdout)


def test_without_a_spark_submit_the_line_says_what_to_set(config: str, tmp_path: Path) -> None:
    done = nitamono("--config", config, "run", SPARK_HOME=str(tmp_path))
    assert done.returncode == 5
    assert done.stderr.splitlines()[-1].endswith("set SPARK_HOME")
