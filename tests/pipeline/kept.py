"""Stores with the records, folders and pointers of made-up nights, for tests without Spark."""

from pathlib import Path
from typing import Any

from pipeline.storage.files import write_json
from pipeline.store import publications
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


def name(night: int, stage: str) -> str:
    """The fingerprint of a stage of a night: 16 hexadecimal digits."""
    return f"{night:08x}{list(TABLES).index(stage):08x}"


def version(night: int) -> str:
    return name(night, "publish")


def make(store: Store, night: int, *, model: int = 1, quantiser: int = 1) -> dict[str, str]:
    """What a night's stages leave in a store; the model and quantiser may be an earlier one's."""
    stages = {stage: name(night, stage) for stage in TABLES} | {"train": name(model, "train")}
    for stage, fingerprint in stages.items():
        outputs: dict[str, Any] = {}
        if stage == "train":
            outputs = {"sha256": fingerprint * 4, "file": "model.bin"}
            write(on_disk(store.models.path(fingerprint) / "model.bin"))
        if stage == "index":
            outputs = {"quantiser": name(quantiser, "index")}
            write(on_disk(store.quantisers.path(name(quantiser, "index"))))
            write(on_disk(store.quantisers.sizes_path(name(quantiser, "index"))))
        for table in TABLES[stage]:
            write(on_disk(store.table_path(table, fingerprint) / "part.parquet"))
        rows = dict.fromkeys(TABLES[stage], 1)
        store.write_record(StageRecord(stage, fingerprint, f"run{night}", {}, rows, {}, outputs))
    store.models.set_current("settings", stages["train"])
    about = {"version": name(quantiser, "index"), "before": None}
    store.quantisers.set_current("settings", about)
    return stages


def publish(store: Store, night: int, **of: int) -> str:
    """Make a night and publish it."""
    publications.publish(store, f"run{night}", make(store, night, **of))
    return version(night)


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 100)


def run_json(store: Store, run_id: str, **about: Any) -> None:
    """Write what a run says of itself."""
    raw: dict[str, Any] = {
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
    write_json(store.run_path(run_id) / "run.json", raw | about)
