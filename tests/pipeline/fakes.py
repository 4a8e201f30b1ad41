"""Stores with the records, folders and pointers of invented nights, for tests without Spark."""

from pathlib import Path
from typing import Any

from pipeline.storage.files import write_json
from pipeline.store import file_list, publications
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from tests.pipeline.places import on_disk

TABLES = {
    "ingest": ("items", "quarantine"),
    "tokenize": ("tokens",),
    "train": (),
    "embed": ("embeddings",),
    "index": ("lists",),
    "neighbors": ("neighbors", "short_lists"),
    "publish": ("similar_items",),
}


def fingerprint(night: int, stage: str) -> str:
    """The fingerprint of a stage of a night: 16 hexadecimal digits."""
    return f"{night:08x}{list(TABLES).index(stage):08x}"


def version(night: int) -> str:
    """The version of a night's similar-item table."""
    return fingerprint(night, "publish")


def make(store: Store, night: int, *, model: int = 1, quantiser: int = 1) -> dict[str, str]:
    """Write what the stages of a night leave in a store; return their fingerprints.

    Args:
        store: the store.
        night: the night's number.
        model: the night whose model it uses.
        quantiser: the night whose quantiser it uses.
    """
    stages = {stage: fingerprint(night, stage) for stage in TABLES}
    stages |= {"train": fingerprint(model, "train")}
    trained_for = fingerprint(quantiser, "index")
    for stage, name in stages.items():
        outputs: dict[str, Any] = {}
        if stage == "train":
            outputs = {"sha256": name * 4, "file": "model.bin"}
            write_file(on_disk(store.models.path(name) / "model.bin"))
        if stage == "index":
            outputs = {"quantiser": trained_for}
            write_file(on_disk(store.quantisers.path(trained_for)))
            write_file(on_disk(store.quantisers.sizes_path(trained_for)))
        for table in TABLES[stage]:
            file = on_disk(store.table_path(table, name) / "part.parquet")
            write_file(file)
            file_list.write(file.parent, [file_list.describe(str(file), file.name)])
        rows = dict.fromkeys(TABLES[stage], 1)
        store.write_record(StageRecord(stage, name, f"run{night}", {}, rows, {}, outputs))
    store.models.set_current("settings", stages["train"])
    store.quantisers.set_current("settings", quantiser_state(quantiser))
    return stages


def quantiser_state(night: int, before: str | None = None) -> dict[str, Any]:
    """The state of a current quantiser, that of a night."""
    return {
        "version": fingerprint(night, "index"),
        "embeddings": fingerprint(night, "embed"),
        "before": before,
        "lists": 1,
        "imbalance": 1.0,
        "probes": {},
    }


def publish(store: Store, night: int, **sources: int) -> str:
    """Make a night and publish it; return the version. `sources` are those of `make`."""
    publications.publish(store, f"run{night}", make(store, night, **sources))
    return version(night)


def write_file(path: Path) -> None:
    """Write a file of 100 bytes, and the folders that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 100)


def write_run_json(store: Store, run_id: str, **fields: Any) -> None:
    """Write the run.json of a run that is done, with some fields changed."""
    content: dict[str, Any] = {
        "run_id": run_id,
        "status": "done",
        "message": "",
        "started": "2026-11-01T00:00:00+00:00",
        "seconds": 1.5,
        "settings": {},
        "counts": {},
        "recall": None,
        "fingerprints": {},
        "published": None,
    }
    write_json(store.run_path(run_id) / "run.json", content | fields)
