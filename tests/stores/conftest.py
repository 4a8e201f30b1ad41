"""A bucket in each kind of object store that is not S3, reached through a proxy that breaks."""

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from models.stores import StoreOptions
from pipeline.storage.object_path import ObjectPath
from tests.s3.proxy import Proxy, running
from tests.stores import emulators

KINDS = ("azure", "gcs")


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an Azurite of this worker's own."""
    with emulators.azurite(tmp_path_factory.mktemp("azurite")) as url:
        yield url


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a fake-gcs-server of this worker's own."""
    with emulators.fake_gcs(tmp_path_factory.mktemp("fake-gcs")) as url:
        yield url


@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS])
def kind(request: pytest.FixtureRequest) -> str:
    """Which kind of store; a test that uses a store runs once for each."""
    name: str = request.param
    return name


@pytest.fixture
def server(kind: str, request: pytest.FixtureRequest) -> str:
    """The URL of the kind's server."""
    url: str = request.getfixturevalue({"azure": "azurite", "gcs": "fake_gcs"}[kind])
    return url


@pytest.fixture
def faulty(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What the code under test reaches; nothing is broken yet."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", emulators.KEY)
    with running(server) as proxy:
        yield proxy


@pytest.fixture
def options(kind: str, faulty: Proxy) -> StoreOptions:
    """How to reach the store through the proxy."""
    return _options(kind, faulty.url)


def _options(kind: str, url: str) -> StoreOptions:
    if kind == "azure":
        return StoreOptions(azure_endpoint=url)
    return StoreOptions(gcs_endpoint=url)


@pytest.fixture
def bucket(kind: str, server: str) -> str:
    """The address of a bucket of the test's own."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    if kind == "azure":
        emulators.make_container(server, name)
        return f"abfss://{name}@{emulators.ACCOUNT}.dfs.core.windows.net"
    emulators.make_bucket(server, name)
    return f"gs://{name}"


@pytest.fixture
def root(bucket: str, options: StoreOptions) -> ObjectPath:
    """A folder of odd name in the bucket."""
    return ObjectPath.parse(f"{bucket}/夜 の/店 1+%20#?", options)


@pytest.fixture
def direct(root: ObjectPath, kind: str, server: str) -> ObjectPath:
    """The same folder, past the proxy, for Arrow as the second reader and writer."""
    return replace(root, options=_options(kind, server))
