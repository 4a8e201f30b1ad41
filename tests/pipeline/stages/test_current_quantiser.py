"""One quantiser is used by run after run, until it has drifted."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from pipeline.retrieval import quantiser, recall
from pipeline.stages.index import current_quantiser
from pipeline.stages.index import stage as index
from pipeline.store.stage_record import StageRecord
from tests.pipeline.retrieval import oracle
from tests.pipeline.stages.embedded_store import QUANTISED, EmbeddedStore

SETS = (QUANTISED, "index.nlist=12", "neighbors.nprobe=3", "neighbors.k=5")


def vectors(n: int, seed: int = 1) -> np.ndarray:
    return oracle.vectors(n, 12, seed=seed)


def test_a_later_night_uses_the_first_nights_quantiser(spark: SparkSession, tmp_path: Path) -> None:
    embedded = EmbeddedStore(tmp_path, vectors(300))
    inputs = index.inputs(embedded.job(*SETS))
    embedded.run(*SETS)
    assert index.inputs(embedded.job(*SETS)) == inputs
    first = embedded.index
    embedded.write_embeddings(vectors(330))
    inputs = index.inputs(embedded.job(*SETS))
    assert inputs["quantiser"] == first
    table, _ = embedded.run(*SETS)
    assert embedded.index == first
    assert table == embedded.expected(5, 3)
    assert index.inputs(embedded.job(*SETS)) == inputs
    # Other settings have a quantiser of their own.
    assert index.inputs(embedded.job(*SETS, "index.nlist=11"))["quantiser"] is None


@pytest.mark.slow
def test_a_night_out_of_balance_trains_anew(spark: SparkSession, tmp_path: Path) -> None:
    embedded = EmbeddedStore(tmp_path, vectors(300))
    embedded.run(*SETS)
    first = embedded.index
    crowd = np.eye(12)[0] + 0.1 * np.random.default_rng(2).standard_normal((900, 12))
    crowded = np.concatenate([vectors(300), crowd]).astype(np.float16).astype(np.float32)
    embedded.write_embeddings(crowded)
    inputs = index.inputs(embedded.job(*SETS))
    table, _ = embedded.run(*SETS)
    assert inputs["quantiser"] == first
    assert embedded.index != first
    assert table == embedded.expected(5, 3)
    assert index.inputs(embedded.job(*SETS)) == inputs
    embedded.write_embeddings(crowded[:1100])
    assert index.inputs(embedded.job(*SETS))["quantiser"] == embedded.index


def test_a_catalogue_that_wants_twice_the_lists_gets_a_new_quantiser(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantiser, "list_count", lambda items, _: items // 30)
    embedded = EmbeddedStore(tmp_path, vectors(300))
    sets = (QUANTISED, "neighbors.nprobe=2")
    embedded.run(*sets)
    for items, used in ((600, embedded.index), (150, embedded.index), (630, None), (149, None)):
        embedded.write_embeddings(vectors(items))
        assert index.inputs(embedded.job(*sets))["quantiser"] == used


@pytest.mark.slow
def test_probes_that_double_are_drift_from_the_next_night_on(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "nprobe_for_recall", lambda *_: 5)
    sets = (QUANTISED, "index.nlist=12", "neighbors.target_recall=0.5")
    embedded = EmbeddedStore(tmp_path, vectors(300))
    embedded.run(*sets)
    first = embedded.index
    for probes, used in ((10, first), (11, first), (11, None)):
        monkeypatch.setattr(recall, "nprobe_for_recall", lambda *_, probes=probes: probes)
        embedded.write_embeddings(vectors(300, seed=probes))
        inputs = index.inputs(embedded.job(*sets))
        assert inputs["quantiser"] == used
        embedded.run(*sets)
        assert index.inputs(embedded.job(*sets)) == inputs
    assert embedded.index != first
    current = current_quantiser.load(embedded.job(*sets))
    assert current is not None
    assert (current.probes["0.5 of 10"]["now"], current.drifted) == (11, None)


def test_a_quantiser_that_is_gone_or_not_whole_is_not_used(
    spark: SparkSession, tmp_path: Path
) -> None:
    embedded = EmbeddedStore(tmp_path, vectors(300))
    embedded.run(*SETS)
    embedded.write_embeddings(vectors(310))
    for path in (embedded.store.quantisers.path, embedded.store.quantisers.sizes_path):
        file = path(embedded.index)
        kept = file.read_bytes()
        assert index.inputs(embedded.job(*SETS))["quantiser"] == embedded.index
        file.unlink()
        assert index.inputs(embedded.job(*SETS))["quantiser"] is None
        file.write_bytes(kept)


def test_a_run_that_does_not_publish_leaves_the_nights_quantiser(
    spark: SparkSession, tmp_path: Path
) -> None:
    embedded = EmbeddedStore(tmp_path, vectors(300))
    job = embedded.job(*SETS)
    job.publishing = False
    inputs = index.inputs(job)
    result = index.execute(job, "quiet")
    record = StageRecord(
        "index", "quiet", "r", inputs, result.tables, result.counts, result.outputs
    )
    current_quantiser.adopt(job, record)
    assert current_quantiser.load(job) is None
    # A night that publishes finds the same index, and takes its quantiser over.
    job.publishing = True
    current_quantiser.adopt(job, record)
    current = current_quantiser.load(job)
    assert current is not None
    assert (current.version, current.lists, current.probes) == ("quiet", 12, {})


def test_a_run_works_with_the_quantiser_and_the_version_of_its_start(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Another run publishes between two reads of a run that does not publish."""
    embedded = EmbeddedStore(tmp_path, vectors(300))
    embedded.run(*SETS)
    first = embedded.index
    embedded.write_embeddings(vectors(330))
    quiet = embedded.job(*SETS)
    quiet.publishing = False
    inputs = index.inputs(quiet)
    assert inputs["quantiser"] == first
    # The other run trains a quantiser and publishes.
    current = current_quantiser.load(embedded.job(*SETS))
    assert current is not None
    centroids = np.eye(12, dtype=np.float32)
    embedded.store.quantisers.save("other", [centroids], np.ones(12, np.int64), 1)
    embedded.store.quantisers.set_current(
        next((tmp_path / "store" / "quantisers" / "current").glob("*.json")).stem,
        asdict(replace(current, version="other")),
    )
    for table in ("items", "similar_items"):
        embedded.store.set_latest(table, "later", "other")
    result = index.execute(quiet, "quiet")
    assert result.outputs["quantiser"] == first
    assert index.inputs(quiet) == inputs
    assert quiet.state.version("similar_items") is None
    assert index.inputs(embedded.job(*SETS))["quantiser"] == "other"
