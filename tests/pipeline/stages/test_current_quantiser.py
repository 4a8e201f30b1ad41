"""One quantiser serves night after night, until it has drifted."""

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from pipeline.retrieval import quantiser, recall
from pipeline.stages.index import current_quantiser
from pipeline.stages.index import stage as index
from pipeline.store.stage_record import StageRecord
from tests.pipeline.retrieval import oracle
from tests.pipeline.stages.night import QUANTISED, Night

SETS = (QUANTISED, "index.nlist=12", "neighbors.nprobe=3", "neighbors.k=5")


def vectors(n: int, seed: int = 1) -> np.ndarray:
    return oracle.vectors(n, 12, seed=seed)


def test_a_later_night_uses_the_first_nights_quantiser(spark: SparkSession, tmp_path: Path) -> None:
    night = Night(tmp_path, vectors(300))
    asked = index.inputs(night.job(*SETS))
    night.run(*SETS)
    assert index.inputs(night.job(*SETS)) == asked
    first = night.index
    night.tomorrow(vectors(330))
    asked = index.inputs(night.job(*SETS))
    assert asked["quantiser"] == first
    table, _ = night.run(*SETS)
    assert night.index == first
    assert table == night.expected(5, 3)
    assert index.inputs(night.job(*SETS)) == asked
    # Other settings have a quantiser of their own.
    assert index.inputs(night.job(*SETS, "index.nlist=11"))["quantiser"] is None


@pytest.mark.slow
def test_a_night_out_of_balance_trains_anew(spark: SparkSession, tmp_path: Path) -> None:
    night = Night(tmp_path, vectors(300))
    night.run(*SETS)
    first = night.index
    crowd = np.eye(12)[0] + 0.1 * np.random.default_rng(2).standard_normal((900, 12))
    crowded = np.concatenate([vectors(300), crowd]).astype(np.float16).astype(np.float32)
    night.tomorrow(crowded)
    asked = index.inputs(night.job(*SETS))
    table, _ = night.run(*SETS)
    assert asked["quantiser"] == first
    assert night.index != first
    assert table == night.expected(5, 3)
    assert index.inputs(night.job(*SETS)) == asked
    night.tomorrow(crowded[:1100])
    assert index.inputs(night.job(*SETS))["quantiser"] == night.index


def test_a_catalogue_that_wants_twice_the_lists_gets_a_new_quantiser(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantiser, "list_count", lambda items, _: items // 30)
    night = Night(tmp_path, vectors(300))
    sets = (QUANTISED, "neighbors.nprobe=2")
    night.run(*sets)
    for items, used in ((600, night.index), (150, night.index), (630, None), (149, None)):
        night.tomorrow(vectors(items))
        assert index.inputs(night.job(*sets))["quantiser"] == used


def test_probes_that_double_are_drift_from_the_next_night_on(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "nprobe_for_recall", lambda *_: 5)
    sets = (QUANTISED, "index.nlist=12", "neighbors.target_recall=0.5")
    night = Night(tmp_path, vectors(300))
    night.run(*sets)
    first = night.index
    for probes, used in ((10, first), (11, first), (11, None)):
        monkeypatch.setattr(recall, "nprobe_for_recall", lambda *_, probes=probes: probes)
        night.tomorrow(vectors(300, seed=probes))
        asked = index.inputs(night.job(*sets))
        assert asked["quantiser"] == used
        night.run(*sets)
        assert index.inputs(night.job(*sets)) == asked
    assert night.index != first
    found = current_quantiser.load(night.job(*sets))
    assert found is not None
    assert (found.probes["0.5 of 10"]["now"], found.drifted) == (11, None)


def test_a_quantiser_that_is_gone_or_not_whole_is_not_used(
    spark: SparkSession, tmp_path: Path
) -> None:
    night = Night(tmp_path, vectors(300))
    night.run(*SETS)
    night.tomorrow(vectors(310))
    for path in (night.store.quantiser_path, night.store.quantiser_sizes_path):
        file = path(night.index)
        kept = file.read_bytes()
        assert index.inputs(night.job(*SETS))["quantiser"] == night.index
        file.unlink()
        assert index.inputs(night.job(*SETS))["quantiser"] is None
        file.write_bytes(kept)


def test_a_run_that_does_not_publish_leaves_the_nights_quantiser(
    spark: SparkSession, tmp_path: Path
) -> None:
    night = Night(tmp_path, vectors(300))
    job = night.job(*SETS)
    job.publishing = False
    asked = index.inputs(job)
    made = index.execute(job, "quiet")
    record = StageRecord("index", "quiet", "r", asked, made.tables, made.counts, made.outputs)
    current_quantiser.adopt(job, record)
    assert current_quantiser.load(job) is None
    # A night that publishes finds the same index, and takes its quantiser over.
    job.publishing = True
    current_quantiser.adopt(job, record)
    found = current_quantiser.load(job)
    assert found is not None
    assert (found.version, found.lists, found.probes) == ("quiet", 12, {})
