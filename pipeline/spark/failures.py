"""Explaining failures of Spark: what has failed, and which setting to change to which value."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import cause, text_of
from pipeline.spark.failure_patterns import FAILURE_PATTERNS, FailurePattern

_LOG_BYTES = 1 << 18
_OWN_ERROR = re.compile(r"^(?:models\.errors\.ModelError|pipeline\.errors\.\w+Error): (.+)$", re.M)
# The values of settings that nobody has set.
_DEFAULTS = {
    "spark.driver.maxResultSize": "4g",
    "spark.driver.memory": "1g",
    "spark.executor.memory": "1g",
    "spark.local.dir": "/tmp",  # noqa: S108 - Spark's own default
    "spark.network.timeout": "120s",
    "spark.shuffle.service.enabled": "false",
    "spark.stage.maxConsecutiveAttempts": "4",
    "neighbors.worker_mb": "1500",
}
_OVERHEAD = "spark.executor.memoryOverhead"
_OVERHEAD_FACTOR = 0.1
_MIN_OVERHEAD_MB = 384
_MB = {"k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0 * 1024.0}


def explain(error: Exception, settings: Mapping[str, str], log: Path | None = None) -> str:
    """Say in one line what has failed and what to do about it.

    Args:
        error: the exception of Spark or Python.
        settings: those in force: Spark's, and nitamono's as section.key.
        log: the output of the driver's JVM, which is read where the error says too little.
    """
    text = text_of(error)
    own_errors = _OWN_ERROR.findall(text)
    if own_errors:
        return str(own_errors[-1])
    failure = _find(FAILURE_PATTERNS, text, settings)
    if failure is None:
        return cause(error)
    if failure[0].vague and log is not None:
        final = [pattern for pattern in FAILURE_PATTERNS if pattern.final]
        failure = _find(final, _end_of(log), settings) or failure
    return _with_values(f"{_description(*failure)}: {failure[0].remedy(settings)}", settings)


def describe_failure(text: str) -> str:
    """Say what failure a text of Spark's reports; empty if the failure is not a known one."""
    failure = _find(FAILURE_PATTERNS, text, {})
    return _description(*failure) if failure else ""


def _description(failure: FailurePattern, match: "re.Match[str]") -> str:
    detail = next((group for group in match.groups() if group), match[0])
    return failure.what.format(detail)


def _find(
    patterns: Sequence[FailurePattern], text: str, settings: Mapping[str, str]
) -> tuple[FailurePattern, "re.Match[str]"] | None:
    for pattern in patterns:
        match = re.search(pattern.pattern, text, re.M)
        if match and (not pattern.only_with or pattern.only_with in settings):
            return pattern, match
    return None


def _end_of(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _with_values(text: str, settings: Mapping[str, str]) -> str:
    """Fill in settings: `[more spark.executor.memory]` -> `spark.executor.memory = 2g (now 1g)`."""

    def fill(match: "re.Match[str]") -> str:
        return _change(match[1], match[2], _value(match[2], settings))

    return re.sub(r"\[(more|less|now) ([\w.]+)\]", fill, text)


def _change(direction: str, name: str, value: str) -> str:
    new = {"more": _scaled(value, 2), "less": _scaled(value, 0.5), "now": ""}[direction]
    if not new or new == value:
        return f"{name} ({f'now {value}' if value else 'not set now'})"
    return f"{name} = {new} (now {value})"


def _value(name: str, settings: Mapping[str, str]) -> str:
    if name in settings:
        return settings[name]
    # On Kubernetes the default depends on how the job was submitted.
    if name == _OVERHEAD and not settings.get("spark.master", "").startswith("k8s:"):
        factor = float(settings.get(f"{_OVERHEAD}Factor", _OVERHEAD_FACTOR))
        heap = _megabytes(_value("spark.executor.memory", settings))
        return f"{max(_MIN_OVERHEAD_MB, round(heap * factor))}m"
    return _DEFAULTS.get(name, "")


def _megabytes(size: str) -> float:
    match = re.fullmatch(r"(\d+)([kmgt]?)b?", size.strip().lower())
    # A number without a unit is in MB for Spark.
    return int(match[1]) * _MB[match[2] or "m"] if match else 0.0


def _scaled(value: str, factor: float) -> str:
    """Multiply a number with a unit, or the N of local[N]; the result is 1 at least, or empty."""
    if value == "local[*]":
        value = f"local[{os.cpu_count() or 1}]"
    match = re.fullmatch(r"(local\[)?(\d+)(\]|[a-zA-Z]*)", value.strip())
    if not match:
        return ""
    number = int(match[2]) * factor
    if number < 1 or (number % 1 and match[3].lower() in ("g", "gb", "t", "tb")):
        # Half of 1g is 512m.
        return f"{round(number * 1024)}m" if match[3].lower() in ("g", "gb") else value
    return f"{match[1] or ''}{int(number)}{match[3]}"
