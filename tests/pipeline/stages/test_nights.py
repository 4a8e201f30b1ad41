"""index and neighbors, run after run: built on the run before, they give what --full gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipeline.config import reading as config
from pipeline.retrieval.vectors import to_bytes
from pipeline.stages.context import Job
from pipeline.stages.index import current_quantiser
from pipeline.stages.index import stage as index
from pipeline.stages.neighbors import ground_truth, incremental_search
from pipeline.stages.neighbors import stage as neighbors
from pipeline.store.arrow_files import Rows
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from tests.pipeline.retrieval import oracle
from tests.pipeline.tables import read_rows

Catalogue = dict[str, np.ndarray]
Table = dict[str, list[tuple[str, float]]]
DIM = 8


class Nights:
    """A store in which each run builds on the one before."""

    def __init__(self, folder: Path, *sets: str) -> None:
        file = folder / "nitamono.toml"
        file.write_text('[store]\npath = "store"\n[catalogue]\npath = "x.csv"\n')
        self._file, self._sets = file, sets
        self.store = Store(str(folder / "store"))
        self._catalogues: list[Catalogue] = []

    def night(self, catalogue: Catalogue) -> tuple[Table, dict[str, StageRecord]]:
        """Run over the next night's catalogue."""
        before = self._catalogues[-1] if self._catalogues else {}
        self._catalogues.append(catalogue)
        changes = {item: "removed" for item in before if item not in catalogue}
        for item, vector in catalogue.items():
            if item not in before:
                changes[item] = "added"
            elif not np.array_equal(before[item], vector):
                changes[item] = "changed"
        number = len(self._catalogues)
        ids = list(catalogue)
        self._write("embeddings", f"e{number}", item_id=ids, tokens=[1] * len(ids),
                    half=to_bytes(np.array([catalogue[item] for item in ids])))  # fmt: skip
        self._write("changes", f"t{number}", item_id=list(changes), change=list(changes.values()))
        return self.run()

    def _write(self, table: str, version: str, **columns: Any) -> None:
        path = self.store.table_path(table, version)
        path.mkdir(parents=True)
        types = {"tokens": pa.int32(), "half": pa.binary()}
        arrays = {n: pa.array(v, types.get(n, pa.string())) for n, v in columns.items()}
        pq.write_table(pa.table(arrays), path / "part.parquet")

    def run(self, *sets: str, full: bool = False) -> tuple[Table, dict[str, StageRecord]]:
        """Run over the last catalogue, with these settings as well."""
        number = len(self._catalogues)
        count = len(self._catalogues[-1])
        settings = config.load(self._file, (*self._sets, *sets), {})
        job = Job(settings, self.store, "r", full=full)
        base = f"e{number - 1}" if number > 1 else None
        job.set_record(StageRecord("ingest", "i", "r", {}, {}, {}, {"content": "c"}))
        moves = {"moves": f"t{number}"}
        job.set_record(StageRecord("tokenize", f"t{number}", "r", {}, {"changes": 1}, {}, moves))
        outputs = {"vectors": count, "dim": DIM, "space": "s", "base": base, "why": "first"}
        if full:
            outputs |= {"base": None, "why": "--full"}
        rows = {"embeddings": count}
        job.set_record(StageRecord("embed", f"e{number}", "r", {}, rows, {}, outputs))
        records = {}
        for stage in (index, neighbors):
            version, inputs = job.fingerprint(stage)
            result = stage.execute(job, version)
            record = StageRecord(
                stage.NAME, version, "r", inputs, result.tables, result.counts, result.outputs
            )
            self.store.write_record(record)
            job.set_record(record)
            records[stage.NAME] = record
            update = current_quantiser.adopt if stage is index else current_quantiser.record_nprobe
            update(job, record)
        listed = read_rows(self.store, "neighbors", version)
        k = settings.neighbors.k
        table = {
            row["item_id"]: [(n["similar_id"], n["score"]) for n in row["neighbors"][:k]]
            for row in listed
        }
        assert len(table) == len(listed)
        return table, records

    def truth(self, record: StageRecord) -> Table:
        """The true neighbours of both samples."""
        section = config.load(self._file, self._sets, {}).neighbors
        rows = read_rows(self.store, "ground_truth", record.fingerprint)
        halves = ([row for row in rows if row["order"] % 2 == bit] for bit in (0, 1))
        sampled = [row for half in halves for row in half[: section.recall_sample]]
        if section.nprobe or len(self._sets) < 3:
            sampled = rows[: section.recall_sample]
        return {
            row["item_id"]: [(n["similar_id"], n["score"]) for n in row["neighbors"][: section.k]]
            for row in sampled
        }


def catalogue(rng: np.random.Generator, items: int) -> Catalogue:
    drawn = oracle.vectors(items, DIM, seed=int(rng.integers(1000)), duplicates=items // 10)
    return {f"{n:05d}": vector for n, vector in enumerate(drawn)}


def churned(rng: np.random.Generator, before: Catalogue) -> Catalogue:
    """3% of the items leave, as many arrive, and as many change."""
    ids = sorted(before)
    count = len(ids) * 3 // 100
    moved = rng.permutation(ids)[: 2 * count]
    new = oracle.vectors(2 * count, DIM, seed=int(rng.integers(1000)))
    after = {item: v for item, v in before.items() if item not in moved[:count]}
    after |= dict(zip(moved[count:].tolist(), new[:count], strict=True))
    names = (f"n{rng.integers(10**6):06d}" for _ in range(count))
    return after | dict(zip(names, new[count:], strict=True))


@pytest.mark.parametrize(
    "sets",
    [
        pytest.param(
            (
                "index.exact_below=0",
                "index.nlist=9",
                "neighbors.target_recall=0.8",
                "neighbors.recall_sample=40",
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("index.exact_below=0", "index.nlist=9", "neighbors.nprobe=3", "neighbors.reserve=0"),
            marks=pytest.mark.slow,
        ),
        pytest.param(("index.nlist=4",), marks=pytest.mark.slow),
    ],
)
def test_three_nights_give_what_full_runs_give(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sets: tuple[str, ...]
) -> None:
    searched: list[int] = []
    search = ground_truth.search_truth

    def noted_search(items: Rows, *args: Any) -> pa.RecordBatch:
        # Only a scan of all items has a `run` of its own.
        searched.append(len(args[1]) if items.run is not iter else 0)
        return search(items, *args)

    monkeypatch.setattr(ground_truth, "search_truth", noted_search)
    rng = np.random.default_rng(len(sets))
    nights = Nights(tmp_path, "neighbors.k=4", *sets)
    today = catalogue(rng, 500)
    nights.night(today)
    searched.clear()
    for _ in range(2):
        today = churned(rng, today)
        table, records = nights.night(today)
        assert records["index"].outputs["base"]
        assert records["neighbors"].outputs["base"], records["neighbors"].outputs["why"]
        searched_by_night = sum(searched)
        full, full_records = nights.run(full=True)
        assert full_records["neighbors"].outputs["base"] is None
        assert table == full
        assert records["neighbors"].outputs["recall"] == full_records["neighbors"].outputs["recall"]
        assert nights.truth(records["neighbors"]) == nights.truth(full_records["neighbors"])
        assert searched_by_night < 0.5 * (sum(searched) - searched_by_night)
        searched.clear()
        assert records["neighbors"].counts["distances"] < (
            0.6 * full_records["neighbors"].counts["distances"]
        )


@pytest.mark.slow
def test_a_run_without_a_base_searches_everything_and_says_why(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(7)
    nights = Nights(tmp_path, "neighbors.k=4", "index.exact_below=0", "index.nlist=6",
                    "neighbors.nprobe=2")  # fmt: skip
    today = catalogue(rng, 300)
    table, records = nights.night(today)
    assert records["neighbors"].outputs["why"] == "the quantiser is new"
    today = churned(rng, today)
    nights.night(today)
    for setting, why in (
        ("neighbors.k=5", "no whole earlier neighbors was made in the same way"),
        ("neighbors.where=item_id < '00100'", "not every item asks"),
    ):
        if "where" in setting:
            nights._write("items", "i", item_id=list(today))
        _, records = nights.run(setting)
        assert records["neighbors"].outputs["base"] is None
        assert records["neighbors"].outputs["why"] == why
    monkeypatch.setattr(incremental_search, "MAX_MOVED_SHARE", 0.01)
    today = churned(rng, today)
    table, records = nights.night(today)
    assert records["index"].outputs["base"]
    assert "items have moved" in records["neighbors"].outputs["why"]
    assert table == nights.run(full=True)[0]


@pytest.mark.slow
def test_items_that_arrive_in_an_empty_list_and_lists_that_become_empty(
    spark: SparkSession, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    nights = Nights(tmp_path, "neighbors.k=3", "index.exact_below=0", "index.nlist=6",
                    "neighbors.nprobe=1")  # fmt: skip
    today = catalogue(rng, 120)
    _, records = nights.night(today)
    lists = read_rows(nights.store, "lists", records["index"].fingerprint)
    gone = [row["item_id"] for row in lists if row["list"] == 2]
    without = {item: v for item, v in today.items() if item not in gone}
    for now in (without, today, without):
        table, records = nights.night(now)
        assert table == nights.run(full=True)[0]
