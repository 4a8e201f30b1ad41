"""Shipping on a cluster: two executors of two Python workers each, one host, one session."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from models import Embedder, fasttext, onnx
from models.stores import S3Options, StoreOptions, push
from tests.cluster.standalone import StandaloneCluster
from tests.models.cluster_driver import TEXTS
from tests.models.conftest import BUCKET, client, entries, leftovers
from tests.models.encoder import write_encoder
from tests.models.fasttext.files import Bin

Steps = dict[str, dict[str, Any]]


@dataclass
class Run:
    """The results of the driver's steps, and the cache of the host that its executors share."""

    steps: Steps
    cache: Path
    contents: dict[str, dict[str, str]]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# This takes more than a minute; tests/cluster ships a model to executors in every run of the suite.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(s3_server: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run all steps in one session."""
    folder = tmp_path_factory.mktemp("cluster")
    data = {name: os.urandom(100_000) for name in ("one", "two", "three", "object", "shared")}
    for name, content in data.items():
        (folder / f"{name}.bin").write_bytes(content)
    (folder / "nightly.bin").write_bytes(b"")
    packed = fasttext.pack(Bin(dim=8).write(folder / "fasttext.bin"), folder / "packed")
    encoder = onnx.pack(write_encoder(folder / "bert"), folder / "encoder")
    (folder / "onnx" / "語彙").mkdir(parents=True)
    (folder / "onnx" / "model.onnx").write_bytes(data["one"])
    (folder / "onnx" / "語彙" / "単語 1.txt").write_bytes(data["two"])

    credentials = {"AWS_ACCESS_KEY_ID": "test-key", "AWS_SECRET_ACCESS_KEY": "test-secret"}
    environment = credentials | {
        "NITAMONO_CACHE": str(folder / "the driver's host"),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in credentials.items():
            patch.setenv(name, value)
        options = StoreOptions(S3Options(endpoint=s3_server, region="us-east-1"))
        client(s3_server).create_bucket(Bucket=BUCKET)
        push(folder / "object.bin", f"s3://{BUCKET}/モデル/1 +%20#?.bin", options)
        push(folder / "onnx", f"s3://{BUCKET}/onnx", options)
        push(packed, f"s3://{BUCKET}/fasttext/model.safetensors", options)
        push(encoder, f"s3://{BUCKET}/encoder", options)

    def local(name: str, method: str, **more: str) -> dict[str, Any]:
        return {"source": str(folder / name), "method": method, **more}

    def stored(key: str, **more: str) -> dict[str, Any]:
        source = f"s3://{BUCKET}/{key}"
        return {"source": source, "method": "auto", "endpoint": s3_server, **more}

    def vectors(model: Embedder) -> dict[str, str]:
        return {"": digest(model.embed(TEXTS).tobytes())}

    steps = {
        "addfile": local("one.bin", "addfile"),
        "archive": local("onnx", "archive"),
        "s3": stored("モデル/1 +%20#?.bin"),
        "s3 prefix": stored("onnx/"),
        "path": local("shared.bin", "path"),
        "auto file": local("two.bin", "auto"),
        "auto directory": local("onnx", "auto"),
        "first night": local("nightly.bin", "addfile", replace_with=str(folder / "two.bin")),
        "second night": local("nightly.bin", "addfile", replace_with=str(folder / "three.bin")),
        "first night's again": {"again": 7},
        "fasttext by addfile": local("packed/model.safetensors", "addfile", kind="fasttext"),
        "fasttext by path": local("packed/model.safetensors", "path", kind="fasttext"),
        "fasttext by s3": stored("fasttext/model.safetensors", kind="fasttext"),
        "encoder by archive": local("encoder", "archive", kind="onnx"),
        "encoder by s3": stored("encoder/", kind="onnx"),
    }
    cache = folder / "the executors' host"
    env = credentials | {"NITAMONO_CACHE": str(cache)}
    with StandaloneCluster(folder / "cluster", cores=2, env=env) as cluster:
        driver = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("cluster_driver.py"))],
            input=json.dumps(list(steps.values())),
            env=os.environ | environment | {"CLUSTER": json.dumps(cluster.conf())},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert driver.returncode == 0, driver.stderr[-5000:]
    results = json.loads(driver.stdout.splitlines()[-1])
    directory = {"model.onnx": digest(data["one"]), "語彙/単語 1.txt": digest(data["two"])}
    contents = {
        "addfile": {"": digest(data["one"])},
        "archive": directory,
        "s3": {"": digest(data["object"])},
        "s3 prefix": directory,
        "path": {"": digest(data["shared"])},
        "auto file": {"": digest(data["two"])},
        "auto directory": directory,
        "first night": {"": digest(data["two"])},
        "second night": {"": digest(data["three"])},
        "first night's again": {"": digest(data["two"])},
    }
    for method in ("addfile", "path", "s3"):
        contents[f"fasttext by {method}"] = vectors(fasttext.load(packed))
    for method in ("archive", "s3"):
        contents[f"encoder by {method}"] = vectors(onnx.load(encoder))
    return Run(dict(zip(steps, results, strict=True)), cache, contents)


ALL = [
    "addfile",
    "archive",
    "s3",
    "s3 prefix",
    "path",
    "auto file",
    "auto directory",
    "first night",
    "second night",
    "first night's again",
    "fasttext by addfile",
    "fasttext by path",
    "fasttext by s3",
    "encoder by archive",
    "encoder by s3",
]
# The steps whose content is new to the workers.
FRESH = [
    "addfile",
    "archive",
    "s3",
    "path",
    "auto file",
    "second night",
    "fasttext by addfile",
    "encoder by archive",
]


@pytest.mark.parametrize("step", ALL)
def test_every_worker_and_the_driver_see_the_content_that_was_shipped(step: str, run: Run) -> None:
    result = run.steps[step]
    assert [task["content"] for task in result["tasks"]] == [run.contents[step]] * 4
    assert result["driver"] == run.contents[step]
    assert result["pickled"] < 1000


@pytest.mark.parametrize("step", ALL)
def test_two_executors_have_one_file_on_their_host(step: str, run: Run) -> None:
    tasks = run.steps[step]["tasks"]
    assert len({task["root"] for task in tasks}) == 2
    assert len({task["process"] for task in tasks}) == 4
    assert len({task["inode"] for task in tasks}) == 1
    assert len({task["path"] for task in tasks}) == 1


@pytest.mark.parametrize("step", FRESH)
def test_each_worker_loads_a_model_once_over_its_batches(step: str, run: Run) -> None:
    result = run.steps[step]
    assert [task["batches"] for task in result["tasks"]] == [5] * 4
    loads = result["loads"]
    assert (loads["loads"], loads["processes"], loads["most_in_one_process"]) == (4, 4, 1)
    assert loads["seconds"] > 0


@pytest.mark.parametrize("step", sorted(set(ALL) - set(FRESH)))
def test_a_worker_that_has_a_model_does_not_load_it_again(step: str, run: Run) -> None:
    assert run.steps[step]["loads"]["loads"] == 0


def test_the_host_keeps_one_copy_of_each_model(run: Run) -> None:
    names = {step["entry"] for step in run.steps.values() if step["method"] != "path"}
    assert entries(run.cache) == sorted(names)
    assert len(names) == 7
    assert leftovers(run.cache) == []


def test_added_files_are_linked_into_the_cache_not_copied(run: Run) -> None:
    for step in ("addfile", "archive"):
        assert {task["links"] for task in run.steps[step]["tasks"]} == {2}


def test_auto_selects_a_method_for_a_cluster(run: Run) -> None:
    methods = {step: run.steps[step]["method"] for step in ("s3", "auto file", "auto directory")}
    assert methods == {"s3": "s3", "auto file": "addfile", "auto directory": "archive"}
