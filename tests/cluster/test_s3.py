"""Nights on a cluster against an object store: the same tables as in local mode on a disk."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.cli.main import execute
from tests.cluster.conftest import ROOT
from tests.cluster.runs import KEYS, Run
from tests.cluster.standalone import StandaloneCluster
from tests.models.conftest import s3_server
from tests.requirements import missing
from tests.s3 import s3proxy
from tests.s3.conftest import object_store
from tests.s3.proxy import Proxy, running

__all__ = ["object_store", "s3_server"]

pytestmark = pytest.mark.cluster

NITAMONO = Path(sys.executable).with_name("nitamono")
SHORT = ("--set", "model.epoch=1")
BUCKET = "shop"
NIGHTS = ("night1", "night2")
# Which tables other programs can read: the second night's embeddings are layers upon the first's.
WHOLE = {"night1": tuple(KEYS), "night2": ("similar_items",)}


class Shop:
    """A config whose store, catalogue and model are in an object store."""

    def __init__(self, folder: Path, proxy: Proxy, object_store: str) -> None:
        self.proxy = proxy
        self.s3 = s3proxy.client(object_store)
        self.arrow = pyarrow.fs.S3FileSystem(
            endpoint_override=object_store, scheme="http", region="us-east-1"
        )
        self.config = folder / "nitamono.toml"
        self.config.write_text(
            f'[store]\npath = "s3a://{BUCKET}/夜 の store"\n'
            f'[catalogue]\npath = "s3a://{BUCKET}/入力 data/night1.csv"\n'
            f'[model]\npath = "s3://{BUCKET}/モデル 1+%20#/model.safetensors"\n'
            f'[s3]\nendpoint = "{proxy.url}"\nregion = "us-east-1"\n'
        )

    def run(self, cluster: StandaloneCluster, night: str) -> str:
        """A night on the cluster; what it wrote to stderr."""
        conf = cluster.conf() | {
            "spark.pyspark.python": sys.executable,
            "spark.driver.memory": "1g",
            "spark.executor.memory": "700m",
            "spark.sql.shuffle.partitions": "3",
        }
        done = subprocess.run(
            [
                *(NITAMONO, "submit", "--config", self.config, "--master", cluster.url),
                *("--set", f"catalogue.path=s3a://{BUCKET}/入力 data/{night}.csv"),
                *(text for name, value in conf.items() for text in ("--conf", f"{name}={value}")),
                *("run", "--run-id", night, "--publish"),
            ],
            env=os.environ | {"PYTHONPATH": str(ROOT), "SPARK_LOCAL_IP": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        if "unresolved dependency" in done.stderr or "download failed" in done.stderr:
            missing("hadoop-aws can't be fetched", "let Ivy reach a Maven repository")
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stderr

    def latest(self, table: str) -> dict[str, str]:
        """The pointer of a table, as another program reads it."""
        found: dict[str, str] = json.loads(self.read(f"tables/{table}/LATEST"))
        return found

    def read(self, name: str) -> bytes:
        """A file of the store, as another program reads it."""
        found: bytes = self.s3.get_object(Bucket=BUCKET, Key=f"夜 の store/{name}")["Body"].read()
        return found

    def table(self, name: str) -> pa.Table:
        """The published version of a table, as another program reads it, sorted."""
        path = self.latest(name)["path"].removeprefix("s3a://")
        return pq.read_table(path, filesystem=self.arrow).sort_by(
            [(key, "ascending") for key in KEYS[name]]
        )


@pytest.fixture(scope="module")
def nights(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tables of both nights in local mode, and the model that the first one trained."""
    folder = tmp_path_factory.mktemp("local")
    run = Run(folder, folder)
    tables: dict[str, Any] = {}
    for night in NIGHTS:
        path = ROOT / "data_samples" / f"{night}.csv"
        sets = ("--set", f"store.path={folder}", "--set", f"catalogue.path={path}")
        config = str(ROOT / "data_samples" / "nitamono.toml")
        execute(["run", "--config", config, "--run-id", night, *SHORT, *sets, "--publish"])
        tables[night] = {name: run.table(name) for name in WHOLE[night]}
    (model,) = folder.glob("models/*/model.safetensors")
    return tables | {"model": model}


@pytest.fixture(scope="module")
def shop(
    object_store: str, nights: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """The object store behind a proxy, with both catalogues and the model."""
    with pytest.MonkeyPatch.context() as patch, running(object_store) as proxy:
        patch.setenv("AWS_ACCESS_KEY_ID", s3proxy.KEY_ID)
        patch.setenv("AWS_SECRET_ACCESS_KEY", s3proxy.SECRET)
        patch.setenv("NITAMONO_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = Shop(tmp_path_factory.mktemp("shop"), proxy, object_store)
        made.s3.create_bucket(Bucket=BUCKET)
        for night in NIGHTS:
            source = str(ROOT / "data_samples" / f"{night}.csv")
            made.s3.upload_file(source, BUCKET, f"入力 data/{night}.csv")
        made.s3.upload_file(str(nights["model"]), BUCKET, "モデル 1+%20#/model.safetensors")
        yield made


@pytest.fixture(scope="module")
def ran(
    shop: Shop, nights: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Both nights on the cluster, while the store asks now and then to slow down."""
    # What executors and their Python workers have on real hosts: a role, or the environment.
    env = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    env["NITAMONO_CACHE"] = os.environ["NITAMONO_CACHE"]
    told: dict[str, Any] = {}
    with StandaloneCluster(tmp_path_factory.mktemp("cluster"), env=env) as cluster:
        shop.proxy.slow_every = 25
        for night in NIGHTS:
            told[night] = shop.run(cluster, night)
            told[f"tables of {night}"] = {name: shop.table(name) for name in WHOLE[night]}
            told[f"version of {night}"] = shop.latest("similar_items")["version"]
        told["slowed"] = shop.proxy.slow_answers
        shop.proxy.slow_every = 0
    return told


@pytest.mark.parametrize(("night", "name"), [(n, name) for n in NIGHTS for name in WHOLE[n]])
def test_the_table_is_that_of_local_mode_to_the_bit(
    nights: dict[str, Any], ran: dict[str, Any], night: str, name: str
) -> None:
    assert nights[night][name].num_rows > 2000
    assert ran[f"tables of {night}"][name].equals(nights[night][name])


def test_the_second_night_was_built_on_the_first(ran: dict[str, Any], shop: Shop) -> None:
    run = json.loads(shop.read("runs/night2/run.json"))
    built = {stage["stage"]: (stage["built_on"], stage["why_full"]) for stage in run["stages"]}
    for stage in ("tokenize", "embed", "index", "neighbors"):
        assert built[stage][0] is not None
        assert built[stage][1] is None


def test_the_store_asked_to_slow_down(ran: dict[str, Any]) -> None:
    assert ran["slowed"] > 20


def test_a_rollback_and_gc(ran: dict[str, Any], shop: Shop) -> None:
    config = str(shop.config)
    execute(["rollback", "--config", config])
    assert shop.latest("similar_items")["version"] == ran["version of night1"]
    before = shop.table("similar_items")
    execute(["gc", "--config", config, "--keep", "1"])
    assert shop.table("similar_items").equals(before)
    found = shop.s3.list_objects_v2(Bucket=BUCKET, Prefix="夜 の store/tables/similar_items/")
    versions = {item["Key"].split("version=")[1].split("/")[0]
                for item in found["Contents"] if "version=" in item["Key"]}  # fmt: skip
    assert versions == {ran["version of night1"], ran["version of night2"]}


def test_the_log_of_each_run_is_in_the_store(ran: dict[str, Any], shop: Shop) -> None:
    for night in NIGHTS:
        about = json.loads(shop.read(f"runs/{night}/run.json"))
        assert about["status"] == "published"
        assert s3proxy.SECRET not in json.dumps(about) + ran[night]
