"""Fixtures: a PostgreSQL and a redis for each test module, and a store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.pipeline.export.shops import Shop

PASSWORD = "geheim-42%/@"  # noqa: S105 - the servers live as long as the tests


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture(scope="module")
def postgres() -> Iterator[servers.Server]:
    with servers.postgres(PASSWORD) as server:
        yield server


@pytest.fixture(scope="module")
def redis() -> Iterator[servers.Server]:
    with servers.redis("--requirepass", PASSWORD) as server:
        yield server
