"""A night on a cluster on Azure and Google Cloud: the same table as in local mode on a disk."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from models.stores import StoreOptions, push
from models.stores.address import Address
from models.stores.client import connect
from pipeline.cli.main import execute
from pipeline.storage.object_path import ObjectPath
from tests.cluster.conftest import ROOT
from tests.cluster.runs import KEYS, Run
from tests.cluster.standalone import StandaloneCluster
from tests.requirements import missing
from tests.s3.proxy import Proxy, running
from tests.stores import emulators
from tests.stores.conftest import KINDS, azurite, fake_gcs

__all__ = ["azurite", "fake_gcs"]

pytestmark = pytest.mark.cluster

NITAMONO = Path(sys.executable).with_name("nitamono")
CATALOGUE = ROOT / "data_samples" / "night1.csv"
BUCKETS = {
    "azure": f"abfss://shop@{emulators.ACCOUNT}.dfs.core.windows.net",
    "gcs": "gs://shop",
}


class Shop:
    """A config whose store, catalogue and model are in an object store."""

    def __init__(self, folder: Path, kind: str, server: str, proxy: Proxy, model: Path) -> None:
        self.bucket, self.proxy = BUCKETS[kind], proxy
        make = {"azure": emulators.make_container, "gcs": emulators.make_bucket}[kind]
        make(server, "shop")
        if kind == "azure":
            self.options = StoreOptions(azure_endpoint=server)
        else:
            self.options = StoreOptions(gcs_endpoint=server)
        catalogue = Address.parse(f"{self.bucket}/入力 data/night1.csv")
        connect(catalogue, self.options).upload(catalogue, CATALOGUE, {})
        push(model, f"{self.bucket}/モデル 1+%20#/model.safetensors", self.options)
        self.root = ObjectPath.parse(f"{self.bucket}/夜 の store", self.options)
        self.config = folder / "nitamono.toml"
        self.config.write_text(
            f'[store]\npath = "{self.root}"\n[catalogue]\npath = "{catalogue}"\n'
            f'[model]\npath = "{self.bucket}/モデル 1+%20#/model.safetensors"\n'
            f'[{kind}]\nendpoint = "{proxy.url}"\n'
            # fake-gcs-server knows no moves; then the connector copies and deletes.
            '[spark]\n"spark.hadoop.fs.gs.operation.move.enable" = "false"\n'
        )

    def start(self, cluster: StandaloneCluster, run_id: str) -> "subprocess.Popen[str]":
        """Start a run that publishes."""
        conf = cluster.conf() | {
            "spark.pyspark.python": sys.executable,
            "spark.driver.memory": "1g",
            "spark.executor.memory": "700m",
            "spark.sql.shuffle.partitions": "3",
        }
        return subprocess.Popen(
            [
                *(str(NITAMONO), "submit", "--config", str(self.config), "--master", cluster.url),
                *(text for name, value in conf.items() for text in ("--conf", f"{name}={value}")),
                *("run", "--run-id", run_id, "--publish"),
            ],
            env=os.environ | {"PYTHONPATH": str(ROOT), "SPARK_LOCAL_IP": "127.0.0.1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def latest(self, table: str) -> dict[str, str]:
        """The pointer of a table."""
        found: dict[str, str] = json.loads((self.root / f"tables/{table}/LATEST").read_text())
        return found

    def table(self, name: str) -> pa.Table:
        """The published version of a table, sorted, read without the code under test."""
        folder = ObjectPath.parse(self.latest(name)["path"], self.options)
        files = sorted(folder.glob("*.parquet"), key=str)
        parts = [pq.read_table(io.BytesIO(file.read_bytes())) for file in files]
        return pa.concat_tables(parts).sort_by([(key, "ascending") for key in KEYS[name]])


@pytest.fixture(scope="module")
def local(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tables of the night in local mode, and the model that it trained."""
    folder = tmp_path_factory.mktemp("local")
    sets = ("model.epoch=1", f"store.path={folder}", f"catalogue.path={CATALOGUE}")
    words = [word for each in sets for word in ("--set", each)]
    config = str(ROOT / "data_samples" / "nitamono.toml")
    execute(["run", "--config", config, "--run-id", "night", *words, "--publish"])
    (model,) = folder.glob("models/*/model.safetensors")
    run = Run(folder, folder)
    return {name: run.table(name) for name in KEYS} | {"model": model}


@pytest.fixture(scope="module", params=KINDS)
def ran(
    request: pytest.FixtureRequest,
    local: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Any]]:
    """Two runs that publish, at the same time, while the store asks now and then to slow down."""
    kind: str = request.param
    server: str = request.getfixturevalue({"azure": "azurite", "gcs": "fake_gcs"}[kind])
    env = {
        "AZURE_STORAGE_ACCOUNT_KEY": emulators.KEY,
        "NITAMONO_CACHE": str(tmp_path_factory.mktemp("cache")),
    }
    with pytest.MonkeyPatch.context() as patch, running(server) as proxy:
        for name, value in env.items():
            patch.setenv(name, value)
        shop = Shop(tmp_path_factory.mktemp("shop"), kind, server, proxy, local["model"])
        with StandaloneCluster(tmp_path_factory.mktemp("cluster"), env=env) as cluster:
            proxy.slow_every = 50
            runs = {name: shop.start(cluster, name) for name in ("one", "other")}
            # spark-submit writes to stdout what its Python program writes to stderr.
            said = {name: "".join(run.communicate(timeout=500)) for name, run in runs.items()}
            proxy.slow_every = 0
        if any("download failed" in text or "UNRESOLVED" in text for text in said.values()):
            missing("Spark's connector can't be fetched", "let Ivy reach a Maven repository")
        yield {
            "shop": shop,
            "said": said,
            "codes": {name: run.returncode for name, run in runs.items()},
            "slowed": proxy.slow_answers,
        }


def test_of_two_publishers_one_wins_and_the_other_says_so(ran: dict[str, Any]) -> None:
    codes, said = ran["codes"], ran["said"]
    assert sorted(codes.values()) == [0, 5], said
    winner = min(codes, key=lambda name: codes[name])
    loser = max(codes, key=lambda name: codes[name])
    assert f"the store is in use by run {winner} (host " in said[loser]
    assert ran["shop"].latest("similar_items")["run_id"] == winner


@pytest.mark.parametrize("name", KEYS)
def test_the_table_is_that_of_local_mode_to_the_bit(
    local: dict[str, Any], ran: dict[str, Any], name: str
) -> None:
    table = ran["shop"].table(name)
    assert table.num_rows > 2000
    assert table.equals(local[name])


def test_the_store_asked_to_slow_down_and_no_secret_was_told(ran: dict[str, Any]) -> None:
    assert ran["slowed"] > 10
    shop: Shop = ran["shop"]
    runs = [path.read_text() for path in (shop.root / "runs").rglob("*.json")]
    assert runs
    assert emulators.KEY not in "".join([*runs, *ran["said"].values()])


def test_the_old_version_is_collected_with_what_spark_has_made(ran: dict[str, Any]) -> None:
    """No folder's mark stays behind: it would be found, and removed, again and again."""
    shop: Shop = ran["shop"]
    version = shop.root / "tables" / "items"
    (folder,) = [path for path in version.iterdir() if path.name.startswith("version=")]
    copy = ObjectPath.parse(str(folder), shop.options)
    copy.remove_tree()
    assert [path for path in version.iterdir() if path.name.startswith("version=")] == []
