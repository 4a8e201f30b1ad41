"""Paths in an object store, against a real one; boto3 is the second reader and writer."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from models.stores import S3Options, StoreOptions
from models.stores.client import ObjectStoreError, connect
from models.stores.s3 import S3Client
from pipeline.storage.object_path import ObjectPath
from pipeline.storage.paths import arrow_path, staged_file, touch
from tests.s3.proxy import Proxy


def keys(s3: Any, root: ObjectPath) -> list[str]:
    objects = s3.list_objects_v2(Bucket=root.bucket, Prefix=f"{root.key}/").get("Contents", ())
    return [item["Key"].removeprefix(f"{root.key}/") for item in objects]


def put(root: ObjectPath, *names: str) -> None:
    for name in names:
        (root / name).write_text(name)


def test_keys_with_special_characters_are_used_unchanged(s3: Any, root: ObjectPath) -> None:
    put(root, "日本 語/a b+%20#?&.json")
    assert keys(s3, root) == ["日本 語/a b+%20#?&.json"]
    (path,) = root.glob("日本 語/*.json")
    assert (path.name, path.stem) == ("a b+%20#?&.json", "a b+%20#?&")
    assert path.read_text() == "日本 語/a b+%20#?&.json"
    body = s3.get_object(Bucket=root.bucket, Key=path.key)["Body"].read()
    assert body == path.read_bytes()


def test_listings_show_writes_and_deletions_at_once(root: ObjectPath) -> None:
    for number in range(20):
        path = root / f"{number}.json"
        assert not path.exists()
        path.write_bytes(b"{}")
        assert [p.name for p in root.iterdir()] == [path.name]
        path.unlink()
        assert list(root.iterdir()) == []
        assert not root.is_dir()


def test_a_folder_exists_while_an_object_lies_below_it(root: ObjectPath) -> None:
    put(root, "a", "b/c", "b/d/e", "bb/c")
    assert sorted(p.name for p in root.iterdir()) == ["a", "b", "bb"]
    assert [(root / n).is_dir() for n in ("a", "b", "b/d", "x", "b/c")] == [
        *(False, True, True, False, False),
    ]
    assert [(root / n).is_file() for n in ("a", "b", "b/c")] == [True, False, True]
    assert sorted(p.name for p in (root / "b").iterdir()) == ["c", "d"]
    names = sorted(str(p.relative_to(root)) for p in root.rglob("*"))
    assert names == ["a", "b/c", "b/d/e", "bb/c"]
    assert [str(p.relative_to(root)) for p in root.glob("*/c")] == ["b/c", "bb/c"]
    assert sorted(str(p.relative_to(root)) for p in root.glob("b/*")) == ["b/c", "b/d"]
    (root / "b").remove_tree()
    assert sorted(p.name for p in root.iterdir()) == ["a", "bb"]


def test_objects_of_a_folder_are_deleted_together_and_one_by_one_where_that_fails(
    root: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = connect(root.address, root.options)
    assert isinstance(store, S3Client)
    client, calls = store.boto, []

    class Client:
        refusal: int | None = None

        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(client, name)

        def delete_objects(self, **arguments: Any) -> dict[str, Any]:
            calls.append("delete_objects")
            if self.refusal:
                answer = {"ResponseMetadata": {"HTTPStatusCode": self.refusal}, "Error": {}}
                raise ClientError(answer, "DeleteObjects")
            kept = arguments["Delete"]["Objects"].pop()
            client.delete_objects(**arguments)
            return {"Errors": [{**kept, "Code": "AccessDenied", "Message": "no"}]}

    fake = Client()
    monkeypatch.setattr(store, "boto", fake)
    put(root, "a&<b>", "日本 語", "c/d")
    with pytest.raises(ObjectStoreError, match=r"not deleted: .*日本 語 \(AccessDenied: no\)$"):
        root.remove_tree()
    assert calls.count("delete_objects") == 1
    assert "delete_object" not in calls
    assert [path.name for path in root.iterdir()] == ["日本 語"]
    fake.refusal = 501
    root.remove_tree()
    assert list(root.iterdir()) == []
    assert calls.count("delete_object") == 1


@pytest.mark.slow
def test_more_objects_than_a_page_holds(s3: Any, root: ObjectPath) -> None:
    # S3Proxy loses its place between pages where the keys are odd.
    many = ObjectPath.parse(f"s3a://{root.bucket}/many", root.options)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map((lambda n: (many / str(n)).write_bytes(b"")), range(1001)))
    assert len(list(many.iterdir())) == 1001
    assert len(list(many.rglob("*"))) == 1001
    many.remove_tree()
    assert not many.is_dir()


def test_size_and_time_are_those_of_the_store(s3: Any, root: ObjectPath) -> None:
    put(root, "a")
    head = s3.head_object(Bucket=root.bucket, Key=f"{root.key}/a")
    (listed,) = root.iterdir()
    for stat in (listed.stat(), (root / "a").stat()):
        assert (stat.st_size, stat.etag) == (1, head["ETag"])
        assert stat.st_mtime == head["LastModified"].timestamp()


def test_touch_changes_the_time_only(root: ObjectPath) -> None:
    put(root, "a")
    before = (root / "a").stat()
    time.sleep(1.1)
    touch(root / "a")
    after = (root / "a").stat()
    assert after.st_mtime > before.st_mtime
    assert (root / "a").read_text() == "a"
    with pytest.raises(FileNotFoundError):
        touch(root / "none")


def test_an_exclusive_write_leaves_an_existing_object(root: ObjectPath) -> None:
    (root / "a").write_exclusive(b"first")
    with pytest.raises(FileExistsError):
        (root / "a").write_exclusive(b"second")
    assert (root / "a").read_bytes() == b"first"


def test_an_exclusive_write_succeeds_if_its_answer_is_lost(faulty: Proxy, root: ObjectPath) -> None:
    faulty.lost_answers = 1
    (root / "a").write_exclusive(b"first")
    assert faulty.lost_answers == 0
    with pytest.raises(FileExistsError):
        (root / "a").write_exclusive(b"second")
    assert (root / "a").read_bytes() == b"first"


def test_a_missing_object_is_not_found(root: ObjectPath) -> None:
    for read in (root.stat, root.read_bytes, root.read_text):
        with pytest.raises(FileNotFoundError):
            read()
    root.unlink()


def test_a_bucket_that_denies_access_is_named(faulty: Proxy, root: ObjectPath) -> None:
    put(root, "a")
    faulty.denied_paths = (f"/{root.bucket}",)
    for act in (
        (root / "a").read_bytes,
        (root / "a").unlink,
        (root / "a").stat,
        lambda: list(root.iterdir()),
        lambda: put(root, "b"),
    ):
        with pytest.raises(ObjectStoreError, match=rf"{root.bucket}.*access denied.*credentials"):
            act()


def test_wrong_credentials_are_reported(root: ObjectPath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    # Another profile of options, so that no client is there yet.
    options = StoreOptions(S3Options(root.options.s3.endpoint, "us-west-1"))
    other = ObjectPath.parse(f"s3a://{root.bucket}/a", options)
    with pytest.raises(ObjectStoreError, match="access denied"):
        other.read_bytes()


@pytest.mark.processes
def test_requests_are_repeated_if_the_store_asks_to_slow_down(
    faulty: Proxy, root: ObjectPath
) -> None:
    faulty.slow_every = 2
    put(root, *(f"{n}.json" for n in range(6)))
    assert len(list(root.glob("*.json"))) == 6
    # More than one part.
    content = os.urandom((16 << 20) + 1)
    with staged_file(root / "large") as path:
        Path(path).write_bytes(content)
    system, path = arrow_path(root / "large")
    with system.open_input_file(path) as file:
        assert file.read() == content
    assert faulty.slow_answers >= 6


def test_a_staged_file_that_fails_is_not_uploaded(root: ObjectPath) -> None:
    with pytest.raises(ZeroDivisionError), staged_file(root / "a") as path:
        Path(path).write_bytes(b"x")
        raise ZeroDivisionError
    assert list(root.iterdir()) == []


def test_a_store_that_always_asks_to_slow_down_is_given_up(
    faulty: Proxy, root: ObjectPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty.slow_every = 1
    monkeypatch.setattr("models.stores.s3.REQUEST_ATTEMPTS", 3)
    with pytest.raises(ObjectStoreError, match="SlowDown"):
        (root / "a").read_bytes()
