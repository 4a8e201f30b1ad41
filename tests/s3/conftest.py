"""A bucket of an S3Proxy, reached through a proxy that breaks on demand."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from models.stores import S3Options, StoreOptions
from pipeline.errors import StageError
from pipeline.storage.object_path import ObjectPath
from tests import once
from tests.models.conftest import s3_server
from tests.requirements import missing
from tests.s3 import s3proxy
from tests.s3.proxy import Proxy, running

__all__ = ["s3_server"]


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an S3Proxy of this worker's own; its jars are fetched once for all workers."""
    try:
        jars = once.folder(tmp_path_factory, "s3proxy-jars", s3proxy.fetch)
    except StageError as error:
        missing(f"S3Proxy can't be fetched: {error}", "let Ivy reach a Maven repository")
    with s3proxy.serving(jars, tmp_path_factory.mktemp("s3proxy")) as url:
        yield url


@pytest.fixture
def faulty(object_store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What the code under test reaches; nothing is broken yet."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3proxy.KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3proxy.SECRET)
    with running(object_store) as proxy:
        yield proxy


@pytest.fixture
def s3(object_store: str, faulty: Proxy) -> Any:
    """A plain boto3 client that goes past the proxy: the second reader and writer."""
    return s3proxy.client(object_store)


@pytest.fixture
def options(faulty: Proxy) -> StoreOptions:
    """How to reach the object store through the proxy."""
    return StoreOptions(S3Options(endpoint=faulty.url, region="us-east-1"))


@pytest.fixture
def root(s3: Any, options: StoreOptions) -> ObjectPath:
    """A folder of odd name in a bucket of the test's own."""
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    return ObjectPath.parse(f"s3a://{bucket}/夜 の/店 1+%20#?", options)
