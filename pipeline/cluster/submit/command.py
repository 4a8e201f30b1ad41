"""The spark-submit command of a submission: a pure function, whose results tests keep.

The command line has the settings that must be known before the driver's JVM starts, and those that
only spark-submit carries out (files, archives, packages). It has none of nitamono's own defaults:
the driver sets them when it starts its session, unless they are set (pipeline.spark.session).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pipeline
from models.cache import FOLDER_VARIABLE, LIMIT_VARIABLE
from pipeline.cluster.submit.checks import refuse_secrets
from pipeline.config.reading import environment_overrides
from pipeline.errors import UsageError
from pipeline.spark import session

PROGRAM = "spark-submit"
CLIENT, CLUSTER = "client", "cluster"
# The folder in which the archive is unpacked, in the working folder of executors and YARN's driver.
UNPACKED = "environment"
# The paths that deploy/Dockerfile and deploy/kubernetes use.
IMAGE_PYTHON = "/opt/nitamono/bin/python"
IMAGE_ENTRY = "local:///opt/nitamono/entry/nitamono.py"
IMAGE_CONFIG = "/etc/nitamono/nitamono.toml"
# The config's name in the working folder of YARN's driver.
_SHIPPED_CONFIG = "nitamono.toml"
# Settings that spark-submit has options for; all others go by --conf.
_OPTIONS = {
    "spark.app.name": "--name",
    "spark.driver.memory": "--driver-memory",
    "spark.executor.memory": "--executor-memory",
    "spark.executor.cores": "--executor-cores",
    "spark.jars.packages": "--packages",
    "spark.archives": "--archives",
    "spark.files": "--files",
}
_IMAGES = ("spark.kubernetes.container.image", "spark.kubernetes.executor.container.image")


@dataclass(frozen=True)
class Submission:
    """What to submit, and where.

    Attributes:
        arguments: a verb and its arguments, without --config.
        config: path of the config's file.
        spark: the [spark] section.
        conf: the settings of --conf, which override [spark].
        master: Spark's master; empty: that of conf, else of [spark], else local[*].
        deploy_mode: client or cluster; empty: that of conf, else of [spark], else client.
        archive: the packed environment, for masters other than local and Kubernetes.
        image: image of the containers on Kubernetes.
        entry: the program for spark-submit; empty: that of the image in Kubernetes' cluster mode,
            else that of this installation.
        driver_config: path of the config in the driver's pod, in Kubernetes' cluster mode.
        driver_python: the Python that runs the driver in client mode.
        environment: the environment of the submitting process.
    """

    arguments: list[str]
    config: str
    spark: Mapping[str, str]
    conf: Mapping[str, str] = field(default_factory=dict)
    master: str = ""
    deploy_mode: str = ""
    archive: str = ""
    image: str = ""
    entry: str = ""
    driver_config: str = IMAGE_CONFIG
    driver_python: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def merged_conf(self) -> dict[str, str]:
        """The settings of [spark], of --image and of --conf; later ones override earlier ones."""
        conf = dict(self.spark)
        if self.image:
            conf["spark.kubernetes.container.image"] = self.image
        return conf | dict(self.conf)


@dataclass(frozen=True)
class Target:
    """Where the driver and the executors run.

    Attributes:
        master: Spark's master.
        mode: client or cluster.
    """

    master: str
    mode: str

    @property
    def manager(self) -> str:
        """The cluster manager: local, local-cluster, spark, yarn or k8s."""
        return self.master.partition("[")[0].partition("://")[0]

    @property
    def driver_is_remote(self) -> bool:
        """Whether the driver runs on the cluster, and not where spark-submit runs."""
        return self.mode == CLUSTER


def target_of(submission: Submission) -> Target:
    """The target of a submission.

    Raises:
        UsageError: Spark has no such master, or can't run a Python driver there.
    """
    conf = submission.merged_conf
    target = Target(
        submission.master or conf.get("spark.master", "local[*]"),
        submission.deploy_mode or conf.get("spark.submit.deployMode", CLIENT),
    )
    if target.manager not in ("local", "local-cluster", "spark", "yarn", "k8s"):
        raise UsageError(
            f"master {target.master}: write local[N], spark://HOST:PORT, yarn, or k8s://URL"
        )
    if target.mode not in (CLIENT, CLUSTER):
        raise UsageError(f"deploy mode {target.mode}: write client or cluster")
    if target.driver_is_remote and target.manager not in ("yarn", "k8s"):
        raise UsageError(
            f"master {target.master}: Spark runs Python drivers there in client mode only; leave "
            "--deploy-mode out, or use yarn or k8s://"
        )
    return target


def command(submission: Submission) -> list[str]:
    """The spark-submit command line of a submission.

    Raises:
        UsageError: an option is missing, options exclude each other, or a setting is a secret.
    """
    target = target_of(submission)
    conf = _defaults(submission, target) | submission.merged_conf
    conf.pop("spark.master", None)
    conf.pop("spark.submit.deployMode", None)
    arguments = [*submission.arguments, "--config", _config(submission, target)]
    if target.manager == "yarn" and target.driver_is_remote:
        shipped_config = f"{submission.config}#{_SHIPPED_CONFIG}"
        conf["spark.files"] = _append(conf.get("spark.files"), shipped_config)
    if submission.archive:
        archive = submission.archive
        archive = archive if "#" in archive else f"{archive}#{UNPACKED}"
        conf["spark.archives"] = _append(conf.get("spark.archives"), archive)
    _check_python(conf, target)
    refuse_secrets(conf, arguments)
    line = [PROGRAM, "--master", target.master, "--deploy-mode", target.mode]
    for name, option in _OPTIONS.items():
        if conf.get(name):
            line += [option, conf.pop(name)]
    for name in sorted(conf):
        line += ["--conf", f"{name}={conf[name]}"]
    return [*line, _entry(submission, target), *arguments]


def _defaults(submission: Submission, target: Target) -> dict[str, str]:
    """Settings that [spark] and --conf can override."""
    conf = {"spark.app.name": "nitamono"}
    if target.manager == "local":
        conf["spark.driver.memory"] = session.driver_memory()
        conf["spark.pyspark.python"] = submission.driver_python
    elif target.manager == "k8s":
        conf["spark.pyspark.python"] = IMAGE_PYTHON
    elif submission.archive:
        conf["spark.pyspark.python"] = f"./{UNPACKED}/bin/python"
    if not target.driver_is_remote:
        conf["spark.pyspark.driver.python"] = submission.driver_python
    for name in (FOLDER_VARIABLE, LIMIT_VARIABLE):
        if name in submission.environment:
            conf[f"spark.executorEnv.{name}"] = submission.environment[name]
    return conf | (_driver_environment(submission, target) if target.driver_is_remote else {})


def _driver_environment(submission: Submission, target: Target) -> dict[str, str]:
    """Variables that a driver on the cluster does not inherit."""
    prefixes = {"yarn": "spark.yarn.appMasterEnv.", "k8s": "spark.kubernetes.driverEnv."}
    prefix = prefixes[target.manager]
    variables = environment_overrides(submission.environment)
    for name in (FOLDER_VARIABLE, LIMIT_VARIABLE):
        if name in submission.environment:
            variables[name] = submission.environment[name]
    if target.manager == "yarn":
        # spark-submit would pass on the one of its own environment.
        unpacked_python = f"./{UNPACKED}/bin/python"
        python = submission.merged_conf.get("spark.pyspark.python", unpacked_python)
        variables["PYSPARK_PYTHON"] = python
    return {f"{prefix}{name}": value for name, value in variables.items()}


def _check_python(conf: Mapping[str, str], target: Target) -> None:
    if target.manager == "k8s":
        if not any(name in conf for name in _IMAGES):
            raise UsageError(
                "Kubernetes needs an image; give --image IMAGE (deploy/Dockerfile builds it)"
            )
    elif "spark.pyspark.python" not in conf:
        raise UsageError(
            f"master {target.master}: the executors need a Python that has nitamono; give "
            "--archive dist/environment.tar.gz (make package builds it), or where every host has "
            "one, --conf spark.pyspark.python=/its/path/bin/python"
        )


def _config(submission: Submission, target: Target) -> str:
    if not target.driver_is_remote:
        return submission.config
    return _SHIPPED_CONFIG if target.manager == "yarn" else submission.driver_config


def _entry(submission: Submission, target: Target) -> str:
    if submission.entry:
        return submission.entry
    if target.manager == "k8s" and target.driver_is_remote:
        return IMAGE_ENTRY
    return str(Path(pipeline.__file__).parent / "cli" / "entry" / "nitamono.py")


def _append(values: str | None, value: str) -> str:
    return f"{values},{value}" if values else value
