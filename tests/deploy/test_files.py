"""The files of deploy/ agree with each other, with the code, and with Kubernetes' operator."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pyspark
import pytest
import yaml

from pipeline.cli.parser import build_parser
from pipeline.cluster.submit.command import IMAGE_CONFIG, IMAGE_ENTRY, IMAGE_PYTHON
from pipeline.config import reading as config

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMAGE = f"registry.example/nitamono:{PROJECT['version']}"
CACHE = "/var/cache/nitamono"

# Fields of kubeflow/spark-operator's api/v1beta2, read off sparkapplication_types.go: of all that
# are there, those that are used here. A field that is not in this list is a misspelt one, or has
# to be looked up there.
SPEC = {
    "type", "pythonVersion", "mode", "sparkVersion", "image", "imagePullPolicy",
    "mainApplicationFile", "arguments", "sparkConf", "restartPolicy", "timeToLiveSeconds",
    "volumes", "driver", "executor",
}  # fmt: skip
RESTART = {
    "type", "onFailureRetries", "onFailureRetryInterval", "onSubmissionFailureRetries",
    "onSubmissionFailureRetryInterval",
}  # fmt: skip
POD = {
    "cores", "memory", "memoryOverhead", "serviceAccount", "configMaps", "env", "volumeMounts",
    "initContainers", "podSecurityContext", "securityContext",
}  # fmt: skip


def read(name: str) -> Any:
    return yaml.safe_load((KUBERNETES / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def spec() -> Any:
    application = read("application.yaml")
    assert application["apiVersion"] == "sparkoperator.k8s.io/v1beta2"
    assert application["kind"] == "SparkApplication"
    return application["spec"]


def test_the_nightly_run_is_the_one_run_on_a_schedule_and_never_twice_at_a_time(spec: Any) -> None:
    nightly = read("nightly.yaml")
    assert nightly["apiVersion"] == "sparkoperator.k8s.io/v1beta2"
    assert nightly["kind"] == "ScheduledSparkApplication"
    assert nightly["spec"].pop("template") == spec
    assert len(nightly["spec"].pop("schedule").split()) == 5
    assert nightly["spec"] == {
        "concurrencyPolicy": "Forbid",
        "successfulRunHistoryLimit": 3,
        "failedRunHistoryLimit": 3,
    }


def test_the_operator_knows_every_field(spec: Any) -> None:
    assert set(spec) == SPEC
    assert set(spec["restartPolicy"]) == RESTART
    assert set(spec["driver"]) <= POD
    assert set(spec["executor"]) <= POD | {"instances"}
    assert (spec["type"], spec["mode"]) == ("Python", "cluster")
    assert spec["restartPolicy"]["type"] in ("Never", "OnFailure")


def test_the_operator_starts_what_submit_starts(spec: Any) -> None:
    assert spec["mainApplicationFile"] == IMAGE_ENTRY
    assert spec["sparkConf"]["spark.pyspark.python"] == IMAGE_PYTHON
    assert spec["sparkVersion"] == pyspark.__version__
    assert spec["image"] == IMAGE
    verb = build_parser().parse_args(spec["arguments"])
    assert (verb.verb, verb.config) == ("run", IMAGE_CONFIG)


def test_the_config_of_the_map_can_be_read_and_asks_for_the_same_sizes(spec: Any) -> None:
    (made,) = read("kustomization.yaml")["configMapGenerator"]
    (file,) = made["files"]
    assert Path(IMAGE_CONFIG).name == file
    spark = config.load(KUBERNETES / file, environment={}).spark
    assert spark["spark.kubernetes.container.image"] == IMAGE
    account = spark["spark.kubernetes.authenticate.driver.serviceAccountName"]
    assert account == spec["driver"]["serviceAccount"]
    assert account in [
        one["metadata"]["name"]
        for one in yaml.safe_load_all((KUBERNETES / "account.yaml").read_text(encoding="utf-8"))
    ]
    for role in ("driver", "executor"):
        assert spark[f"spark.{role}.memory"] == spec[role]["memory"]
        assert spark[f"spark.{role}.memoryOverhead"] == spec[role]["memoryOverhead"]
    assert int(spark["spark.executor.cores"]) == spec["executor"]["cores"]
    assert int(spark["spark.executor.instances"]) == spec["executor"]["instances"]
    assert spec["driver"]["configMaps"] == [
        {"name": made["name"], "path": str(Path(IMAGE_CONFIG).parent)}
    ]


@pytest.mark.parametrize("role", ["driver", "executor"])
def test_pods_have_the_cache_credentials_by_reference_and_no_root(spec: Any, role: str) -> None:
    pod = spec[role]
    assert {"name": "NITAMONO_CACHE", "value": CACHE} in pod["env"]
    secrets = [one for one in pod["env"] if one["name"].startswith("AWS_")]
    assert len(secrets) == 2
    assert all(list(one["valueFrom"]) == ["secretKeyRef"] for one in secrets)
    (mount,) = pod["volumeMounts"]
    volumes = {one["name"]: one for one in spec["volumes"]}
    assert mount["mountPath"] == CACHE
    assert ("hostPath" in volumes[mount["name"]]) == (role == "executor")
    assert pod["podSecurityContext"]["runAsNonRoot"]
    template = read(f"{role}.yaml")["spec"]
    (container,) = template["containers"]
    assert container["securityContext"] == pod["securityContext"]
    assert template["securityContext"] == pod["podSecurityContext"]
    assert CACHE in [one["mountPath"] for one in container["volumeMounts"]]
    assert {one["name"] for one in container["volumeMounts"]} == {
        one["name"] for one in template["volumes"]
    }


def test_the_image_has_what_submit_and_the_pods_name() -> None:
    user = re.findall(r"^USER (\d+)$", DOCKERFILE, re.M)
    assert user == [str(read("driver.yaml")["spec"]["securityContext"]["runAsUser"])]
    assert f"PYSPARK_PYTHON={IMAGE_PYTHON} " in DOCKERFILE
    assert f" {IMAGE_ENTRY.removeprefix('local://')} " in DOCKERFILE
    assert f"NITAMONO_CACHE={CACHE} " in DOCKERFILE
    assert 'ENTRYPOINT ["/opt/entrypoint.sh"]' in DOCKERFILE


def test_what_the_image_copies_is_let_through_and_there() -> None:
    copied = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.M)
    let_through = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n!")[1:]
    assert sorted(copied) == sorted(line.strip() for line in let_through)
    assert all((ROOT / name).is_file() for name in copied if not name.startswith("dist/"))


def test_the_image_and_the_archive_have_the_versions_that_tests_run_with() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / name).read_text(encoding="utf-8")
        found = re.findall(
            r"^([\w.-]+==\S+)(?: ;.*?)? \\\n((?:    --hash=\S+(?: \\)?\n)+)", text, re.M
        )
        return dict(found)

    runtime, everything = pins("requirements-runtime.lock"), pins("requirements.lock")
    assert len(runtime) > 20
    assert runtime.items() <= everything.items()
    assert not [name for name in runtime if name.startswith(("pytest", "moto", "mypy"))]
