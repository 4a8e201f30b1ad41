import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from models import ModelError
from models.cache import Cache
from models.content import check, read_content
from models.disk import copy
from tests.models.conftest import entries, leftovers

SPAWN = get_context("spawn")


def get(root: Path, source: Path, limit: int = 10**9, log: Path | None = None) -> Path:
    """Get the content of a source as the entry `source.name`, with a slow fetch that is logged."""

    def fetch(target: Path) -> None:
        if log is not None:
            with log.open("a") as file:
                file.write(f"{os.getpid()}\n")
            target.write_bytes(b"half")
            time.sleep(0.5)
        copy(source, target)

    content = read_content(source)
    return Cache(root, limit).get_or_fetch(
        source.name, content.size, fetch, lambda path: check(path, content, str(source))
    )


def get_and_wait(root: Path, source: Path, log: Path | None) -> None:
    get(root, source, log=log)
    time.sleep(60)


def get_with_a_full_disk(root: Path, source: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        get(root, source)
    except ModelError as error:
        assert isinstance(error.__cause__, OSError)
        assert error.__cause__.errno == errno.EFBIG
        assert "the disk is full" in str(error)
        assert leftovers(root) == entries(root) == []
        os._exit(3)


def start(*arguments: object) -> BaseProcess:
    process = SPAWN.Process(target=arguments[0], args=arguments[1:], daemon=True)  # type: ignore[arg-type]
    process.start()
    return process


def wait_for(path: Path) -> None:
    for _ in range(1000):
        if path.exists() and path.stat().st_size:
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} did not come")


def source(folder: Path, name: str, size: int = 5000) -> Path:
    path = folder / name
    path.write_bytes(os.urandom(size))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_an_entry_is_fetched_once_and_read_only(root: Path, tmp_path: Path) -> None:
    model = source(tmp_path, "one")
    path = get(root, model)
    assert path.read_bytes() == model.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert get(root, model).stat().st_ino == path.stat().st_ino
    assert entries(root) == ["one"]
    assert leftovers(root) == []


def test_processes_that_start_at_once_fetch_once(root: Path, tmp_path: Path) -> None:
    model, log = source(tmp_path, "one"), tmp_path / "log"
    processes = [start(get, root, model, 10**9, log) for _ in range(3)]
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(log.read_text().splitlines()) == 1


def test_a_killed_fetch_leaves_no_entry(root: Path, tmp_path: Path) -> None:
    model, other, log = source(tmp_path, "one"), source(tmp_path, "other"), tmp_path / "log"
    process = start(get, root, model, 10**9, log)
    wait_for(log)
    os.kill(int(log.read_text()), signal.SIGKILL)
    process.join(30)
    assert entries(root) == []
    assert len(leftovers(root)) == 1
    get(root, other)
    assert leftovers(root) == []
    assert get(root, model).read_bytes() == model.read_bytes()


def test_a_running_fetch_is_not_a_leftover(root: Path, tmp_path: Path) -> None:
    model, other, log = source(tmp_path, "one"), source(tmp_path, "other"), tmp_path / "log"
    process = start(get, root, model, 10**9, log)
    wait_for(log)
    get(root, other)
    assert len(leftovers(root)) == 1
    process.join(30)
    assert process.exitcode == 0
    assert entries(root) == ["one", "other"]


def test_the_least_recently_used_entry_is_removed_and_none_in_use(
    root: Path, tmp_path: Path
) -> None:
    used, log = source(tmp_path, "used"), tmp_path / "log"
    user = start(get_and_wait, root, used, log)
    wait_for(root / "entries" / "used")
    for name in ("first", "second"):
        process = start(get, root, source(tmp_path, name), 15_000)
        process.join(30)
    process = start(get, root, tmp_path / "first", 15_000)
    process.join(30)
    get(root, source(tmp_path, "third"), limit=15_000)
    assert entries(root) == ["first", "third", "used"]
    user.kill()
    user.join(30)
    get(root, source(tmp_path, "fourth"), limit=15_000)
    assert entries(root) == ["first", "fourth", "third"]
    assert sorted(path.name for path in (root / "locks").iterdir()) == [
        f"{name}.use" for name in ("first", "fourth", "third")
    ]


def test_wrong_content_leaves_nothing(root: Path, tmp_path: Path) -> None:
    expected = read_content(source(tmp_path, "expected"))
    other = source(tmp_path, "other")
    with pytest.raises(ModelError, match="from there: its content is not what was shipped"):
        Cache(root).get_or_fetch(
            "expected",
            expected.size,
            lambda target: copy(other, target),
            lambda path: check(path, expected, "from there"),
        )
    assert entries(root) == leftovers(root) == []


def test_a_damaged_entry_is_fetched_again(root: Path, tmp_path: Path) -> None:
    model = source(tmp_path, "one")
    path = get(root, model)
    path.chmod(0o644)
    path.write_bytes(b"cut")
    assert get(root, model).read_bytes() == model.read_bytes()
    (root / "entries" / "one").unlink()
    assert get(root, model).read_bytes() == model.read_bytes()


def test_a_model_that_no_disk_holds_is_refused_before_it_is_fetched(root: Path) -> None:
    def fetch(_: Path) -> None:
        raise AssertionError

    with pytest.raises(ModelError, match=r"the disk is full: a model needs .* NITAMONO_CACHE"):
        Cache(root).get_or_fetch("huge", 1 << 60, fetch, fetch)


def test_a_disk_that_fills_up_is_reported(root: Path, tmp_path: Path) -> None:
    process = start(get_with_a_full_disk, root, source(tmp_path, "one"))
    process.join(30)
    assert process.exitcode == 3


def test_a_cache_that_cannot_be_written_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NITAMONO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelError, match=r"file/cache: .* can't be used.*set NITAMONO_CACHE"):
        Cache.for_this_host()


def default_root(folder: Path) -> str:
    code = "from models.cache import Cache; print(Cache.for_this_host().root)"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NITAMONO")}
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return process.stdout.strip() or process.stderr.splitlines()[-1]


def test_without_a_setting_the_cache_is_private_and_named_by_the_user(tmp_path: Path) -> None:
    root = tmp_path / f"nitamono-{os.getuid()}"
    assert default_root(tmp_path) == str(root)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    root.chmod(0o777)
    assert default_root(tmp_path) == str(root)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / f"nitamono-{os.getuid()}").symlink_to(tmp_path / "theirs")
    assert "belongs to another user" in default_root(tmp_path)


@pytest.mark.parametrize(
    ("setting", "limit"), [("1000", 1000), ("20G", 20 * 10**9), ("3 tb", 3 * 10**12)]
)
def test_the_limit_is_a_setting(
    setting: str, limit: int, cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NITAMONO_CACHE_LIMIT", setting)
    assert Cache.for_this_host().limit == limit
    assert Cache.for_this_host().root == cache_root


def test_a_limit_that_is_no_number_is_refused(
    cache_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NITAMONO_CACHE_LIMIT", "much")
    with pytest.raises(ModelError, match="NITAMONO_CACHE_LIMIT=much"):
        Cache.for_this_host()


def test_a_path_is_read_once_on_a_host_and_again_when_it_changes(
    root: Path, tmp_path: Path
) -> None:
    model = source(tmp_path, "one")
    expected = read_content(model)
    Cache(root).check_once(model, expected)
    marks = [path.name for path in (root / "locks").iterdir()]
    Cache(root).check_once(model, expected)
    assert [path.name for path in (root / "locks").iterdir()] == marks
    model.write_bytes(os.urandom(5000))
    with pytest.raises(ModelError, match=f"{model}: its content is not what was shipped"):
        Cache(root).check_once(model, expected)
    with pytest.raises(ModelError, match="can't be read on this host"):
        Cache(root).check_once(tmp_path / "gone", expected)
