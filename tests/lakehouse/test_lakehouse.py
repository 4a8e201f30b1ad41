"""Catalogues from real tables of Iceberg and Delta Lake, and results published to such tables."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from pyiceberg.table import StaticTable

from pipeline.spark import connectors
from tests.lakehouse.lake import DELTA, ICEBERG, drive

pytestmark = pytest.mark.slow
if not {"delta", "iceberg"} <= connectors.PACKAGES.get(connectors.release_line(), {}).keys():
    pytest.skip(
        f"Delta Lake and Iceberg are not both released for Spark {connectors.release_line()}: "
        "NOTHING OF THEM IS TESTED",
        allow_module_level=True,
    )
# Where a table is, and how its published versions are read without Spark.
OUT = {
    "iceberg": ("lake.shop.similar_items", "", "iceberg/shop/similar_items"),
    "delta": ("shop.similar_items", "delta", "spark/shop.db/similar_items"),
}


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return drive("nights", tmp_path_factory.mktemp("lake"))


@pytest.mark.parametrize("night", ["night1", "night2"])
@pytest.mark.parametrize("table", [ICEBERG, DELTA])
def test_table_gives_what_files_of_its_rows_give(
    nights: dict[str, Any], night: str, table: str
) -> None:
    assert nights["rows"][night][table] == nights["rows"][night]["files"]
    assert len(nights["rows"][night]["files"]) > 100


def test_rows_were_deleted_by_delete_files_and_by_deletion_vectors(nights: dict[str, Any]) -> None:
    assert all(count > 0 for count in nights["deletes"].values())
    shown = {row[0] for row in nights["rows"]["night2"][ICEBERG]}
    assert not {"i001", "i002"} & shown
    assert "i900" in shown


@pytest.mark.parametrize("table", [ICEBERG, DELTA])
def test_unchanged_table_is_not_read_again(nights: dict[str, Any], table: str) -> None:
    assert set(nights["again"][table].values()) == {"reused"}


@pytest.mark.parametrize("table", [ICEBERG, DELTA])
def test_as_of_the_first_night_is_the_first_nights_table(
    nights: dict[str, Any], table: str
) -> None:
    assert nights["as_of"][table] == nights["rows"]["night1"]["files"]


@pytest.mark.parametrize("table", [ICEBERG, DELTA])
def test_state_that_was_opened_stays_though_the_table_changes(
    nights: dict[str, Any], table: str
) -> None:
    assert nights["pinned"][table] == [39, 39, 40]


@pytest.mark.parametrize("name", ["query", "avro"])
def test_query_and_avro_give_the_same(nights: dict[str, Any], name: str) -> None:
    assert nights[name] == nights["fresh"]
    assert len(nights["fresh"]) > 100


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no table", "3 catalogue.table lake.shop.missing: can't be read"),
        ("no catalog", "look at the name, and at spark.sql.catalog"),
        ("empty", "3 catalogue.table lake.shop.none: no valid row among 0"),
        (
            "nested",
            "3 catalogue.table lake.shop.nested: column title (for title): struct<a:string>",
        ),
        ("view", "[USER_RAISED_EXCEPTION] boom"),
        ("writes", "is no single SELECT"),
        ("two statements", "is no single SELECT"),
        ("no snapshot", "2 catalogue.as_of 99: lake.shop.items has no such snapshot"),
        ("no version", "2 catalogue.as_of 1999-01-01: shop.items has no such version"),
        ("no format", "3 catalogue.format nosuch: can't be read"),
        (
            "no variable",
            "2 catalogue.options: there is no environment variable NITAMONO_NO_VARIABLE",
        ),
    ],
)
def test_what_can_not_be_used_is_said(nights: dict[str, Any], name: str, message: str) -> None:
    assert message in nights["refused"][name]


def read(kind: str, folder: Path) -> list[tuple[Any, ...]] | None:
    """The rows of a published table, read without Spark; None if there is none yet."""
    try:
        if kind == "delta":
            table = DeltaTable(str(folder)).to_pyarrow_table()
        else:
            hint = (folder / "metadata" / "version-hint.text").read_text().strip()
            path = folder / "metadata" / f"v{hint}.metadata.json"
            table = StaticTable.from_metadata(str(path)).scan().to_arrow()
    except (FileNotFoundError, TableNotFoundError):
        return None
    rows = table.sort_by([("item_id", "ascending"), ("rank", "ascending")]).to_pylist()
    return [(row["item_id"], row["rank"], row["similar_id"]) for row in rows]


@contextmanager
def polling(kind: str, folder: Path) -> Iterator[list[int]]:
    """Read the table again and again meanwhile; the number of rows of each version that is new."""
    seen: list[int] = []
    done = threading.Event()
    errors: list[BaseException] = []

    def poll() -> None:
        try:
            while not done.is_set():
                rows = read(kind, folder)
                if rows is not None and (not seen or seen[-1] != len(rows)):
                    seen.append(len(rows))
                done.wait(0.05)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
    assert not errors, errors[0]


@pytest.mark.parametrize("kind", OUT)
def test_table_has_each_published_version_whole(kind: str, tmp_path: Path) -> None:
    table, new_format, path = OUT[kind]
    with polling(kind, tmp_path / path) as seen:
        states = drive("publishing", tmp_path, table, new_format, "nights")["states"]
    assert [state["rows"] for state in states] == [60, 90, 120, 90]
    assert seen == [60, 90, 120, 90]
    assert len({state["latest"] for state in states}) == 3
    for state in states:
        assert state["table"]
        assert state["same"]
        assert not state["note"]
    for step, items in (("commit", 50), ("pointer", 60), ("note", 70)):
        command = [sys.executable, "-m", "tests.lakehouse.publishing", str(tmp_path), table]
        killed = subprocess.run(
            [*command, new_format, "killed", step, str(items)], capture_output=True
        )
        assert killed.returncode == -9, killed.stderr[-2000:]
        (state,) = drive("publishing", tmp_path, table, new_format, "mend")["states"]
        assert state["table"]
        assert state["same"]
        assert state["rows"] == 3 * items
        assert not state["note"]


def test_location_of_a_parquet_table_moves(tmp_path: Path) -> None:
    states = drive("publishing", tmp_path, "shop.plain", "parquet", "nights")["states"]
    assert [state["rows"] for state in states] == [60, 90, 120, 90]
    assert all(state["same"] and state["table"] for state in states)
