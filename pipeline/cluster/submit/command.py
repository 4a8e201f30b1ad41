"""The spark-submit command of a submission: a pure function, so that its lines can be kept.

What has to be known before the driver's JVM starts, and what only spark-submit can do (files,
archives, packages), is on the command line. nitamono's own defaults are not: the driver sets them
when it starts its session, where nobody has said anything else (pipeline.spark.session).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pipeline
from models.cache import FOLDER_VARIABLE, LIMIT_VARIABLE
from pipeline.cluster.submit.checks import no_secrets
from pipeline.config.reading import environment_overrides
from pipeline.errors import UsageError
from pipeline.spark import session

PROGRAM = "spark-submit"
CLIENT, CLUSTER = "client", "cluster"
# Where the archive is unpacked, in the working folder of every executor and of YARN's driver.
UNPACKED = "environment"
# Where deploy/Dockerfile and deploy/kubernetes put things.
IMAGE_PYTHON = "/opt/nitamono/bin/python"
IMAGE_ENTRY = "local:///opt/nitamono/entry/nitamono.py"
IMAGE_CONFIG = "/etc/nitamono/nitamono.toml"
# The config's name in the working folder of YARN's driver.
_SENT_CONFIG = "nitamono.toml"
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
    """What is submitted, and where to.

    Attributes:
        arguments: a verb and its arguments, without --config.
        config: the config's file, as it was given.
        spark: the [spark] section.
        conf: what --conf says; comes before [spark].
        master: Spark's; empty: that of conf, else of [spark], else local[*].
        deploy_mode: client or cluster; empty: as above, else client.
        archive: the packed environment, for masters other than local and Kubernetes.
        image: of the containers, on Kubernetes.
        entry: the file that spark-submit is given; empty: that of the image in Kubernetes' cluster
            mode, else that of this installation.
        driver_config: where the driver finds the config in Kubernetes' cluster mode.
        driver_python: that runs the driver in client mode.
        environment: that the submission is made in.
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
    def said(self) -> dict[str, str]:
        """What [spark], the options and --conf say, the later ones before the earlier."""
        said = dict(self.spark)
        if self.image:
            said["spark.kubernetes.container.image"] = self.image
        return said | dict(self.conf)


@dataclass(frozen=True)
class Target:
    """Where the driver and the executors run.

    Attributes:
        master: Spark's.
        mode: client or cluster.
    """

    master: str
    mode: str

    @property
    def manager(self) -> str:
        """What gives the executors: local, local-cluster, spark, yarn or k8s."""
        return self.master.partition("[")[0].partition("://")[0]

    @property
    def cluster(self) -> bool:
        """Whether the driver runs elsewhere than spark-submit."""
        return self.mode == CLUSTER


def target(given: Submission) -> Target:
    """Where a submission goes.

    Raises:
        UsageError: Spark has no such master, or can't run the driver there.
    """
    said = given.said
    found = Target(
        given.master or said.get("spark.master", "local[*]"),
        given.deploy_mode or said.get("spark.submit.deployMode", CLIENT),
    )
    if found.manager not in ("local", "local-cluster", "spark", "yarn", "k8s"):
        raise UsageError(
            f"master {found.master}: write local[N], spark://HOST:PORT, yarn, or k8s://URL"
        )
    if found.mode not in (CLIENT, CLUSTER):
        raise UsageError(f"deploy mode {found.mode}: write client or cluster")
    if found.cluster and found.manager not in ("yarn", "k8s"):
        raise UsageError(
            f"master {found.master}: Spark runs Python drivers there in client mode only; leave "
            "--deploy-mode out, or use yarn or k8s://"
        )
    return found


def command(given: Submission) -> list[str]:
    """The spark-submit command line of a submission.

    Raises:
        UsageError: something is missing, does not go together, or is a secret.
    """
    to = target(given)
    conf = _defaults(given, to) | given.said
    conf.pop("spark.master", None)
    conf.pop("spark.submit.deployMode", None)
    arguments = [*given.arguments, "--config", _config(given, to)]
    if to.manager == "yarn" and to.cluster:
        conf["spark.files"] = _joined(conf.get("spark.files"), f"{given.config}#{_SENT_CONFIG}")
    if given.archive:
        named = given.archive if "#" in given.archive else f"{given.archive}#{UNPACKED}"
        conf["spark.archives"] = _joined(conf.get("spark.archives"), named)
    _check(conf, to)
    no_secrets(conf, arguments)
    line = [PROGRAM, "--master", to.master, "--deploy-mode", to.mode]
    for name, option in _OPTIONS.items():
        if conf.get(name):
            line += [option, conf.pop(name)]
    for name in sorted(conf):
        line += ["--conf", f"{name}={conf[name]}"]
    return [*line, _entry(given, to), *arguments]


def _defaults(given: Submission, to: Target) -> dict[str, str]:
    """Settings of a submission that [spark] and --conf can change."""
    conf = {"spark.app.name": "nitamono"}
    if to.manager == "local":
        conf["spark.driver.memory"] = session.driver_memory()
        conf["spark.pyspark.python"] = given.driver_python
    elif to.manager == "k8s":
        conf["spark.pyspark.python"] = IMAGE_PYTHON
    elif given.archive:
        conf["spark.pyspark.python"] = f"./{UNPACKED}/bin/python"
    if not to.cluster:
        conf["spark.pyspark.driver.python"] = given.driver_python
    for name in (FOLDER_VARIABLE, LIMIT_VARIABLE):
        if name in given.environment:
            conf[f"spark.executorEnv.{name}"] = given.environment[name]
    return conf | (_driver_environment(given, to) if to.cluster else {})


def _driver_environment(given: Submission, to: Target) -> dict[str, str]:
    """What a driver that runs elsewhere would have inherited."""
    prefix = {"yarn": "spark.yarn.appMasterEnv.", "k8s": "spark.kubernetes.driverEnv."}[to.manager]
    found = environment_overrides(given.environment)
    for name in (FOLDER_VARIABLE, LIMIT_VARIABLE):
        if name in given.environment:
            found[name] = given.environment[name]
    if to.manager == "yarn":
        # spark-submit would hand the one of its own environment on.
        found["PYSPARK_PYTHON"] = given.said.get("spark.pyspark.python", f"./{UNPACKED}/bin/python")
    return {f"{prefix}{name}": value for name, value in found.items()}


def _check(conf: Mapping[str, str], to: Target) -> None:
    if to.manager == "k8s":
        if not any(name in conf for name in _IMAGES):
            raise UsageError(
                "Kubernetes needs an image; give --image IMAGE (deploy/Dockerfile builds it)"
            )
    elif "spark.pyspark.python" not in conf:
        raise UsageError(
            f"master {to.master}: the executors need a Python that has nitamono; give --archive "
            "dist/environment.tar.gz (make package builds it), or where every host has one, "
            "--conf spark.pyspark.python=/its/path/bin/python"
        )


def _config(given: Submission, to: Target) -> str:
    if not to.cluster:
        return given.config
    return _SENT_CONFIG if to.manager == "yarn" else given.driver_config


def _entry(given: Submission, to: Target) -> str:
    if given.entry:
        return given.entry
    if to.manager == "k8s" and to.cluster:
        return IMAGE_ENTRY
    return str(Path(pipeline.__file__).parent / "cli" / "entry" / "nitamono.py")


def _joined(some: str | None, more: str) -> str:
    return f"{some},{more}" if some else more
