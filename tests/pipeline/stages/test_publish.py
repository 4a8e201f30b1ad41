"""Publishing a run in which only the new items are queries."""

import io
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.config import reading as config
from pipeline.retrieval.item_order import ItemRanges
from pipeline.runs.record import Outcome, new_run_id
from pipeline.runs.runner import Runner
from pipeline.stages.context import Job
from pipeline.stages.publish import (
    comparison,
    list_sources,
    pair_sums,
    sample_lists,
    sorted_tables,
    stage,
)
from pipeline.store import schemas
from pipeline.store.arrow_files import Rows
from pipeline.store.schemas import SIMILAR_ITEMS
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress
from tests.conftest import WriteCsv

Lists = dict[str, list[tuple[str, float]]]
WORDS = ["赤い 靴", "青い 靴", "赤い 帽子", "革 の 鞄", "布 の 鞄", "白い 皿", "青い 皿"]


class Shop:
    """A catalogue that changes from night to night, and its store."""

    def __init__(self, folder: Path, write_csv: WriteCsv) -> None:
        self._folder, self._write = folder, write_csv
        self.store = Store(str(folder / "store"))

    def night(self, items: range, *sets: str) -> tuple[Lists, Outcome]:
        """Run over these items, and read what is published."""
        rows = [[f"i{n:02d}", f"{WORDS[n % 7]} {n % 3}", ""] for n in items]
        self._write(rows, name="catalogue.csv")
        file = self._folder / "nitamono.toml"
        file.write_text(
            '[store]\npath = "store"\n[catalogue]\npath = "catalogue.csv"\n'
            "[model]\nepoch = 2\ndim = 10\nmin_count = 1\n[neighbors]\nk = 5\n"
        )
        outcome = Runner(config.load(file, sets, {}), new_run_id(), Progress(io.StringIO())).run(
            "ingest", "publish"
        )
        latest = self.store.latest()
        assert latest is not None
        table: Lists = {}
        rows_of: list[dict[str, Any]] = pq.read_table(latest["path"]).to_pylist()
        for row in rows_of:
            neighbors = table.setdefault(row["item_id"], [])
            neighbors.append((row["similar_id"], row["score"]))
            assert row["rank"] == len(neighbors)
        return table, outcome


@pytest.mark.slow
def test_with_mode_new_the_lists_of_the_other_items_stay_without_those_that_left(
    spark: SparkSession, tmp_path: Path, write_csv: WriteCsv
) -> None:
    shop = Shop(tmp_path, write_csv)
    before, first = shop.night(range(30), "neighbors.mode=new", "publish.min_rows=0.8")
    assert len(before) == 30
    after, outcome = shop.night(range(4, 36), "neighbors.mode=new", "publish.min_rows=0.8")
    gone = {f"i{n:02d}" for n in range(4)}
    new = {f"i{n:02d}" for n in range(30, 36)}
    assert set(after) == {f"i{n:02d}" for n in range(4, 36)}
    assert {item: best for item, best in after.items() if item not in new} == {
        item: [pair for pair in best if pair[0] not in gone]
        for item, best in before.items()
        if item not in gone
    }
    record = outcome.record("publish")
    assert record is not None
    assert record.counts["rows"] == record.counts["carried_rows"] + 6 * 5
    # The gate compares samples, which here are all lists.
    versions = [str(night.version) for night in (first, outcome)]
    job = cast("Job", SimpleNamespace(store=shop.store))
    samples = [sample_lists.find(job, version) for version in versions]
    assert samples[0] is not None
    assert samples[1] is not None
    tables = [shop.store.read(spark, "similar_items", version) for version in versions]
    assert comparison.compare_samples(samples[0], samples[1], 3) == comparison.compare(
        tables[0], tables[1], 3
    )
    # Once more on the same catalogue: the baseline is the same, so everything is reused.
    again, outcome = shop.night(range(4, 36), "neighbors.mode=new", "publish.min_rows=0.8")
    assert again == after
    assert [status for name, status, _ in outcome.stages if name != "ingest"] == ["reused"] * 6
    full, _ = shop.night(range(4, 36))
    assert {item: full[item] for item in new} == {item: after[item] for item in new}


@pytest.mark.parametrize(("sent", "recounted", "is_wrong"), [(3, 9, 0), (6, 3, 0), (6, 6, 1)])
def test_pairs_that_were_lost_are_told_from_tasks_that_were_repeated(
    monkeypatch: pytest.MonkeyPatch, sent: int, recounted: int, is_wrong: int
) -> None:
    def digest(pairs: int) -> Counter[str]:
        return Counter({"pairs": pairs, "digest": 7 * pairs})

    monkeypatch.setattr(sorted_tables, "sums_of_sources", lambda *_: dict(digest(recounted)))
    written = digest(3) | Counter({"all 50": 3})
    problems = stage._problems(written, dict(digest(sent)), [], SIMILAR_ITEMS)
    assert len(problems) == is_wrong
    written |= Counter({"own": 1, "odd": 2})
    assert stage._problems(written, dict(digest(3)), [], SIMILAR_ITEMS) == [
        "1 items are their own neighbours",
        "2 scores are no cosines",
    ]


@pytest.mark.parametrize("partitions", [1, 7, 64])
def test_an_item_in_several_sources_has_the_list_of_the_first(
    spark: SparkSession, partitions: int
) -> None:
    rng = np.random.default_rng(6)
    sources = [
        {
            f"i{item}": [(f"j{source}{n}", float(n) / 8) for n in range(1 + item % 3)]
            for item in rng.choice(60, size, replace=False).tolist()
        }
        for source, size in enumerate((9, 20, 50))
    ]
    ddl = schemas.ddl(list_sources.lists_schema(SIMILAR_ITEMS))
    frames = [
        Rows(spark.createDataFrame(list(lists.items()), ddl).repartition(partitions), iter)
        for lists in sources
    ]
    given = [sorted_tables.first_neighbors(frame, SIMILAR_ITEMS) for frame in frames]
    sent = list_sources.SentPairs(spark.sparkContext)
    ranges = ItemRanges((b"i2", b"i4"))
    rows = sorted_tables.similar_items(given, ranges, sent, SIMILAR_ITEMS)
    written = rows.table("similar_items").toArrow()
    expected = {item: best for lists in reversed(sources) for item, best in lists.items()}
    assert len(expected) < sum(map(len, sources))
    assert sorted(tuple(row.values()) for row in written.to_pylist()) == sorted(
        (item, rank, other, score)
        for item, best in expected.items()
        for rank, (other, score) in enumerate(best, 1)
    )
    digest = pair_sums.digest_sums(written)
    assert digest == sent.sums()
    if partitions == 1:
        assert digest == sorted_tables.sums_of_sources(given, SIMILAR_ITEMS)
        # The sources in another order are another table.
        assert digest != sorted_tables.sums_of_sources(given[::-1], SIMILAR_ITEMS)
