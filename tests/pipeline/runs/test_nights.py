"""The whole chain, night after night, on the sample catalogues."""

import csv
import io
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.config import reading as config
from pipeline.runs.record import Outcome, new_run_id
from pipeline.runs.runner import Runner
from pipeline.store import gc
from pipeline.store.rollback import rollback
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress
from tests.pipeline.places import on_disk
from tests.pipeline.sample_shop import ITEMS, MODEL, SAMPLES, copy_shop
from tests.pipeline.tables import read_rows

Rows = list[dict[str, str]]


def samples(night: int) -> Rows:
    """The first of a night's sample rows."""
    with (SAMPLES / f"night{night}.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["item_id"]][:ITEMS]


class Shop:
    """A catalogue file and a store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(str(folder / "store"))

    def run(
        self, rows: Rows | None = None, *sets: str, last: str = "publish", **kwargs: Any
    ) -> Outcome:
        if rows is not None:
            with (self.folder / "items.csv").open("w", encoding="utf-8", newline="") as out:
                writer = csv.DictWriter(out, rows[0].keys())
                writer.writeheader()
                writer.writerows(rows)
        file = self.folder / "nitamono.toml"
        file.write_text(
            '[store]\npath = "store"\n[catalogue]\npath = "items.csv"\n'
            f"{MODEL}"
            # Some of these nights turn a catalogue over that the gate would hold back.
            "[publish]\nmin_rows = 0\nmin_coverage = 0\nmax_churn = 1\n[expect]\nmax_gone = 1\n"
        )
        settings = config.load(file, sets, {})
        runner = Runner(settings, new_run_id(), Progress(io.StringIO()), **kwargs)
        return runner.run("ingest", last)

    def table(self, name: str = "similar_items") -> list[dict[str, Any]]:
        latest = self.store.latest(name)
        assert latest is not None
        if name != "similar_items":  # It may have layers.
            return read_rows(self.store, name, latest["version"])
        rows: list[dict[str, Any]] = pq.read_table(latest["path"]).to_pylist()
        return rows


@pytest.fixture
def first(published_samples: Path) -> Shop:
    """A store after the first night; not to be changed."""
    return Shop(published_samples)


@pytest.fixture
def shop(first: Shop, tmp_path: Path) -> Shop:
    """A copy of it."""
    return Shop(copy_shop(first.folder, tmp_path / "shop").folder)


Change = Callable[[Rows], Rows]


def layer_counts(shop: Shop, outcome: Outcome) -> list[int]:
    """How many layers the tables have that a night adds to."""
    tables = {"tokens": "tokenize", "embeddings": "embed", "lists": "index"}
    records = {table: outcome.record(stage) for table, stage in tables.items()}
    return [
        len(shop.store.open_files(table, record.version(table)).layers)
        for table, record in records.items()
        if record is not None
    ]


def assert_full_run_is_equal(shop: Shop, copy: Shop, outcome: Outcome, full: Outcome) -> None:
    """Every table that a night adds to, and the published one, are those of the full run."""
    assert full.version != outcome.version
    assert copy.table() == shop.table()
    tables = {"tokens": "tokenize", "embeddings": "embed", "lists": "index", "details": "publish"}
    for table, stage in tables.items():
        contents = []
        for some, of_run in ((shop, outcome), (copy, full)):
            record = of_run.record(stage)
            assert record is not None
            rows = read_rows(some.store, table, record.version(table))
            assert len(rows) == record.tables[table], table
            contents.append(sorted(str(row) for row in rows))
        assert contents[0] == contents[1], table
    for stage in ("tokenize", "embed"):
        night, whole = outcome.record(stage), full.record(stage)
        assert night is not None
        assert whole is not None
        names = {"tokens", "items_without_tokens", "vectors", "items_without_vector"}
        assert [night.counts.get(name) for name in names] == [
            whole.counts.get(name) for name in names
        ]


def check_lists_of_new_items(shop: Shop, outcome: Outcome, before: set[str]) -> None:
    """Compare in how many lists new items and others are with the counts of the table.

    Args:
        shop: after a night.
        outcome: of the night.
        before: the items of the version that was published before.
    """
    record = outcome.record("publish")
    assert record is not None
    times = Counter(row["similar_id"] for row in shop.table())
    items = {row["item_id"] for row in shop.table("items")}
    means = [
        sum(times[item] for item in some) / len(some) for some in (items - before, items & before)
    ]
    assert record.counts["quality"]["hubs"]["new_items"] == {
        "items": len(items - before),
        "mean_lists": pytest.approx(means[0], abs=1e-4),
        "mean_lists_of_others": pytest.approx(means[1], abs=1e-4),
    }


@pytest.mark.processes
def test_three_nights_write_what_changed_and_give_the_full_table(
    shop: Shop, tmp_path: Path
) -> None:
    old = {row["item_id"]: row for row in samples(1)}
    tonight = samples(2)
    texts = ("title", "description")
    new = [
        row["item_id"]
        for row in tonight
        if row["item_id"] not in old
        or any(row[text] != old[row["item_id"]][text] for text in texts)
    ]
    shutil.copytree(shop.folder, tmp_path / "copy")
    night = shop.run(tonight)
    embed = night.record("embed")
    assert embed is not None
    assert 0 < embed.counts["embedded"] <= len(new)
    check_lists_of_new_items(shop, night, set(old))
    # An item of the second night is changed again, one leaves, and one that had left is back.
    back = next(row for item, row in old.items() if item not in {r["item_id"] for r in tonight})
    tonight = [{**tonight[-1], "title": "まったく別の商品"}, *tonight[1:-1], back]
    outcome = shop.run(tonight, "publish.reasons=true")
    assert layer_counts(shop, outcome) == [3, 3, 3]
    neighbors = outcome.record("neighbors")
    assert neighbors is not None
    assert neighbors.outputs["base"], neighbors.outputs["why"]
    other = Shop(tmp_path / "copy")
    full = other.run(tonight, "publish.reasons=true", full=True)
    assert sum(len(row["shared_words"]) for row in other.table()) > 6 * ITEMS
    record = full.record("embed")
    assert record is not None
    assert record.counts["embedded"] == len({row["item_id"] for row in tonight})
    assert layer_counts(other, full) == [1, 1, 1]
    assert_full_run_is_equal(shop, other, outcome, full)


@pytest.mark.slow
def test_ten_nights_a_compaction_a_rollback_and_gc_give_the_full_table(
    shop: Shop, tmp_path: Path
) -> None:
    sets = ("index.exact_below=0", "index.nlist=4")
    rng, rows = random.Random(7), samples(1)  # noqa: S311 - test data
    shop.run(rows, *sets)
    counts = []
    for night in range(10):
        if night == 5:
            rollback(shop.store)
        if night == 7:
            gc.collect(shop.store, 1)
        rng.shuffle(rows)
        gone, changed, stays = rows[:12], rows[12:20], rows[20:]
        titles = [f"{row['title']} {night}" for row in changed]
        changed = [{**row, "title": t} for row, t in zip(changed, titles, strict=True)]
        new = [{**row, "item_id": f"{row['item_id']}-{night}"} for row in gone[:10]]
        rows = [*stays, *changed, *new]
        outcome = shop.run(rows, *sets)
        counts.append(layer_counts(shop, outcome))
    # Layers were added, and then the table was written whole, before the last night and after.
    assert max(counts) > [2, 2, 2]
    assert [1, 1, 1] in counts
    copy = Shop(shutil.copytree(shop.folder, tmp_path / "copy"))
    full = copy.run(rows, *sets, full=True)
    assert_full_run_is_equal(shop, copy, outcome, full)
    gc.collect(shop.store, 1)
    assert not any(
        shop.store.find_table_damage(table, record.version(table))
        for _, _, record in outcome.stages
        for table in record.tables
    )


@pytest.mark.parametrize("copy", [shutil.copy2, os.link])
def test_a_copied_store_reuses_everything_with_a_copied_catalogue_and_nothing_with_another(
    first: Shop, tmp_path: Path, copy: Callable[..., object]
) -> None:
    shutil.copytree(first.folder, tmp_path / "copy", copy_function=copy)
    shop = Shop(tmp_path / "copy")
    outcome = shop.run()
    assert [status for _, status, _ in outcome.stages] == ["reused"] * 7
    file = shop.folder / "items.csv"
    times, content = file.stat(), file.read_bytes()
    file.unlink()
    changed = content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]
    file.write_bytes(changed)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert shop.run(last="ingest").record("ingest") != outcome.record("ingest")


@pytest.mark.slow
def test_text_that_differs_in_width_and_spaces_only_is_not_embedded_again(shop: Shop) -> None:
    rows = samples(1)
    before = shop.table()
    wide = str.maketrans({chr(c): chr(c + 0xFEE0) for c in range(0x30, 0x3A)})
    rows = [row | {"title": f" {row['title']} ".translate(wide), "price": "1"} for row in rows]
    outcome = shop.run(rows)
    embed = outcome.record("embed")
    assert embed is not None
    assert embed.counts["embedded"] == 0
    assert shop.table() == before
    assert {row["price"] for row in shop.table("items")} == {1.0}


@pytest.mark.slow
def test_no_item_that_stays_and_none_that_is_left(shop: Shop) -> None:
    others = [row | {"item_id": f"new-{row['item_id']}"} for row in samples(1)[:60]]
    shop.run(others)
    assert {row["item_id"] for row in shop.table("embeddings")} == {r["item_id"] for r in others}
    shop.run(others[:1])
    assert [row["item_id"] for row in shop.table("embeddings")] == [others[0]["item_id"]]
    assert shop.table() == []


@pytest.mark.slow
def test_after_a_catalogue_whose_rows_were_only_reordered_and_gc_a_night_still_builds_on_it(
    shop: Shop,
) -> None:
    before = {path.name for path in (shop.store.root / "stages" / "ingest").iterdir()}
    reordered = shop.run(samples(1)[::-1])
    assert [status for _, status, _ in reordered.stages][:3] == ["done", "reused", "reused"]
    gc.collect(shop.store, 1)
    assert not before & {path.name for path in (shop.store.root / "stages" / "ingest").iterdir()}
    embedded = shop.run(samples(2)).record("embed")
    assert embedded is not None
    assert 0 < embedded.counts["embedded"] < 100


@pytest.mark.slow
def test_what_a_killed_run_left_of_another_base_is_not_taken_up(shop: Shop) -> None:
    first, second = samples(1), samples(2)
    third = [*second[5:], {**first[0], "item_id": "new", "title": "まったく新しい商品"}]
    shop.run(second)
    # Built on the second night; killed after its tables were there, before its record was.
    tokens = shop.run(third, last="index").record("tokenize")
    assert tokens is not None
    for stage in ("tokenize", "embed", "index"):
        for path in (shop.store.root / "stages" / stage).iterdir():
            if stage != "tokenize" or path.stem == tokens.fingerprint:
                path.unlink()
    for table in ("tokens", "embeddings", "lists"):
        versions = on_disk(shop.store.root / "tables" / table).iterdir()
        shutil.rmtree(max(versions, key=lambda path: path.stat().st_mtime_ns))
    rollback(shop.store)
    outcome = shop.run(third)
    built = outcome.record("tokenize")
    assert built is not None
    assert built.fingerprint == tokens.fingerprint
    assert built.outputs["base"] not in (None, tokens.outputs["base"])
    rows = shop.table()
    shop.run(full=True)
    assert shop.table() == rows
    assert {row["item_id"] for row in rows} == {row["item_id"] for row in shop.table("items")}
