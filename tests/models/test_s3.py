import hashlib
import os
from pathlib import Path

import pytest

from models import ModelError
from models.content import read_content
from models.stores import S3Options, StoreOptions, objects, pull, push
from models.stores.address import Address
from tests.models.conftest import BUCKET, client
from tests.s3.proxy import Proxy

KEYS = [
    "plain.bin",
    "with space/a b.bin",
    "日本語/モデル.bin",
    "per%cent/%20/100%.bin",
    "plus+plus.bin",
    "hash#tag.bin",
    "question?mark=1&x=2.bin",
    "a//b/../c.bin",
    "~!@$^*(){}[]|\\;:',<>`\".bin",
]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("key", KEYS)
def test_any_legal_key_can_be_pushed_looked_up_and_fetched(
    key: str, proxy: Proxy, options: StoreOptions, tmp_path: Path
) -> None:
    data = os.urandom(1000)
    (tmp_path / "model").write_bytes(data)
    uri = f"s3://{BUCKET}/{key}"
    pushed = push(tmp_path / "model", uri, options)
    stored = client(proxy.url).get_object(Bucket=BUCKET, Key=key)
    assert stored["Body"].read() == data
    assert stored["Metadata"] == {"sha256": digest(data)}
    proxy.gets.clear()
    assert objects.content_of(uri, options) == pushed == read_content(tmp_path / "model")
    assert proxy.gets == []  # the metadata has the sha256
    objects.fetch(uri, tmp_path / "fetched", pushed, options)
    assert (tmp_path / "fetched").read_bytes() == data


def test_an_object_of_another_tool_is_read_once_for_its_sha256(
    proxy: Proxy, options: StoreOptions
) -> None:
    data = os.urandom(3 << 20)
    client(proxy.url).put_object(Bucket=BUCKET, Key="foreign", Body=data)
    client(proxy.url).put_object(Bucket=BUCKET, Key="empty", Body=b"")
    assert objects.content_of(f"s3://{BUCKET}/foreign", options).sha256 == digest(data)
    assert len(proxy.gets) == 1
    assert objects.content_of(f"s3a://{BUCKET}/empty", options).sha256 == digest(b"")


def test_reading_goes_on_where_bodies_break_off(proxy: Proxy, options: StoreOptions) -> None:
    data = os.urandom(4 << 20)
    client(proxy.url).put_object(Bucket=BUCKET, Key="breaking", Body=data)
    proxy.faults = ["cut", "cut"]
    assert objects.content_of(f"s3://{BUCKET}/breaking", options).sha256 == digest(data)
    assert proxy.faults == []
    assert len(proxy.gets) == 3


def test_large_files_travel_in_parts(proxy: Proxy, options: StoreOptions, tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 40
    (tmp_path / "large.bin").write_bytes(data)
    content = push(tmp_path / "large.bin", f"s3://{BUCKET}/large.bin", options)
    head = client(proxy.url).head_object(Bucket=BUCKET, Key="large.bin")
    assert head["ETag"].endswith('-3"')
    proxy.faults = ["503", "cut", ""]
    objects.fetch(f"s3://{BUCKET}/large.bin", tmp_path / "fetched", content, options)
    assert digest((tmp_path / "fetched").read_bytes()) == digest(data) == content.sha256


def test_a_file_that_the_store_has_is_not_sent_again(
    proxy: Proxy, options: StoreOptions, tmp_path: Path
) -> None:
    (tmp_path / "m.bin").write_bytes(b"one")
    uri = f"s3://{BUCKET}/again/"
    push(tmp_path / "m.bin", uri, options)
    before = client(proxy.url).head_object(Bucket=BUCKET, Key="again/m.bin")
    push(tmp_path / "m.bin", uri, options)
    after = client(proxy.url).head_object(Bucket=BUCKET, Key="again/m.bin")
    assert before["LastModified"] == after["LastModified"]
    (tmp_path / "m.bin").write_bytes(b"two")
    push(tmp_path / "m.bin", uri, options)
    now = client(proxy.url).get_object(Bucket=BUCKET, Key="again/m.bin")
    assert now["Body"].read() == b"two"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "onnx モデル"
    (folder / "sub dir").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"weights")
    (folder / "sub dir" / "語彙 #1.txt").write_text("語")
    return folder


def test_a_directory_comes_back_as_it_was(
    folder: Path, options: StoreOptions, tmp_path: Path
) -> None:
    pushed = push(folder, f"s3://{BUCKET}/dirs/one?", options)
    uri = f"s3://{BUCKET}/dirs/one?/"
    assert objects.content_of(uri, options) == pushed == read_content(folder)
    pulled = pull(uri, tmp_path / "here", options)
    assert pulled == tmp_path / "here" / "one?"
    assert sorted(p.relative_to(pulled) for p in pulled.rglob("*")) == sorted(
        p.relative_to(folder) for p in folder.rglob("*")
    )
    assert (pulled / "sub dir" / "語彙 #1.txt").read_text() == "語"
    assert list((tmp_path / "here").iterdir()) == [pulled]


def test_a_directory_of_another_tool_is_found_by_its_prefix(
    folder: Path, proxy: Proxy, options: StoreOptions
) -> None:
    plain = client(proxy.url)
    plain.put_object(Bucket=BUCKET, Key="synced/", Body=b"")
    for file in folder.rglob("*"):
        if file.is_file():
            key = f"synced/{file.relative_to(folder)}"
            plain.put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())
    assert objects.content_of(f"s3://{BUCKET}/synced", options) == read_content(folder)


def test_a_file_replaced_in_a_pushed_directory_is_noticed(
    folder: Path, proxy: Proxy, options: StoreOptions, tmp_path: Path
) -> None:
    push(folder, f"s3://{BUCKET}/mixed", options)
    client(proxy.url).put_object(Bucket=BUCKET, Key="mixed/model.onnx", Body=b"WEIGHTS")
    with pytest.raises(ModelError, match="replaced or damaged"):
        pull(f"s3://{BUCKET}/mixed", tmp_path / "here", options)
    assert list((tmp_path / "here").iterdir()) == []


def test_a_key_that_leads_out_of_the_directory_is_refused(
    proxy: Proxy, options: StoreOptions, tmp_path: Path
) -> None:
    client(proxy.url).put_object(Bucket=BUCKET, Key="evil/../../x", Body=b"x")
    with pytest.raises(ModelError, match="can't be a file inside"):
        pull(f"s3://{BUCKET}/evil/", tmp_path / "here", options)


def test_missing_objects_and_buckets_are_named(options: StoreOptions) -> None:
    with pytest.raises(ModelError, match=f"s3://{BUCKET}/nothing/here: no such object"):
        objects.content_of(f"s3://{BUCKET}/nothing/here", options)
    with pytest.raises(ModelError, match="no such bucket"):
        objects.content_of("s3://no-bucket/x/", options)


def test_missing_credentials_are_reported(
    options: StoreOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(ModelError, match="Unable to locate credentials; give boto3 some"):
        objects.content_of(f"s3://{BUCKET}/x", options)
    with pytest.raises(ModelError, match=r"profile .nobody. could not be found"):
        objects.content_of(f"s3://{BUCKET}/x", StoreOptions(S3Options(profile="nobody")))


def test_options_with_credentials_are_refused() -> None:
    with pytest.raises(ModelError, match="holds credentials"):
        StoreOptions(S3Options(endpoint="https://user:password@store.example"))


@pytest.mark.parametrize("uri", ["http://a/b", "s3:/a/b", "s3://", "s3:///key", "/a/b"])
def test_a_malformed_address_is_refused(uri: str) -> None:
    with pytest.raises(ModelError, match="write an S3 address as"):
        Address.parse(uri)
