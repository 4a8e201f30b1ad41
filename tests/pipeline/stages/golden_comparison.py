"""How the stored outputs of a stage are compared with those of the present code."""

import base64
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.fasttext import safetensors_file
from pipeline.stages.context import Stage
from tests.pipeline.stages.golden import Output, Values, to_json

# Columns of vectors in float16, and how far a value may be off: about one step of those near 1.
_VECTORS, _STEP = ("half", "vector"), 1e-3
_TOLERANCE = 1e-5
# A trained model's values are the same to the bit on one machine only.
_TRAINED_TOLERANCE = 5e-3
# Rows of a table that are shown, of those that differ.
_SHOWN = 3


def differences(before: Output, now: Output) -> list[str]:
    """How the output of the present code differs from a stored one; empty where it does not."""
    texts = [
        *_differing("counts", before.counts, now.counts),
        *_differing("outputs", before.outputs, now.outputs),
        *_differing("quantiser", before.quantiser, now.quantiser),
        *_model_differences(before.model, now.model),
    ]
    for table in sorted({*before.tables, *now.tables}):
        old, new = before.tables.get(table, []), now.tables.get(table, [])
        if len(old) != len(new):
            texts.append(f"table {table}: {len(old)} rows before, {len(new)} now")
        changed = [pair for pair in zip(old, new, strict=False) if not _same("", *pair)]
        for first, second in changed[:_SHOWN]:
            texts += _differing(f"table {table}: {_row_name(first)}", first, second)
        if len(changed) > _SHOWN:
            texts.append(f"table {table}: {len(changed) - _SHOWN} more rows differ")
    return texts


def _row_name(row: Values) -> str:
    return str(row.get("item_id", row))


def _differing(what: str, before: Values | None, now: Values | None) -> Iterator[str]:
    old, new = before or {}, now or {}
    for name in sorted({*old, *new}):
        if not _same(name, old.get(name), new.get(name)):
            yield f"{what} {name}: {to_json(old.get(name))} before, {to_json(new.get(name))} now"


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
    (old_about, old), (new_about, new) = safetensors_file.read(before), safetensors_file.read(now)
    yield from _differing("model's header", dict(old_about), dict(new_about))
    for name in sorted({*old, *new}):
        if name not in old or name not in new or old[name].shape != new[name].shape:
            yield f"model: the shape of {name} is another"
        elif old[name].dtype.kind == "f":
            if not np.allclose(old[name], new[name], rtol=0, atol=_TRAINED_TOLERANCE):
                yield f"model: {name} has other values"
        elif not np.array_equal(old[name], new[name]):
            yield f"model: {name} is another"


def failure_of(stage: Stage, golden: tuple[int, dict[str, Output]], now: dict[str, Output]) -> str:
    """Why a stage fails the comparison with its stored outputs; empty if it does not.

    Args:
        stage: the stage.
        golden: its stored code version and outputs.
        now: the outputs of the present code, of the same cases.
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
