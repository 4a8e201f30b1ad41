"""Stored outputs of the stages for a small catalogue: how they are computed, written and compared.

Each stage reads the stored outputs of the stages before it. So a change of one stage's output shows
in that stage alone, and what does not come out to the bit on another processor, the training of a
model, is fixed for the stages after it.
"""

import base64
import json
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from models.content import read_content
from pipeline.config.sections import Config
from pipeline.stages import NAMES
from pipeline.stages.context import Job, Stage
from pipeline.stages.tokenize.stage import text_fingerprint
from pipeline.storage.paths import load_arrays
from pipeline.store import schemas
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from tests.pipeline.places import on_disk
from tests.pipeline.tables import read_rows

FOLDER = Path(__file__).parents[2] / "golden" / "stages"
_MODEL = {"dim": 8, "min_count": 1, "epoch": 3, "bucket": 60}
# Exact search of blended vectors without rules; and every stage with other settings.
CASES: dict[str, dict[str, Any]] = {
    "exact": {
        "catalogue": {"path": "catalogue.csv"},
        "model": _MODEL,
        "embed": {"dim": 64},
        "index": {"nlist": 3},
        "neighbors": {"k": 3},
    },
    "rules": {
        "catalogue": {"path": "catalogue.jsonl", "columns": {"item_id": "sku"}},
        "text": {"split_mode": "A", "word_form": "surface"},
        "model": _MODEL | {"algorithm": "cbow", "minn": 0, "maxn": 0, "float16": True},
        "embed": {"method": "weighted"},
        "index": {"exact_below": 0, "nlist": 6},
        "neighbors": {"k": 3, "recall_sample": 10, "target_recall": 0.7},
        "rules": {
            "eligible": "stock > 0",
            "query": "brand <> '花緒'",
            "same": ["locale"],
            "collapse": "group_id",
            "max_per": {"category": 2},
            "price_ratio": [0.2, 5.0],
            "max_score": 0.999,
        },
    },
}
# Tables whose rows are in an order that is part of the output.
_ORDERED = {"lists", "candidates", "similar_items", "details"}
# What depends on the machine, or is compared with the model itself.
_UNSTABLE = {
    *("model_loads", "groups", "groups_a_query", "distances", "scanned_share", "shuffle_bytes"),
    *("sha256", "model_bytes"),
}

Values = dict[str, Any]


@dataclass
class Output:
    """The output of one stage in one case.

    Attributes:
        inputs: a digest of all that decides the output, except the code.
        counts, outputs: those of the stage's record.
        tables: the rows of each table; bytes in base64.
        quantiser: the centroids and the sizes of the lists, if the stage has trained one.
        model: the model's file, if the stage has written one.
    """

    inputs: str
    counts: Values
    outputs: Values
    tables: dict[str, list[Values]]
    quantiser: dict[str, list[Any]] | None = None
    model: Path | None = None


def stored(stage: str) -> tuple[int, dict[str, Output]] | None:
    """The stored code version and outputs of a stage, by case; None where there are none."""
    file = FOLDER / f"{stage}.json"
    if not file.exists():
        return None
    raw = json.loads(file.read_text(encoding="utf-8"))
    outputs = {case: Output(**values) for case, values in raw["cases"].items()}
    if stage == "train":
        for case, output in outputs.items():
            output.model = FOLDER / f"{case}.safetensors"
    return raw["code_version"], outputs


def write(stage: Stage, outputs: dict[str, Output]) -> None:
    """Store the outputs of a stage: a row a line, so that a change can be read."""
    lines = ["{", f'"code_version": {stage.CODE_VERSION},', '"cases": {']
    for case, output in outputs.items():
        if output.model is not None:
            shutil.copyfile(output.model, FOLDER / f"{case}.safetensors")
        tables = [
            f"{to_json(table)}: [\n" + ",\n".join(map(to_json, rows)) + "\n]"
            for table, rows in output.tables.items()
        ]
        rest = {"inputs": output.inputs, "counts": output.counts, "outputs": output.outputs}
        parts = [f"{to_json(name)}: {to_json(value)}" for name, value in rest.items()]
        if output.quantiser is not None:
            parts.append(f'"quantiser": {to_json(output.quantiser)}')
        parts.append('"tables": {' + ",\n".join(tables) + "}")
        end = "" if case == list(outputs)[-1] else ","
        lines.append(f"{to_json(case)}: {{\n" + ",\n".join(parts) + "\n}" + end)
    (FOLDER / f"{stage.NAME}.json").write_text("\n".join([*lines, "}", "}", ""]), encoding="utf-8")


def to_json(value: object) -> str:
    """A value in one line of JSON."""
    return json.dumps(value, ensure_ascii=False)


def run(stage: Stage, case: str, spark: SparkSession, folder: Path) -> Output:
    """Run a stage on the stored outputs of the stages before it.

    Args:
        stage: the stage.
        case: a key of CASES.
        spark: the session.
        folder: an empty one, for the store.
    """
    job = new_job(case, folder, spark)
    digest = sha256(to_json(CASES[case]).encode())
    digest.update((FOLDER / CASES[case]["catalogue"]["path"]).read_bytes())
    if NAMES[0] != stage.NAME:
        digest.update(text_fingerprint(job).encode())
    for before in NAMES[: NAMES.index(stage.NAME)]:
        golden = stored(before)
        assert golden is not None, f"{before}: no stored output; run: make golden"
        output = golden[1][case]
        digest.update(to_json([output.counts, output.outputs, output.tables]).encode())
        if output.model is not None:
            digest.update(output.model.read_bytes())
        record = record_of(before, output, _version(before))
        _put(job.store, record, output)
        job.set_record(record)
    version = _version(stage.NAME)
    execution = stage.execute(job, version)
    result = Output(
        inputs=digest.hexdigest()[:16],
        counts=_stable(execution.counts),
        outputs=_stable(execution.outputs),
        tables={table: _rows(job.store, table, version) for table in execution.tables},
    )
    assert {table: len(rows) for table, rows in result.tables.items()} == execution.tables
    if job.store.quantisers.path(version).exists():
        paths = (job.store.quantisers.path(version), job.store.quantisers.sizes_path(version))
        centroids, sizes = (load_arrays(path)[0] for path in paths)
        result.quantiser = {"centroids": centroids.tolist(), "sizes": sizes.tolist()}
    if "sha256" in execution.outputs:
        record = StageRecord(stage.NAME, version, job.run_id, {}, {}, outputs=execution.outputs)
        result.model = on_disk(job.store.models.file(record))
    return result


def new_job(case: str, folder: Path, spark: SparkSession | None = None) -> Job:
    """A job with the settings of a case, on a new store."""
    settings = CASES[case]
    path = str(FOLDER / settings["catalogue"]["path"])
    raw = settings | {
        "store": {"path": str(folder / "store")},
        "catalogue": settings["catalogue"] | {"path": path},
    }
    config = Config.model_validate(raw)
    return Job(config, Store.of(config), "golden", publishing=False, spark=spark)


def _version(stage: str) -> str:
    return f"{NAMES.index(stage):016x}"


def _stable(values: Values) -> Values:
    stable: Values = json.loads(to_json({n: v for n, v in values.items() if n not in _UNSTABLE}))
    return stable


def record_of(stage: str, output: Output, fingerprint: str) -> StageRecord:
    """The record of a stored output."""
    outputs = dict(output.outputs)
    if output.model is not None:
        outputs["sha256"] = read_content(output.model).sha256
    rows = {table: len(rows) for table, rows in output.tables.items()}
    return StageRecord(stage, fingerprint, "golden", {}, rows, output.counts, outputs)


def _put(store: Store, record: StageRecord, output: Output) -> None:
    """Put what a stored output consists of into a store."""
    version = record.fingerprint
    for table, rows in output.tables.items():
        store.write_rows([_decoded(table, row) for row in rows], table, version)
    if output.quantiser is not None:
        path = on_disk(store.quantisers.path(version))
        path.parent.mkdir(parents=True)
        np.save(path, np.array(output.quantiser["centroids"], dtype=np.float32))
        sizes = on_disk(store.quantisers.sizes_path(version))
        np.save(sizes, np.array(output.quantiser["sizes"], dtype=np.int64))
    if output.model is not None:
        file = record.outputs["file"]
        with store.models.new_folder() as folder:
            shutil.copyfile(output.model, folder / file)
            store.models.save(folder, record.outputs["sha256"], file)


def _rows(store: Store, table: str, version: str) -> list[Values]:
    rows = [_encoded(table, row) for row in read_rows(store, table, version)]
    return rows if table in _ORDERED else sorted(rows, key=to_json)


def _encoded(table: str, row: Values) -> Values:
    if table == "embeddings":
        # The same values as in `half`.
        half = row["half"] and np.frombuffer(row["half"], np.float16).tolist()
        assert row.pop("vector") == half
    return {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in row.items()
    }


def _decoded(table: str, row: Values) -> Values:
    binary = {field.name for field in schemas.SCHEMAS[table] if pa.types.is_binary(field.type)}
    decoded = {
        name: base64.b64decode(value) if name in binary and value is not None else value
        for name, value in row.items()
    }
    if table == "embeddings":
        half = decoded["half"]
        decoded["vector"] = half and np.frombuffer(half, np.float16).tolist()
    return decoded
