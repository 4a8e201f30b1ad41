"""Paths on Azure and Google Cloud, against emulators; Arrow is the second reader and writer."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyarrow.fs import FileSelector, FileType

from models.stores import StoreOptions
from models.stores.client import ObjectStoreError, connect
from pipeline.storage.object_path import ObjectPath
from pipeline.storage.paths import arrow_path, staged_file, touch
from tests.s3.proxy import Proxy


def keys(root: ObjectPath) -> list[str]:
    """The objects below a folder, as Arrow lists them."""
    system, path = arrow_path(root)
    found = system.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
    return sorted(i.path.removeprefix(f"{path}/") for i in found if i.type == FileType.File)


def put(root: ObjectPath, *names: str) -> None:
    for name in names:
        (root / name).write_text(name)


def test_keys_with_special_characters_are_used_unchanged(
    root: ObjectPath, direct: ObjectPath
) -> None:
    names = ["日本 語/a b+%20#?&.json", "~!@$^*(){}[]|;:',<>`\".bin", "100%.bin"]
    put(root, *names)
    assert keys(direct) == sorted(names)
    (path,) = root.glob("日本 語/*.json")
    assert (path.name, path.stem) == ("a b+%20#?&.json", "a b+%20#?&")
    assert path.read_text() == "日本 語/a b+%20#?&.json"
    system, name = arrow_path(direct / str(path.relative_to(root)))
    with system.open_input_file(name) as file:
        assert file.read() == path.read_bytes()


def test_a_key_that_obstore_can_not_say_is_refused(root: ObjectPath) -> None:
    for name in ("a//b", "../b", "a/./b", "a\nb"):
        with pytest.raises(ObjectStoreError, match="rename the object"):
            (root / name).read_bytes()


def test_listings_show_writes_and_deletions_at_once(root: ObjectPath) -> None:
    for number in range(5):
        path = root / f"{number}.json"
        assert not path.exists()
        path.write_bytes(b"{}")
        assert [p.name for p in root.iterdir()] == [path.name]
        path.unlink()
        path.unlink()
        assert list(root.iterdir()) == []
        assert not root.is_dir()


def test_a_folder_exists_while_an_object_lies_below_it(
    root: ObjectPath, direct: ObjectPath
) -> None:
    put(root, "a", "b/c", "b/d/e", "bb/c")
    assert sorted(p.name for p in root.iterdir()) == ["a", "b", "bb"]
    assert [(root / n).is_dir() for n in ("a", "b", "b/d", "x", "b/c")] == [
        *(False, True, True, False, False),
    ]
    assert [(root / n).is_file() for n in ("a", "b", "b/c")] == [True, False, True]
    assert (root / "b").stat().st_size == 0
    names = sorted(str(p.relative_to(root)) for p in root.rglob("*"))
    assert names == ["a", "b/c", "b/d/e", "bb/c"]
    assert [str(p.relative_to(root)) for p in root.glob("*/c")] == ["b/c", "bb/c"]
    (root / "b").remove_tree()
    assert keys(direct) == ["a", "bb/c"]


def test_what_stands_for_a_folder_is_no_file_and_goes_with_it(direct: ObjectPath) -> None:
    root = direct
    system, path = arrow_path(root)
    # As Hadoop and consoles do: an empty object with a slash at its end, or a mark.
    system.create_dir(f"{path}/empty/deep", recursive=True)
    put(root, "full/_SUCCESS")
    (root / "full" / "_SUCCESS").write_bytes(b"")
    assert [str(p.relative_to(root)) for p in root.rglob("*")] == ["full/_SUCCESS"]
    assert not (root / "empty" / "deep").is_file()
    assert not (root / "empty").is_dir()
    (root / "empty").remove_tree()
    assert [p.name for p in root.iterdir()] == ["full"]


def test_the_marks_of_hadoop_on_azure_are_no_files_and_go_with_their_folders(
    direct: ObjectPath, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    client = connect(direct.address, direct.options)
    marks = [(direct / name).address for name in ("made", "made/below")]
    for mark in marks:
        client.upload(mark, tmp_path / "empty", {"hdi_isfolder": "true"})
    put(direct, "made/below/file")
    assert [str(path.relative_to(direct)) for path in direct.rglob("*")] == ["made/below/file"]
    assert [path.name for path in direct.iterdir()] == ["made"]
    assert not (direct / "made" / "below").is_file()
    (direct / "made").remove_tree()
    assert list(direct.iterdir()) == []
    system, path = arrow_path(direct / "made")
    assert system.get_file_info(path).type == FileType.NotFound


@pytest.mark.slow
def test_more_objects_than_a_page_holds(direct: ObjectPath, kind: str) -> None:
    # Azure's pages have 5,000 objects; fake-gcs-server has no pages, but deletions have.
    number = {"azure": 5001, "gcs": 1001}[kind]
    many = direct / "many"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map((lambda n: (many / str(n)).write_bytes(b"x")), range(number)))
    assert len(list(many.iterdir())) == number
    assert len(list(many.rglob("*"))) == number
    many.remove_tree()
    assert not many.is_dir()


def test_size_and_time_are_those_of_the_store(root: ObjectPath) -> None:
    put(root, "a")
    (listed,) = root.iterdir()
    state = (root / "a").stat()
    assert (state.st_size, state.etag) == (1, listed.stat().etag)
    assert state.etag
    assert abs(state.st_mtime - time.time()) < 60
    assert abs(state.st_mtime - listed.stat().st_mtime) < 1


def test_touch_changes_the_time_only(root: ObjectPath) -> None:
    put(root, "a")
    before = (root / "a").stat()
    time.sleep(1.1)
    touch(root / "a")
    assert (root / "a").stat().st_mtime > before.st_mtime
    assert (root / "a").read_text() == "a"
    with pytest.raises(FileNotFoundError):
        touch(root / "none")


def test_touch_leaves_what_another_has_written_meanwhile(
    root: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    import obstore

    put(root, "a")
    original = obstore.get

    def slow(*arguments: object, **named: object) -> object:
        result = original(*arguments, **named)  # type: ignore[arg-type]
        monkeypatch.undo()
        (root / "a").write_text("released")
        return result

    monkeypatch.setattr(obstore, "get", slow)
    touch(root / "a")
    assert (root / "a").read_text() == "released"


def test_of_many_exclusive_writers_one_succeeds(root: ObjectPath) -> None:
    def write(path: ObjectPath, number: int) -> bool:
        try:
            path.write_exclusive(str(number).encode())
        except FileExistsError:
            return False
        return path.read_text() == str(number)

    with ThreadPoolExecutor(8) as pool:
        for race in range(3):
            successes = list(pool.map(write, [root / str(race)] * 5, range(5)))
            assert successes.count(True) == 1


def test_an_exclusive_write_succeeds_if_its_answer_is_lost(faulty: Proxy, root: ObjectPath) -> None:
    faulty.lost_answers = 1
    (root / "a").write_exclusive(b"first")
    assert faulty.lost_answers == 0
    with pytest.raises(FileExistsError):
        (root / "a").write_exclusive(b"second")
    assert (root / "a").read_bytes() == b"first"


def test_writes_and_deletions_are_repeated_where_the_connection_breaks(
    faulty: Proxy, root: ObjectPath
) -> None:
    faulty.broken_writes = 1
    (root / "a").write_exclusive(b"first")
    faulty.broken_writes = 1
    touch(root / "a")
    assert (root / "a").read_bytes() == b"first"
    put(root, "b/c", "b/d")
    faulty.broken_writes = 1
    (root / "a").unlink()
    faulty.broken_writes = 1
    (root / "b").remove_tree()
    assert faulty.broken_writes == 0
    assert list(root.iterdir()) == []


def test_a_missing_object_is_not_found(root: ObjectPath) -> None:
    for read in (root.stat, root.read_bytes, root.read_text):
        with pytest.raises(FileNotFoundError):
            read()


def test_a_missing_bucket_is_said(bucket: str, options: StoreOptions) -> None:
    path = ObjectPath.parse(f"{bucket.replace('test-', 'none-')}/a", options)
    for act in (path.is_dir, lambda: list(path.iterdir()), lambda: path.write_text("x")):
        with pytest.raises(ObjectStoreError, match=r"none-.*/a/?: no such (bucket|container)"):
            act()


def test_a_bucket_that_denies_access_is_named(bucket: str, faulty: Proxy, root: ObjectPath) -> None:
    put(root, "a")
    faulty.denied_paths = ("/",)
    for act in (
        (root / "a").read_bytes,
        (root / "a").unlink,
        (root / "a").stat,
        lambda: list(root.iterdir()),
        lambda: put(root, "b"),
    ):
        with pytest.raises(ObjectStoreError, match=f"^{bucket}.*access denied.*credentials"):
            act()


@pytest.mark.usefixtures("faulty")
def test_a_store_that_can_not_be_reached_is_said(bucket: str) -> None:
    nowhere = "http://127.0.0.1:9"
    options = StoreOptions(gcs_endpoint=nowhere, azure_endpoint=nowhere)
    with pytest.raises(ObjectStoreError, match=f"^{bucket}.*can't be reached.*127.0.0.1:9"):
        ObjectPath.parse(f"{bucket}/a", options).read_bytes()


def test_requests_are_repeated_if_the_store_asks_to_slow_down(
    faulty: Proxy, root: ObjectPath
) -> None:
    faulty.slow_every = 3
    put(root, *(f"{n}.json" for n in range(6)))
    assert len(list(root.glob("*.json"))) == 6
    assert faulty.slow_answers >= 2


def test_a_large_file_appears_whole(
    faulty: Proxy, root: ObjectPath, direct: ObjectPath, tmp_path: Path
) -> None:
    # More than one part.
    content = os.urandom(1 << 20) * 17
    with staged_file(root / "large") as name:
        Path(name).write_bytes(content)
        assert not (root / "large").exists()
    system, path = arrow_path(direct / "large")
    with system.open_input_file(path) as file:
        assert file.read() == content
    faulty.faults = ["cut"]
    connect(root.address, root.options).download((root / "large").address, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    assert faulty.faults == []


def test_a_staged_file_that_fails_is_not_uploaded(root: ObjectPath) -> None:
    with pytest.raises(ZeroDivisionError), staged_file(root / "a") as path:
        Path(path).write_bytes(b"x")
        raise ZeroDivisionError
    assert list(root.iterdir()) == []


def test_arrow_writes_what_paths_read(root: ObjectPath, direct: ObjectPath) -> None:
    import pyarrow as pa

    table = pa.table({"item_id": ["a", "b"]})
    system, path = arrow_path(direct / "部/part-0.parquet")
    pq.write_table(table, path, filesystem=system)
    (file,) = root.rglob("*.parquet")
    assert pq.read_table(pa.BufferReader(file.read_bytes())).equals(table)
