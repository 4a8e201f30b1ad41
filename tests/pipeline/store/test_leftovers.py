import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.storage import file_owners
from pipeline.store import leftovers
from pipeline.store.store import Store

DEAD, LIVING = "DEAD", "LIVING"
OTHER = "00000000-17-4711-0123abcd"
DAYS = 24 * 3600.0


@pytest.fixture(scope="module")
def dead() -> str:
    """The mark of a process that is no more."""
    code = "from pipeline.storage.file_owners import owner_tag; print(owner_tag())"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize(
    ("place", "name", "mark", "days", "goes"),
    [
        ("tables/items", "_writing-{}", DEAD, 0, True),
        ("tables/items", "_writing-{}", LIVING, 9, False),
        ("tables/items", "_writing-{}", OTHER, 1, False),
        ("tables/items", "_writing-{}", OTHER, 9, True),
        ("tables/items", "_writing-0123456789abcdef0123456789abcdef", "", 9, True),
        ("tables/items", "_writing-0123456789abcdef0123456789abcdef", "", 0, False),
        ("tables/neighbors", "version=0123456789abcdef-{}", DEAD, 0, True),
        ("tables/neighbors", "version=0123456789abcdef", "", 99, False),
        ("tables/similar_items", ".LATEST.{}", DEAD, 0, True),
        ("stages/embed", ".0123456789abcdef.json.{}", DEAD, 0, True),
        ("models", "_writing-{}", DEAD, 0, True),
        ("tables/items", "_deleting-{}", DEAD, 0, True),
        ("tables/items", "_deleting-{}", LIVING, 9, False),
        ("models/current", ".0123456789abcdef.json.{}", DEAD, 0, True),
        ("quantisers", "_writing-{}", DEAD, 0, True),
        ("quantisers/current", ".0123456789abcdef.json.{}", DEAD, 0, True),
        ("runs/night1", ".run.json.{}", DEAD, 0, True),
        ("runs", "run-{}", DEAD, 99, False),
        ("locks", ".publishing.{}", DEAD, 0, True),
        (".", ".probe-{}", DEAD, 0, True),
        (".", "notes.txt", "", 99, False),
    ],
)
def test_what_no_living_process_can_own_goes(
    tmp_path: Path, dead: str, place: str, name: str, mark: str, days: float, goes: bool
) -> None:
    marks = {DEAD: dead, LIVING: file_owners.owner_tag()}
    path = tmp_path / place / name.format(marks.get(mark, mark))
    inside = path / "_temporary" / "0" / "part.parquet" if path.name[0] in "_v" else path
    inside.parent.mkdir(parents=True, exist_ok=True)
    inside.write_text("x")
    for each in (inside, *inside.parents):
        if each.is_relative_to(path):
            moment = time.time() - days * DAYS
            os.utime(each, (moment, moment))
    assert list(leftovers.remove_leftovers(Store(str(tmp_path)))) == ([path] if goes else [])
    assert path.exists() != goes
