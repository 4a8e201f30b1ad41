"""Stored outputs of the stages for a small catalogue: how they are made, written and compared.

Each stage reads the stored outputs of the stages before it. So a change of one stage's output shows
in that stage alone, and what does not come out to the bit on another processor, the training of a
model, is fixed for the stages after it.
"""

import base64
import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from models.content import measure
from models.fasttext import tensors
from pipeline.config.sections import Config
from pipeline.stages import NAMES
from pipeline.stages.context import Job, Stage
from pipeline.stages.tokenize.stage import text_fingerprint
from pipeline.storage.place import load_array
from pipeline.store import schemas
from pipeline.store.store import Record, Store
from tests.pipeline.places import on_disk

FOLDER = Path(__file__).parents[2] / "golden" / "stages"
_MODEL = {"dim": 8, "min_count": 1, "epoch": 3, "bucket": 60}
# Exact search of blended vectors without rules; and every stage in another way.
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
# Columns of vectors in float16, and how far a value may be off: about one step of those near 1.
_VECTORS, _STEP = ("half", "vector"), 1e-3
_TOLERANCE = 1e-5
# A trained model's values are the same to the bit on one machine only.
_TRAINED_TOLERANCE = 5e-3
# Tables whose rows are in an order that is part of the output.
_ORDERED = {"lists", "candidates", "similar_items", "details"}
# What depends on the machine, or is compared with the model itself.
_UNSTABLE = {
    *("model_loads", "groups", "groups_a_query", "distances", "scanned_share", "shuffle_bytes"),
    *("sha256", "model_bytes"),
}
_SHOWN = 3

Values = dict[str, Any]


@dataclass
class Output:
    """The output of one stage in one case.

    Attributes:
        inputs: a digest of all that decides the output, except the code.
        counts, outputs: those of the stage's record.
        tables: the rows of each table; bytes in base64.
        quantiser: the centroids and the sizes of the lists, if it trained a quantiser.
        model: the model's file, if it made one.
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
            f"{_json(table)}: [\n" + ",\n".join(map(_json, rows)) + "\n]"
            for table, rows in output.tables.items()
        ]
        rest = {"inputs": output.inputs, "counts": output.counts, "outputs": output.outputs}
        parts = [f"{_json(name)}: {_json(value)}" for name, value in rest.items()]
        if output.quantiser is not None:
            parts.append(f'"quantiser": {_json(output.quantiser)}')
        parts.append('"tables": {' + ",\n".join(tables) + "}")
        end = "" if case == list(outputs)[-1] else ","
        lines.append(f"{_json(case)}: {{\n" + ",\n".join(parts) + "\n}" + end)
    (FOLDER / f"{stage.NAME}.json").write_text("\n".join([*lines, "}", "}", ""]), encoding="utf-8")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def run(stage: Stage, case: str, spark: SparkSession, folder: Path) -> Output:
    """Run a stage on the stored outputs of the stages before it.

    Args:
        stage: the stage.
        case: a key of CASES.
        spark: the session.
        folder: an empty one, for the store.
    """
    job = _job(case, spark, folder)
    digest = sha256(_json(CASES[case]).encode())
    digest.update((FOLDER / CASES[case]["catalogue"]["path"]).read_bytes())
    if stage.NAME != NAMES[0]:
        digest.update(text_fingerprint(job).encode())
    for before in NAMES[: NAMES.index(stage.NAME)]:
        golden = stored(before)
        assert golden is not None, f"{before}: no stored output; run: make golden"
        output = golden[1][case]
        digest.update(_json([output.counts, output.outputs, output.tables]).encode())
        if output.model is not None:
            digest.update(output.model.read_bytes())
        job.resolve(_put(job.store, before, output))
    version = _version(stage.NAME)
    made = stage.execute(job, version)
    result = Output(
        inputs=digest.hexdigest()[:16],
        counts=_stable(made.counts),
        outputs=_stable(made.outputs),
        tables={table: _rows(job.store, table, version) for table in made.tables},
    )
    assert {table: len(rows) for table, rows in result.tables.items()} == made.tables
    if job.store.quantiser_path(version).exists():
        paths = (job.store.quantiser_path(version), job.store.quantiser_sizes_path(version))
        centroids, sizes = map(load_array, paths)
        result.quantiser = {"centroids": centroids.tolist(), "sizes": sizes.tolist()}
    if "sha256" in made.outputs:
        record = Record(stage.NAME, version, job.run_id, {}, {}, outputs=made.outputs)
        result.model = on_disk(job.store.model_file(record))
    return result


def _job(case: str, spark: SparkSession, folder: Path) -> Job:
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
    stable: Values = json.loads(_json({n: v for n, v in values.items() if n not in _UNSTABLE}))
    return stable


def _put(store: Store, stage: str, output: Output) -> Record:
    """Put a stored output into a store; return its record."""
    version, outputs = _version(stage), dict(output.outputs)
    for table, rows in output.tables.items():
        store.write_few([_decoded(table, row) for row in rows], table, version)
    if output.quantiser is not None:
        path = on_disk(store.quantiser_path(version))
        path.parent.mkdir(parents=True)
        np.save(path, np.array(output.quantiser["centroids"], dtype=np.float32))
        sizes = on_disk(store.quantiser_sizes_path(version))
        np.save(sizes, np.array(output.quantiser["sizes"], dtype=np.int64))
    if output.model is not None:
        outputs["sha256"] = measure(output.model).sha256
        with store.new_model() as folder:
            shutil.copyfile(output.model, folder / outputs["file"])
            store.keep_model(folder, outputs["sha256"], outputs["file"])
    rows_of = {table: len(rows) for table, rows in output.tables.items()}
    return Record(stage, version, "golden", {}, rows_of, output.counts, outputs)


def _rows(store: Store, table: str, version: str) -> list[Values]:
    rows = [_encoded(table, row) for row in store.dataset(table, version).to_table().to_pylist()]
    return rows if table in _ORDERED else sorted(rows, key=_json)


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
    schema = schemas.SCHEMAS[table]
    decoded = {
        name: base64.b64decode(value) if schema[name] == "binary" and value is not None else value
        for name, value in row.items()
    }
    if table == "embeddings":
        half = decoded["half"]
        decoded["vector"] = half and np.frombuffer(half, np.float16).tolist()
    return decoded


def differences(before: Output, now: Output) -> list[str]:
    """What differs between a stored output and that of today's code, in words; empty: nothing."""
    found = [
        *_differing("counts", before.counts, now.counts),
        *_differing("outputs", before.outputs, now.outputs),
        *_differing("quantiser", before.quantiser, now.quantiser),
        *_model_differences(before.model, now.model),
    ]
    for table in sorted({*before.tables, *now.tables}):
        old, new = before.tables.get(table, []), now.tables.get(table, [])
        if len(old) != len(new):
            found.append(f"table {table}: {len(old)} rows before, {len(new)} now")
        changed = [pair for pair in zip(old, new, strict=False) if not _same("", *pair)]
        for first, second in changed[:_SHOWN]:
            found.append(f"table {table}: {_json(first)} before, {_json(second)} now")
        if len(changed) > _SHOWN:
            found.append(f"table {table}: {len(changed) - _SHOWN} more rows differ")
    return found


def _differing(what: str, before: Values | None, now: Values | None) -> Iterator[str]:
    old, new = before or {}, now or {}
    for name in sorted({*old, *new}):
        if not _same(name, old.get(name), new.get(name)):
            yield f"{what} {name}: {_json(old.get(name))} before, {_json(new.get(name))} now"


def _same(name: str, before: object, now: object) -> bool:
    if isinstance(before, dict) and isinstance(now, dict):
        return before.keys() == now.keys() and all(_same(n, before[n], now[n]) for n in before)
    if isinstance(before, list) and isinstance(now, list):
        pairs = zip(before, now, strict=False)
        return len(before) == len(now) and all(_same(name, *pair) for pair in pairs)
    if isinstance(before, float) and isinstance(now, float):
        return math.isclose(before, now, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    if name in _VECTORS and isinstance(before, str) and isinstance(now, str):
        old, new = (np.frombuffer(base64.b64decode(text), np.float16) for text in (before, now))
        return len(old) == len(new) and np.allclose(old, new, rtol=0, atol=_STEP)
    return before == now


def _model_differences(before: Path | None, now: Path | None) -> Iterator[str]:
    if before is None or now is None:
        if before is not now:
            yield f"model: {before} before, {now} now"
        return
    (old_about, old), (new_about, new) = tensors.read(before), tensors.read(now)
    yield from _differing("model's header", dict(old_about), dict(new_about))
    for name in sorted({*old, *new}):
        if name not in old or name not in new or old[name].shape != new[name].shape:
            yield f"model: the shape of {name} is another"
        elif old[name].dtype.kind == "f":
            if not np.allclose(old[name], new[name], rtol=0, atol=_TRAINED_TOLERANCE):
                yield f"model: {name} has other values"
        elif not np.array_equal(old[name], new[name]):
            yield f"model: {name} is another"


def failure(stage: Stage, golden: tuple[int, dict[str, Output]], now: dict[str, Output]) -> str:
    """Why a stage fails the comparison with its stored outputs; empty if it does not.

    Args:
        stage: the stage.
        golden: its stored code version and outputs.
        now: the outputs of today's code, of the same cases.
    """
    version, before = golden
    module = f"pipeline/stages/{stage.NAME}/stage.py"
    same_inputs = [case for case in now if before[case].inputs == now[case].inputs]
    changes = [
        f"  {case}: {difference}"
        for case in same_inputs
        for difference in differences(before[case], now[case])
    ]
    if changes and version == stage.CODE_VERSION:
        text = (
            " (or RULES_VERSION in pipeline/text/tokenize.py, if the text rules have changed)"
            if stage.NAME == "tokenize"
            else ""
        )
        return (
            f"the output of {stage.NAME} has changed and its code version has not: raise "
            f"CODE_VERSION in {module}{text} and run: make golden\n" + "\n".join(changes)
        )
    if version != stage.CODE_VERSION:
        return (
            f"the stored output of {stage.NAME} is of code version {version}, {module} has "
            f"{stage.CODE_VERSION}: run: make golden"
        )
    if len(same_inputs) < len(now):
        return f"the stored output of {stage.NAME} is of other inputs or settings: run: make golden"
    return ""

