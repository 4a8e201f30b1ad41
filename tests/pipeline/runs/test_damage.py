"""Damaged files of a store: each is found, said, and made again; never is it published from."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.cli.main import execute
from pipeline.config import reading as config
from pipeline.errors import DamagedError, NitamonoError
from pipeline.runs.record import new_run_id
from pipeline.runs.runner import Runner
from pipeline.store import file_list
from pipeline.terminal.progress import Progress
from tests.pipeline.sample_shop import SampleShop, copy_shop

pytestmark = pytest.mark.processes

TABLES = ("items", "tokens", "embeddings", "lists", "neighbors", "similar_items")
# The stage of each table.
STAGES = ("ingest", "tokenize", "embed", "index", "neighbors", "publish")


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 4
    replace(file, bytes(content))


def truncate(file: Path) -> None:
    replace(file, file.read_bytes()[:-100])


def empty(file: Path) -> None:
    replace(file, b"")


def remove(file: Path) -> None:
    file.unlink()


def replace(file: Path, content: bytes) -> None:
    """Write another file of this name: the test's store shares its files with others."""
    file.unlink()
    file.write_bytes(content)


DAMAGES: tuple[Callable[[Path], None], ...] = (flip, truncate, empty, remove)


def one_file(shop: SampleShop, table: str, version: str = "*") -> Path:
    """The largest file of a table's only version."""
    files = (shop.folder / "store" / "tables" / table).glob(f"version={version}/*.parquet")
    return max(files, key=lambda file: (file.stat().st_size, file.name))


def run(shop: SampleShop, *sets: str, first: str = "ingest", last: str = "publish") -> str:
    """Run the shop again; return what the run said."""
    shop.runner()  # writes the config
    said = io.StringIO()
    settings = config.load(shop.folder / "nitamono.toml", sets, {})
    Runner(settings, new_run_id(), Progress(said)).run(first, last)
    return said.getvalue()


def command(shop: SampleShop, *arguments: str) -> str:
    """Execute a command; return the message that it ends with, empty if it succeeds."""
    verb, *rest = arguments
    try:
        execute([verb, "--config", str(shop.folder / "nitamono.toml"), *rest])
    except NitamonoError as error:
        assert error.exit_code == 5
        return str(error)
    return ""


def test_one_run_makes_every_damaged_table_again_and_says_so(
    spark: SparkSession, published_samples: Path, tmp_path: Path
) -> None:
    shop = copy_shop(published_samples, tmp_path / "shop")
    before = shop.published()
    damaged = {}
    for number, table in enumerate(TABLES):
        damaged[table] = one_file(shop, table)
        DAMAGES[number % len(DAMAGES)](damaged[table])
    said = run(shop)
    for table, stage in zip(TABLES, STAGES, strict=True):
        assert str(damaged[table]) in said
        assert f"The output of {stage} is made again" in said
    assert shop.published() == before
    # They were set aside, and the next run finds nothing.
    folder = shop.folder / "store" / "tables"
    assert len(list(folder.glob("*/_damaged-*"))) == len(TABLES)
    assert "again" not in run(shop)
    assert not command(shop, "check")
    assert not command(shop, "gc", "--keep", "1")
    assert not list(folder.glob("*/_damaged-*"))


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_rerun_publishes_what_the_undamaged_store_has(
    spark: SparkSession, published_samples: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    tables = sorted(path.name for path in (published_samples / "store" / "tables").iterdir())
    assert len(tables) == 12
    for table in tables:
        shop = copy_shop(published_samples, tmp_path / table)
        before = shop.published()
        file = one_file(shop, table)
        damage(file)
        assert str(file) in run(shop)
        assert shop.published() == before, table


@pytest.mark.slow
def test_the_next_night_publishes_what_the_undamaged_store_does(
    spark: SparkSession, published_samples: Path, tmp_path: Path
) -> None:
    """Two nights with lists that are probed, rules, and tables of changes; then a third."""
    sets = ("index.exact_below=0", "index.nlist=3", "rules.eligible=price > 0", "neighbors.k=3")
    nights = copy_shop(published_samples, tmp_path / "nights")
    rows = nights.catalogue.read_text(encoding="utf-8").splitlines(keepends=True)
    for count in (-9, -6):
        replace(nights.catalogue, "".join(rows[:count]).encode())
        run(nights, *sets, "publish.publish=true")
    replace(nights.catalogue, "".join(rows[:-3]).encode())
    whole = copy_shop(nights.folder, tmp_path / "whole")
    run(whole, *sets, "publish.publish=true")
    expected = whole.published()
    used = {path.name for path in (whole.folder / "store" / "tables").iterdir()}
    assert used >= {"arrivals", "departures", "candidates", "changes", "reach"}
    said = {}
    for table in sorted(used):
        shop = copy_shop(nights.folder, tmp_path / table)
        for version in (shop.folder / "store" / "tables" / table).glob("version=*"):
            flip(max(version.rglob("part-*"), key=lambda file: file.stat().st_size))
        said[table] = run(shop, *sets, "publish.publish=true")
        assert shop.published() == expected, table
    read = {"items", "tokens", "embeddings", "lists", "candidates", "neighbors", "sample_lists"}
    assert not [table for table in read if "is not what was written" not in said[table]]


def test_what_is_read_without_a_run_says_that_it_is_damaged(
    spark: SparkSession,
    published_samples: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop = copy_shop(published_samples, tmp_path / "shop")
    shop.runner()
    assert not command(shop, "check")
    item = shop.published()["item_id"][0]
    out = str(tmp_path / "out")
    cases = [
        ("lists", truncate, ("query", "--title", "靴")),
        ("details", flip, ("inspect", item)),
        ("similar_items", remove, ("export", "--to", "jsonl", "--out", out)),
        ("similar_items", remove, ("diff", "LATEST", "LATEST")),
    ]
    for table, damage, arguments in cases:
        file = one_file(shop, table)
        kept = file.read_bytes()
        damage(file)
        assert str(file) in command(shop, *arguments), arguments
        capsys.readouterr()
        assert "1 of " in command(shop, "check")
        assert str(file) in capsys.readouterr().out
        file.unlink(missing_ok=True)
        file.write_bytes(kept)
    assert not command(shop, "check")


def test_stages_that_are_not_to_run_name_the_one_that_has_to(
    spark: SparkSession, published_samples: Path, tmp_path: Path
) -> None:
    shop = copy_shop(published_samples, tmp_path / "shop")
    flip(one_file(shop, "embeddings"))
    with pytest.raises(DamagedError, match="run: nitamono embed --config FILE"):
        run(shop, first="index")


def test_nothing_is_built_on_a_damaged_base(
    spark: SparkSession, published_samples: Path, tmp_path: Path
) -> None:
    shop = copy_shop(published_samples, tmp_path / "shop")
    rows = shop.catalogue.read_text(encoding="utf-8").splitlines(keepends=True)
    replace(shop.catalogue, "".join(rows[:-1]).encode())
    flip(one_file(shop, "tokens"))
    said = run(shop, last="tokenize")
    assert "Nothing is built on that output of tokenize" in said
    count = len(shop.published("items")["item_id"]) - 1
    assert f"tokens {count} rows (all of them: " in said


def test_a_damaged_latest_is_restored_and_said(
    spark: SparkSession, published_samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = copy_shop(published_samples, tmp_path / "shop")
    shop.runner()
    before, latest = shop.published(), shop.store.root / "tables" / "similar_items" / "LATEST"
    assert isinstance(latest, Path)
    for content in (b"", b"{", b'{"version": "0'):
        replace(latest, content)
        message = command(shop, "inspect", before["item_id"][0])
        assert "the next run that publishes restores it" in message
        assert not command(shop, "gc", "--keep", "1")
        assert "it is restored from entry 1" in capsys.readouterr().err
        assert shop.published() == before


def test_gc_deletes_nothing_if_what_says_what_must_stay_is_damaged(
    spark: SparkSession, published_samples: Path, tmp_path: Path
) -> None:
    shop = copy_shop(published_samples, tmp_path / "shop")
    shop.runner()
    store = shop.folder / "store"
    extra = store / "tables" / "items" / "version=0123456789abcdef"
    shutil.copytree(one_file(shop, "items").parent, extra)
    for pattern in ("publications/*.json", "runs/*/run.json", "stages/publish/*.json"):
        file = next(store.glob(pattern))
        kept = file.read_bytes()
        replace(file, b"{")
        assert str(file) in command(shop, "gc", "--keep", "1")
        replace(file, kept)
    assert extra.is_dir()
    assert not command(shop, "gc", "--keep", "1")
    assert not extra.exists()


def test_a_damaged_record_is_said_and_its_stage_runs_again(
    spark: SparkSession, published_samples: Path, tmp_path: Path
) -> None:
    shop = copy_shop(published_samples, tmp_path / "shop")
    before = shop.published()
    record = next((shop.folder / "store" / "stages" / "index").glob("*.json"))
    replace(record, b"")
    assert f"{record}: damaged: it holds no JSON" in run(shop)
    assert shop.published() == before


def test_tables_of_earlier_releases_are_read_and_checked_by_their_rows(
    spark: SparkSession, published_samples: Path, tmp_path: Path
) -> None:
    shop = copy_shop(published_samples, tmp_path / "shop")
    before = shop.published()
    for file in (shop.folder / "store" / "tables").glob("*/version=*/_files.json"):
        file.unlink()
    assert "again" not in run(shop)
    file = one_file(shop, "neighbors")
    table = pq.read_table(file)
    file.unlink()
    pq.write_table(table.slice(1), file)
    said = run(shop)
    assert "398 rows, and 399 were written" in said
    assert shop.published() == before


@pytest.mark.slow
def test_a_damaged_file_that_names_the_current_model_is_written_again(
    spark: SparkSession, published_samples: Path, tmp_path: Path
) -> None:
    """The model of an earlier night stays current, and the next night finds nothing."""
    shop = copy_shop(published_samples, tmp_path / "shop")
    rows = shop.catalogue.read_text(encoding="utf-8").splitlines(keepends=True)
    replace(shop.catalogue, "".join(rows[:-1]).encode())
    run(shop)
    before = shop.published()
    (file,) = (shop.folder / "store" / "models" / "current").glob("*.json")
    for content in (b"{", b"null"):
        replace(file, content)
        assert f"{file}: damaged" in run(shop)
        assert shop.published() == before
        assert "damaged" not in run(shop)


def test_a_run_that_died_after_it_set_a_version_aside_is_made_good_by_the_next(
    spark: SparkSession, published_samples: Path, tmp_path: Path
) -> None:
    shop = copy_shop(published_samples, tmp_path / "shop")
    before = shop.published()
    for table in ("neighbors", "similar_items"):
        folder = one_file(shop, table).parent
        folder.rename(folder.with_name(f"_damaged-{folder.name}-0-1-2-12345678"))
    run(shop)
    assert shop.published() == before
    assert not command(shop, "check")


@pytest.mark.slow
def test_what_is_whole_is_read_once_a_run_and_never_by_a_query(
    spark: SparkSession, published_samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, verified = copy_shop(published_samples, tmp_path / "shop"), list[str]()
    shop.runner()

    def describe(path: str, *rest: Any, **named: Any) -> file_list.File:
        verified.append(path)
        return describe_file(path, *rest, **named)

    describe_file = file_list.describe
    monkeypatch.setattr(file_list, "describe", describe)
    assert not command(shop, "query", "--title", "靴")
    assert not verified
    rows = shop.catalogue.read_text(encoding="utf-8").splitlines(keepends=True)
    replace(shop.catalogue, "".join(rows[:-1]).encode())
    run(shop)
    assert len(verified) == len(set(verified))
    assert {Path(path).parents[1].name for path in verified} >= {"items", "tokens"}


@pytest.mark.slow
def test_a_run_for_new_items_says_that_the_version_it_builds_on_is_damaged(
    spark: SparkSession, published_samples: Path, tmp_path: Path
) -> None:
    shop = copy_shop(published_samples, tmp_path / "shop")
    latest = shop.store.latest()
    rows = shop.catalogue.read_text(encoding="utf-8").splitlines(keepends=True)
    replace(shop.catalogue, "".join(rows[:-1]).encode())
    flip(one_file(shop, "similar_items"))
    with pytest.raises(DamagedError, match="rollback, or run once for all items"):
        run(shop, "neighbors.mode=new", "publish.publish=true")
    assert shop.store.latest() == latest
    run(shop, "publish.publish=true")
    assert not command(shop, "check")
