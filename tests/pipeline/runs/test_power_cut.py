"""The power is cut at any moment of a night: what is published stays whole, the next run ends well.

The store is on a loop device. What its file holds at a moment is what the disk would hold if the
power were cut then: what the file system has not flushed is lost. Needs root, losetup, mkfs.ext4.
"""

import os
import random
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.storage import file_owners
from pipeline.store import check, lock, publications
from pipeline.store.store import Store
from tests.pipeline.sample_shop import SampleShop

pytestmark = pytest.mark.slow
TOOLS = ("mkfs.ext4", "losetup", "mount", "umount")
IMAGE_BYTES = 96 << 20
RANDOM_MOMENTS = 10


class Disk:
    """A file system on a loop device, and the states that its file had."""

    def __init__(self, folder: Path) -> None:
        self.file, self.mounted_at = folder / "disk.img", folder / "disk"
        self.states: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()
        self.mounted_at.mkdir()
        self.file.write_bytes(b"")
        os.truncate(self.file, IMAGE_BYTES)
        _run("mkfs.ext4", "-q", "-F", self.file)

    def mount(self) -> None:
        if not _run("mount", "-o", "loop", self.file, self.mounted_at):
            pytest.skip("no loop device can be mounted here")

    def unmount(self) -> None:
        _run("umount", "-l", self.mounted_at)

    def cut(self, moment: str) -> None:
        """Keep what the disk holds now: it is read until two readings in a row are the same."""
        with self._lock:
            before = self.file.read_bytes()
            while (now := self.file.read_bytes()) != before:
                before = now
            self.states.append((moment, now))

    def restore(self, state: bytes) -> None:
        """Start again from a state, as after a power cut."""
        self.unmount()
        self.file = self.file.with_name(f"{self.file.stem}+.img")
        self.file.write_bytes(state)
        self.mount()


def _run(tool: str, *arguments: str | Path) -> bool:
    """Run a tool of the system; return whether it succeeded."""
    command = [shutil.which(tool) or tool, *map(str, arguments)]
    return not subprocess.run(command, capture_output=True, check=False).returncode


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() or not all(map(shutil.which, TOOLS)):
        pytest.skip(f"needs root and {', '.join(TOOLS)}")
    made = Disk(tmp_path)
    made.mount()
    try:
        yield made
    finally:
        made.unmount()


def cutting(disk: Disk, step: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The step, with the power cut before and after it."""

    def run(*arguments: Any, **options: Any) -> Any:
        what = f"{name} {' '.join(str(one) for one in arguments[1:3])}"[:60]
        disk.cut(f"before {what}")
        result = step(*arguments, **options)
        disk.cut(f"after {what}")
        return result

    return run


def run_with_cuts(disk: Disk, shop: SampleShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a night; the power is cut at each step of publishing, and again and again."""
    ended = threading.Event()

    def cut_now_and_then() -> None:
        while not ended.wait(0.3):
            disk.cut("any moment")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "set_latest", cutting(disk, Store.set_latest, "set_latest"))
        patch.setattr(publications, "write", cutting(disk, publications.write, "entry"))
        thread = threading.Thread(target=cut_now_and_then)
        thread.start()
        try:
            shop.run("publish.publish=true")
        finally:
            ended.set()
            thread.join()
    disk.cut("after the run")


def test_what_is_published_is_whole_whenever_the_power_is_cut(
    spark: SparkSession, published_samples: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(published_samples, disk.mounted_at / "shop")
    shop = SampleShop(disk.mounted_at / "shop", disk.mounted_at / "shop" / "items.csv")
    rows = shop.catalogue.read_text(encoding="utf-8").splitlines(keepends=True)
    shop.run("publish.publish=true")
    first = shop.published()
    shop.catalogue.write_text("".join(rows[:-3]), encoding="utf-8")
    os.sync()
    run_with_cuts(disk, shop, monkeypatch)
    second = shop.published()
    assert first != second
    publishing = [state for state in disk.states if state[0] != "any moment"]
    moments = [state for state in disk.states if state[0] == "any moment"]
    chosen = random.Random(18).sample(moments, min(RANDOM_MOMENTS, len(moments)))  # noqa: S311
    assert len(publishing) > 10
    # After a power cut the host has booted anew, and its locks of before have timed out.
    monkeypatch.setattr(file_owners, "_machine", lambda: "another0")
    monkeypatch.setattr(lock, "TIMEOUT_SECONDS", -1.0)
    seen = []
    for moment, state in publishing + chosen:
        disk.restore(state)
        published = shop.published()
        assert published in (first, second), moment
        parts = check.check(check.find_version(shop.store))
        assert {part.status for part in parts} == {check.OK}, moment
        seen.append(published == second)
        shop.run("publish.publish=true")
        assert shop.published() == second, moment
    assert False in seen
    # What was called published is on the disk.
    assert seen[len(publishing) - 1]
