"""Versions that share files: whoever reads them reads the rows that are valid, and those alone."""

import random
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession

from pipeline.errors import DamagedError, StageError
from pipeline.storage.list_schemas import LISTS
from pipeline.store import file_list, gc, item_rows, layers
from pipeline.store.arrow_files import Rows
from pipeline.store.retention import Retained
from pipeline.store.scan import ItemRows
from pipeline.store.schemas import ddl
from pipeline.store.store import Store
from tests.pipeline.places import on_disk

VERSIONS = ("v0", "v1", "v2", "v3")
ITEMS, NLIST = 200, 7
# The list and the vector of each item.
Content = dict[str, tuple[int, bytes]]


def frame(spark: SparkSession, rows: Content) -> DataFrame:
    ordered = sorted((number, item, vector) for item, (number, vector) in rows.items())
    values = [(item, number, None, vector) for number, item, vector in ordered]
    return spark.createDataFrame(values, ddl(LISTS)).coalesce(1)


def removals(spark: SparkSession, rows: Content) -> Rows:
    return Rows(frame(spark, rows).select("item_id", "list"), iter)


@pytest.fixture(scope="module")
def written(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Content]]:
    """A table of four versions, each of which shares the files of those before; their rows."""
    root = tmp_path_factory.mktemp("layers")
    store, rng = Store(str(root)), random.Random(5)  # noqa: S311 - test data
    content = {f"i{n:04d}": (rng.randrange(NLIST), b"0") for n in range(ITEMS)}
    contents = [content]
    half = len(content) // 2
    parts = [dict(list(content.items())[:half]), dict(list(content.items())[half:])]
    store.write_arrow("lists", "v0", *(Rows(frame(spark, part), iter) for part in parts))
    for number, version in enumerate(VERSIONS[1:], 1):
        gone = rng.sample(sorted(content), 12)
        # Some come back in the same night, in another list: they were changed.
        new = {item: (rng.randrange(NLIST), b"%d" % number) for item in gone[:7]}
        new[f"n{number}"] = (3, b"n")
        if number == 3:  # An item that left in an earlier night is there again.
            back = next(item for item in contents[0] if item not in content)
            new[back] = (0, b"back")
        old = {item: content[item] for item in gone}
        content = {item: row for item, row in content.items() if item not in gone} | new
        before = VERSIONS[number - 1]
        rows = Rows(frame(spark, new), iter)
        count, part = store.write_layer("lists", version, before, rows, removals(spark, old))
        assert (count, part.rows) == (len(content), len(new))
        contents.append(content)
    return root, contents


@pytest.mark.parametrize("number", range(4))
def test_every_reader_reads_the_valid_rows(
    spark: SparkSession, written: tuple[Path, list[Content]], number: int
) -> None:
    store, content, version = Store(str(written[0])), written[1][number], VERSIONS[number]
    rows = store.read(spark, "lists", version).collect()
    assert len(rows) == len(content)
    assert {row.item_id: (row.list, bytes(row.vector)) for row in rows} == content

    some_ids, names = sorted(content)[::3], ("item_id", "list", "vector")
    schema = pa.schema([LISTS.field(name) for name in names])
    wanted = ItemRows(pa.array(some_ids), names, lambda batch: batch.select(names), schema)
    few = store.rows_of_items(spark, "lists", version, wanted).to_pylist()
    assert len(few) == len(some_ids)
    by_id = {row["item_id"]: (row["list"], row["vector"]) for row in few}
    assert by_id == {item: content[item] for item in some_ids}

    table = store.open_clustered("lists", version)
    for first, last in ((0, NLIST), (3, 4)):
        some = [row for b in table.rows(first, last, ["item_id"]) for row in b.to_pylist()]
        expected = {(i, n) for i, (n, _) in content.items() if first <= n < last}
        assert len(some) == len(expected)
        assert {(row["item_id"], row["list"]) for row in some} == expected
    # item_id is read for the removals, and returned only if it is asked for.
    assert all(b.schema.names == ["list", "vector"] for b in table.rows(0, NLIST, ["vector"]))
    picked = np.array([1, 5], dtype=np.int32)
    some = [row for b in table.rows_of_lists(picked, ["vector"]) for row in b.to_pylist()]
    assert sorted((row["list"], row["vector"]) for row in some) == sorted(
        row for row in content.values() if row[0] in (1, 5)
    )

    ids = [*written[1][0], "n1", "n2", "n3", "never"]
    result = item_rows.find_rows(store, "lists", version, ids, ["list", "vector"]).to_pylist()
    assert {row["item_id"]: (row["list"], row["vector"]) for row in result} == content
    assert len(result) == len(content)

    sizes = {r["list"]: r["count"] for r in store.list_sizes(spark, "lists", version).collect()}
    assert sizes == {n: sum(row[0] == n for row in content.values()) for n in range(NLIST)}


def test_the_last_layer_is_read_only_as_the_difference_to_its_own_base(
    spark: SparkSession, written: tuple[Path, list[Content]]
) -> None:
    store, contents = Store(str(written[0])), written[1]
    added = store.read_layer(spark, "lists", "v2", "v1")
    assert added is not None
    new = {row.item_id: (row.list, bytes(row.vector)) for row in added.collect()}
    assert new == {i: row for i, row in contents[2].items() if contents[1].get(i) != row}
    assert store.read_layer(spark, "lists", "v2", "v0") is None


def test_a_night_on_which_nothing_has_changed_shares_all_files(
    spark: SparkSession, written: tuple[Path, list[Content]], tmp_path: Path
) -> None:
    store = Store(str(shutil.copytree(written[0], tmp_path / "store")))
    for number in (0, 1):
        base = VERSIONS[number]
        nothing = Rows(frame(spark, {}), iter)
        count, _ = store.write_layer("lists", "same", base, nothing, removals(spark, {}))
        assert count == len(written[1][number])
        assert store.read(spark, "lists", "same").count() == count
        added = store.read_layer(spark, "lists", "same", base)
        assert added is not None
        assert added.count() == 0
        store.discard_version("lists", "same")


def test_nobody_takes_a_part_of_a_version_for_the_whole(
    spark: SparkSession, written: tuple[Path, list[Content]]
) -> None:
    store = Store(str(written[0]))
    folder = on_disk(store.table_path("lists", "v2"))
    with pytest.raises(StageError, match="layers"):
        store.dataset("lists", "v2")
    with pytest.raises(Py4JJavaError, match="has-layers"):
        spark.read.parquet(str(folder)).collect()
    with pytest.raises(pa.ArrowInvalid, match="has-layers"):
        pq.read_table(folder)


def test_a_damaged_file_damages_the_versions_that_share_it(
    written: tuple[Path, list[Content]], tmp_path: Path
) -> None:
    copy = shutil.copytree(written[0], tmp_path / "store")
    store = Store(str(copy))
    assert not any(store.find_table_damage("lists", version) for version in VERSIONS)
    (file, *_) = sorted(on_disk(store.table_path("lists", "v1")).glob("_changes/*"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    store = Store(str(copy))
    damaged = [bool(store.find_table_damage("lists", version)) for version in VERSIONS]
    assert damaged == [False, True, True, True]
    file.unlink()
    for read in (store.open_clustered, store.open_files):
        with pytest.raises(DamagedError, match=file.name):
            read("lists", "v3")


def test_gc_keeps_the_folders_whose_files_a_version_that_stays_shares(
    written: tuple[Path, list[Content]], tmp_path: Path
) -> None:
    store = Store(str(shutil.copytree(written[0], tmp_path / "store")))
    for needed, kept in (("v2", ["v0", "v1", "v2"]), ("v0", ["v0"])):
        for path in gc._tables(store, Retained({needed: "published"})):
            shutil.rmtree(on_disk(path))
        assert sorted(version for version, _ in store.versions.all_versions()) == kept
    (folder,) = (path for _, path in store.versions.all_versions())
    (folder / file_list.NAME).write_text("{}")
    with pytest.raises(DamagedError, match="nothing was deleted"):
        list(gc._tables(store, Retained({"v0": "published"})))


def test_a_version_is_written_whole_when_the_layers_are_a_great_share(
    written: tuple[Path, list[Content]],
) -> None:
    store = Store(str(written[0]))
    # v1 has a layer of 8 rows and 12 removals.
    room = int(layers.MAX_CHANGED_SHARE * ITEMS) - 20
    assert store.can_add_layer("lists", "v1", room)
    assert not store.can_add_layer("lists", "v1", room + 1)


def test_a_trial_is_extended_in_its_own_folder(spark: SparkSession, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    content: Content = {f"i{n}": (n % 3, b"0") for n in range(9)}
    trial = store.trial_version("v")
    store.write_arrow("lists", trial, Rows(frame(spark, content), iter))
    for number in (1, 2):
        new = {item: (content[item][0], b"%d" % number) for item in ("i1", f"i{number + 2}")}
        rows = Rows(frame(spark, new), iter)
        store.extend("lists", trial, rows, removals(spark, new))
        content |= new
    store.rename_version("lists", trial, "v")
    rows_read = Store(str(tmp_path)).read(spark, "lists", "v").collect()
    assert {row.item_id: (row.list, bytes(row.vector)) for row in rows_read} == content
    assert len(rows_read) == len(content)
    assert not Store(str(tmp_path)).find_table_damage("lists", "v")
