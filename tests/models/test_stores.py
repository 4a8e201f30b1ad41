"""Addresses and options of object stores, and models in those that are not S3."""

import pickle
import sys
from pathlib import Path

import pytest

from models import ModelError
from models.content import read_content
from models.stores import StoreOptions, objects, pull, push
from models.stores.address import Address
from models.stores.client import ObjectStoreError, connect
from models.stores.gcs import GcsClient
from tests.stores.conftest import azurite, bucket, fake_gcs, faulty, kind, options, server

__all__ = ["azurite", "bucket", "fake_gcs", "faulty", "kind", "options", "server"]

AZURE = "abfss://shop@account.dfs.core.windows.net"


@pytest.mark.parametrize("uri", ["gs://shop/a b/%20#?", f"{AZURE}/a b/%20#?", f"{AZURE}/"])
def test_an_address_is_read_unchanged(uri: str) -> None:
    assert str(Address.parse(uri)) == uri


@pytest.mark.parametrize(
    ("uri", "form"),
    [
        ("gs://", "gs://BUCKET/KEY"),
        ("abfss://shop/key", "abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/KEY"),
        ("abfss://shop@account/key", "abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/KEY"),
        ("abfss://@account.dfs.core.windows.net/k", "abfss://CONTAINER@ACCOUNT"),
    ],
)
def test_a_malformed_address_is_refused_with_the_right_form(uri: str, form: str) -> None:
    with pytest.raises(ModelError, match=f"write an? .* as {form}"):
        Address.parse(uri)


def test_endpoints_with_credentials_are_refused() -> None:
    for name in ("gcs_endpoint", "azure_endpoint"):
        with pytest.raises(ModelError, match="holds credentials"):
            StoreOptions(**{name: "https://user:password@store.example"})  # type: ignore[arg-type]


def test_the_extra_is_named_where_obstore_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ModelError, match=r"pip install 'nitamono\[stores\]'"):
        GcsClient("shop", None)


def test_missing_credentials_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("AZURE_CLIENT_ID", "somebody")
    # Nothing answers where a host of the clouds has its identity.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr("models.stores.obstores.REQUEST_ATTEMPTS", 1)
    for uri, advice in ((f"gs://{tmp_path.name}/a", "gcloud auth"), (f"{AZURE}/a", "az login")):
        with pytest.raises(ObjectStoreError, match=f"no credentials; give some: .*{advice}"):
            connect(Address.parse(uri), StoreOptions()).get(Address.parse(uri))


def test_a_model_comes_back_as_it_was(bucket: str, options: StoreOptions, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub dir").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"weights")
    (folder / "sub dir" / "語彙 #1.txt").write_text("語")
    pushed = push(folder, f"{bucket}/dirs/one?", options)
    assert objects.content_of(f"{bucket}/dirs/one?/", options) == pushed == read_content(folder)
    pulled = pull(f"{bucket}/dirs/one?", tmp_path / "here", options)
    assert read_content(pulled) == pushed
    # The object's metadata has its sha256; another tool's object is read.
    file = f"{bucket}/dirs/one?/model.onnx"
    sha256 = read_content(folder / "model.onnx").sha256
    address = Address.parse(file)
    client = connect(address, options)
    assert client.head(address).metadata["sha256"] == sha256
    client.put(address, b"weights")
    assert "sha256" not in client.head(address).metadata
    assert objects.content_of(file, options).sha256 == sha256
    with pytest.raises(ModelError, match=f"{bucket}/none: no such object"):
        objects.content_of(f"{bucket}/none", options)


def test_options_and_paths_are_pickled_without_their_client(options: StoreOptions) -> None:
    assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301 - our own
