import hashlib
from pathlib import Path

import pytest

from models import ModelError
from models.content import FileEntry, check, read_content, tree_sha256


def test_the_hash_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"abc" * 1000)
    content = read_content(tmp_path / "m")
    assert content.sha256 == hashlib.sha256(b"abc" * 1000).hexdigest()
    assert (content.size, content.directory) == (3000, False)


def test_the_hash_of_a_directory_is_of_names_sizes_and_hashes(tmp_path: Path) -> None:
    (tmp_path / "m" / "b").mkdir(parents=True)
    (tmp_path / "m" / "b" / "語").write_bytes(b"1")
    (tmp_path / "m" / "a").write_bytes(b"22")
    lines = "".join(
        f"{name}\0{len(data)}\0{hashlib.sha256(data).hexdigest()}\n"
        for name, data in (("a", b"22"), ("b/語", b"1"))
    )
    content = read_content(tmp_path / "m")
    assert content.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert (content.size, content.directory) == (3, True)
    (tmp_path / "m" / "a").rename(tmp_path / "m" / "A")
    assert read_content(tmp_path / "m").sha256 != content.sha256
    with pytest.raises(ModelError, match="ship the model again"):
        check(tmp_path / "m", content, "there")


def test_the_order_of_files_does_not_matter() -> None:
    entries = [FileEntry("a/b", 1, "x"), FileEntry("a.b", 2, "y"), FileEntry("あ", 3, "z")]
    assert tree_sha256(entries) == tree_sha256(entries[::-1])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: None, "holds no files"),
        (lambda folder: (folder / "up").symlink_to(folder), "a link to a directory"),
        (lambda folder: (folder / "dangling").symlink_to("nowhere"), "neither a file nor"),
        (lambda folder: (folder / "bad\udcff").write_bytes(b""), "no UTF-8"),
    ],
)
def test_a_directory_that_cannot_travel_is_refused(
    make: object, reason: str, tmp_path: Path
) -> None:
    assert callable(make)
    make(tmp_path)
    with pytest.raises(ModelError, match=reason):
        read_content(tmp_path)


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"{tmp_path}/gone: no such file or directory"):
        read_content(tmp_path / "gone")
