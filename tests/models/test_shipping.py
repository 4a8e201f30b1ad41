import hashlib
import os
import pickle
import signal
import threading
import time
from multiprocessing import get_context
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from models import Handle, ModelError, local_path, ship
from models.stores import S3Options, StoreOptions, push
from tests.models.conftest import BUCKET, SECRET, client, entries, leftovers
from tests.s3.proxy import Proxy

SPAWN = get_context("spawn")


def put(tmp_path: Path, options: StoreOptions, data: bytes, key: str) -> str:
    (tmp_path / "pushed").write_bytes(data)
    push(tmp_path / "pushed", f"s3://{BUCKET}/{key}", options)
    return f"s3://{BUCKET}/{key}"


def fetch(handle: Handle) -> None:
    local_path(handle)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "モデル v1.bin"
    path.write_bytes(os.urandom(5000))
    return path


def test_on_one_machine_a_model_is_used_where_it_is(
    spark: SparkSession, model: Path, cache_root: Path
) -> None:
    handle = ship(spark.sparkContext, model, kind="bytes")
    assert (handle.method, handle.name) == ("path", model.name)
    assert local_path(handle) == model
    assert handle.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert not (cache_root / "entries").exists()


def test_a_model_that_is_retrained_in_place_is_another(
    spark: SparkSession, model: Path, cache_root: Path
) -> None:
    old = {
        method: ship(spark.sparkContext, model, kind="bytes", method=method)
        for method in ("path", "addfile")
    }
    before = model.read_bytes()
    model.write_bytes(os.urandom(5000))
    new = ship(spark.sparkContext, model, kind="bytes")
    assert new.key != old["path"].key
    assert local_path(new) == model
    assert local_path(old["addfile"]).read_bytes() == before
    with pytest.raises(ModelError, match="its content is not what was shipped"):
        local_path(old["path"])


def test_the_driver_reads_a_directory_that_travels_as_an_archive(
    spark: SparkSession, cache_root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "onnx"
    (folder / "下").mkdir(parents=True)
    (folder / "下" / "語彙.txt").write_text("語")
    os.utime(folder / "下" / "語彙.txt", (0, 0))
    handle = ship(spark.sparkContext, folder, kind="files", method="archive")
    path = local_path(handle)
    assert path.parent == cache_root / "entries"
    assert (path / "下" / "語彙.txt").read_text() == "語"
    assert leftovers(cache_root) == []


def test_a_handle_is_small_and_holds_no_credentials(
    spark: SparkSession, model: Path, options: StoreOptions, cache_root: Path
) -> None:
    named = StoreOptions(
        S3Options(
            endpoint="https://object-store.example.co.jp:9000",
            region="ap-northeast-1",
            profile="nightly",
        ),
        staging=f"s3://{BUCKET}/staging",
    )
    uri = put(model.parent, options, b"x", "カタログ/2025-01-01/fasttext/モデル.safetensors")
    sent = ship(spark.sparkContext, uri, kind="fasttext", stores=options)
    handles = [
        ship(spark.sparkContext, model, kind="fasttext", method="path"),
        ship(spark.sparkContext, model, kind="fasttext", method="addfile"),
        sent,
        Handle("fasttext", "名" * 80, sent.content, "s3", sent.address, named),
    ]
    for handle in handles:
        pickled = pickle.dumps(handle)
        assert len(pickled) < 1000
        assert pickle.loads(pickled) == handle  # noqa: S301
        assert SECRET.encode() not in pickled


def test_a_local_model_is_staged_in_the_store(
    spark: SparkSession, model: Path, proxy: Proxy, cache_root: Path
) -> None:
    staged = StoreOptions(
        S3Options(endpoint=proxy.url, region="us-east-1"), staging=f"s3://{BUCKET}/staging/"
    )
    handle = ship(spark.sparkContext, model, kind="bytes", method="s3", stores=staged)
    assert handle.address == f"s3://{BUCKET}/staging/{handle.sha256}.bin"
    assert handle.stores == StoreOptions(S3Options(endpoint=proxy.url, region="us-east-1"))
    assert local_path(handle).read_bytes() == model.read_bytes()


@pytest.mark.parametrize("faults", [["503", "503", "503"], ["cut"], ["cut", "503", "cut"]])
def test_requests_to_a_failing_store_are_repeated(
    faults: list[str],
    spark: SparkSession,
    proxy: Proxy,
    options: StoreOptions,
    cache_root: Path,
    tmp_path: Path,
) -> None:
    data = os.urandom(200_000)
    uri = put(tmp_path, options, data, "failing.bin")
    handle = ship(spark.sparkContext, uri, kind="bytes", stores=options)
    proxy.faults = list(faults)
    proxy.gets.clear()
    assert local_path(handle).read_bytes() == data
    assert len(proxy.gets) == len(faults) + 1


def test_a_store_that_keeps_failing_is_reported(
    spark: SparkSession, proxy: Proxy, options: StoreOptions, cache_root: Path, tmp_path: Path
) -> None:
    uri = put(tmp_path, options, os.urandom(2000), "ill.bin")
    handle = ship(spark.sparkContext, uri, kind="bytes", stores=options)
    proxy.faults = ["cut"] * 100
    with pytest.raises(ModelError, match=f"{uri}: broke off"):
        local_path(handle)
    assert entries(cache_root) == leftovers(cache_root) == []


def test_wrong_content_from_the_store_is_not_used(
    spark: SparkSession, proxy: Proxy, options: StoreOptions, cache_root: Path, tmp_path: Path
) -> None:
    data = os.urandom(2000)
    uri = put(tmp_path, options, data, "wrong.bin")
    handle = ship(spark.sparkContext, uri, kind="bytes", stores=options)
    proxy.faults = ["flip"]
    with pytest.raises(ModelError, match=r"wrong.bin \(s3\): its content is not what was shipped"):
        local_path(handle)
    assert entries(cache_root) == leftovers(cache_root) == []
    client(proxy.url).put_object(Bucket=BUCKET, Key="wrong.bin", Body=b"retrained")
    with pytest.raises(ModelError, match="its content is not what was shipped"):
        local_path(handle)
    put(tmp_path, options, data, "wrong.bin")
    assert local_path(handle).read_bytes() == data


def test_processes_that_start_at_once_download_once(
    spark: SparkSession, proxy: Proxy, options: StoreOptions, cache_root: Path, tmp_path: Path
) -> None:
    uri = put(tmp_path, options, os.urandom(2000), "at-once.bin")
    handle = ship(spark.sparkContext, uri, kind="bytes", stores=options)
    proxy.gets.clear()
    proxy.faults = ["hang"]
    processes = [SPAWN.Process(target=fetch, args=(handle,)) for _ in range(2)]
    for process in processes:
        process.start()
    assert proxy.hanging.wait(30)
    # The second process can start its download too early; then the first one's broken body is read
    # again.
    threading.Timer(1.0, proxy.released.set).start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert proxy.gets == [f"/{BUCKET}/at-once.bin"] * 2


def test_a_killed_download_leaves_no_entry(
    spark: SparkSession, proxy: Proxy, options: StoreOptions, cache_root: Path, tmp_path: Path
) -> None:
    data = os.urandom(1 << 20)
    handle = ship(
        spark.sparkContext, put(tmp_path, options, data, "killed.bin"), kind="bytes", stores=options
    )
    proxy.faults = ["hang"]
    process = SPAWN.Process(target=fetch, args=(handle,))
    process.start()
    assert proxy.hanging.wait(30)
    while not leftovers(cache_root):
        assert process.is_alive()
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert entries(cache_root) == []
    assert leftovers(cache_root) != []
    assert local_path(handle).read_bytes() == data
    assert entries(cache_root) == [handle.entry]
    assert leftovers(cache_root) == []


def test_a_method_that_does_not_fit_is_refused(
    spark: SparkSession, model: Path, cache_root: Path
) -> None:
    context = spark.sparkContext
    with pytest.raises(ModelError, match="archive is for directories"):
        ship(context, model, kind="bytes", method="archive")
    with pytest.raises(ModelError, match="addfile is for files"):
        ship(context, model.parent, kind="bytes", method="addfile")
    with pytest.raises(ModelError, match=r"needs StoreOptions.staging"):
        ship(context, model, kind="bytes", method="s3")
    with pytest.raises(ModelError, match="path is for local models"):
        ship(context, f"s3://{BUCKET}/x", kind="bytes", method="path")


def test_a_handle_of_another_session_is_refused(
    spark: SparkSession, model: Path, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = ship(spark.sparkContext, model, kind="bytes", method="addfile")
    monkeypatch.setenv("NITAMONO_CACHE", str(cache_root.parent / "another host"))
    with pytest.raises(ModelError, match=r"call models.shipping.ship in this one"):
        local_path(handle)
