"""Runs made by hand, for tests of their pages without Spark."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.files import write_json
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

VERSION, RUN = "0123456789abcdef", "night7"
_STAGES = ("ingest", "tokenize", "train", "embed", "index", "neighbors", "publish")


def run_json(**changes: Any) -> dict[str, Any]:
    """The run.json of a run that published, with a few items."""
    content: dict[str, Any] = {
        "run_id": RUN,
        "status": "published",
        "message": "",
        "nitamono": "0.1.0",
        "started": "2026-11-01T01:02:03+00:00",
        "seconds": 83.5,
        "settings": {
            "neighbors": {"k": 10, "target_recall": 0.97},
            "publish": {
                "min_recall": -1.0,
                "max_without": 0.5,
                "min_rows": 0.9,
                "min_coverage": 0.9,
                "max_churn": 0.5,
            },
            "spark": {"spark.hadoop.fs.s3a.secret.key": "hush"},
        },
        "counts": {
            "rows_read": 60,
            "items": 57,
            "quarantined": 3,
            "quarantine_reasons": {"no_title": 2, "duplicate_item_id": 1},
            "vectors": 56,
            "short_lists": 1,
            "short_list_reasons": {"no_tokens": 1},
            "filled_rows": 10,
            "filled_items": 1,
            "filled_by": {"same category by sold": 8, "by sold": 2},
            "short_after_filling": 0,
            "rows": 560,
            "quality": {
                "coverage": 0.9825,
                "scores": {
                    "quantiles": {"0.1": 0.505, "0.5": 0.725, "0.9": 0.905},
                    "first": {"0.1": 0.605, "0.5": 0.825, "0.9": 0.955},
                    "histogram": [[0.5, 100], [0.72, 300], [0.9, 160]],
                },
                "hubs": {
                    "most_shown": {"item_id": "i1", "times": 31},
                    "never_shown": 4,
                    "gini": 0.31,
                },
                "sampled_one_in": 1,
                "same_category": 0.75,
                "duplicates_shown": 0.02,
            },
            "gate": {
                "items_asked": 57,
                "items_without_neighbors": 1,
                "against": "fedcba9876543210",
                "items_before": 50,
                "items": 56,
                "rows_before": 500,
                "rows": 560,
                "one_in": 1,
                "common": 49,
                "entries": 490,
                "replaced": 49,
                "churn": 0.1,
                "new_model": False,
            },
        },
        "recall": {"value": 0.99, "low": 0.98, "high": 0.995, "queries": 56, "k": 10},
        "fingerprints": {"publish": VERSION},
        "stages": [
            {
                "stage": name,
                "status": "reused" if name == "train" else "done",
                "seconds": 3.25,
                "made_by": "night1" if name == "train" else RUN,
                "built_on": None,
                "why_full": None,
            }
            for name in _STAGES
        ],
        "published": {"version": VERSION, "run_id": RUN, "path": "somewhere"},
    }
    return content | changes


def example(item_id: str, title: str | None, **changes: Any) -> dict[str, Any]:
    """A row of the table of examples."""
    return {
        "item_id": item_id,
        "shown": True,
        "mapped": True,
        "title": title,
        "category": "shoes",
        "brand": None,
        "image_url": None,
        "title_tokens": "",
        "description_tokens": "",
        "half": np.array([len(item_id), 1.5], dtype="<f2").tobytes(),
        "neighbors": [],
    } | changes


def make_store(folder: Path, content: dict[str, Any], rows: list[dict[str, Any]] | None) -> Store:
    """A store with one run; if there are rows, with its table of examples too."""
    store = Store(str(folder / "store"))
    write_json(store.run_path(content["run_id"]) / "run.json", content)
    if rows is None:
        return store
    words = ("shared_words", pa.list_(pa.string()))
    entry = pa.struct([("similar_id", pa.string()), ("score", pa.float32()), words])
    types = {"shown": pa.bool_(), "mapped": pa.bool_(), "half": pa.binary()}
    types["neighbors"] = pa.list_(entry)
    schema = pa.schema([(name, types.get(name, pa.string())) for name in example("", "")])
    with store.versions.create("examples", VERSION) as path:
        path.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema), str(path / "part.parquet"))
    tables = {"examples": len(rows)}
    store.write_record(StageRecord("publish", VERSION, content["run_id"], {}, tables))
    return store
