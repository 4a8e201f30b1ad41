"""A catalogue in a real PostgreSQL, read by JDBC."""

from pathlib import Path

import pytest

from tests import servers
from tests.lakehouse.lake import drive

pytestmark = pytest.mark.slow
PASSWORD = "not-a-secret-of-anyone"  # noqa: S105 - of a server that lives for this test


def test_table_of_a_database_gives_the_items_of_the_file(tmp_path: Path) -> None:
    with servers.postgres(PASSWORD) as server:
        facts = drive("jdbc", tmp_path, str(server.port), SHOP_PASSWORD=PASSWORD)
    assert facts["tasks"] == 4
    assert facts["files"][:2] == ["done", 100_000]
    assert facts["database"] == facts["files"]
    assert facts["again"] == ["reused", *facts["files"][1:]]
    assert facts["secret"] == []
