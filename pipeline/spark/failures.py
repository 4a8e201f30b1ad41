"""Failures explained: what it is that Spark reports, and which setting to change to what."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import cause, text_of
from pipeline.spark.failure_patterns import DEATHS, Death

_LOG_BYTES = 1 << 18
_OURS = re.compile(r"^(?:models\.errors\.ModelError|pipeline\.errors\.\w+Error): (.+)$", re.M)
# As they are where nobody has set them.
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
_FACTOR = 0.1
_LEAST_OVERHEAD_MB = 384
_MB = {"k": 1 / 1024, "m": 1.0, "g": 1024.0, "t": 1024.0 * 1024.0}


def explained(error: Exception, settings: Mapping[str, str], log: Path | None = None) -> str:
    """What a failure is and what to do about it, in one line.

    Args:
        error: what Spark or Python raised.
        settings: that were in force: Spark's, and nitamono's as section.key.
        log: what the driver's JVM wrote; read where the error alone says too little.
    """
    text = text_of(error)
    ours = _OURS.findall(text)
    if ours:
        return str(ours[-1])
    found = _find(DEATHS, text, settings)
    if found is None:
        return cause(error)
    if found[0].vague and log is not None:
        final = [death for death in DEATHS if death.final]
        found = _find(final, _end_of(log), settings) or found
    return _advice(f"{_said_of(*found)}: {found[0].remedy(settings)}", settings)


def named(text: str) -> str:
    """What it is that a text of Spark's tells of; empty if that is not known."""
    found = _find(DEATHS, text, {})
    return _said_of(*found) if found else ""


def _said_of(death: Death, match: "re.Match[str]") -> str:
    told = next((group for group in match.groups() if group), match[0])
    return death.what.format(told)


def _find(
    deaths: Sequence[Death], text: str, settings: Mapping[str, str]
) -> tuple[Death, "re.Match[str]"] | None:
    for death in deaths:
        match = re.search(death.pattern, text, re.M)
        if match and (not death.only_with or death.only_with in settings):
            return death, match
    return None


def _end_of(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _advice(text: str, settings: Mapping[str, str]) -> str:
    """`[more spark.executor.memory]` becomes `spark.executor.memory = 2g (now 1g)`."""

    def said(found: "re.Match[str]") -> str:
        return _said(found[1], found[2], _present(found[2], settings))

    return re.sub(r"\[(more|less|now) ([\w.]+)\]", said, text)


def _said(way: str, name: str, value: str) -> str:
    other = {"more": _scaled(value, 2), "less": _scaled(value, 0.5), "now": ""}[way]
    if not other or other == value:
        return f"{name} ({f'now {value}' if value else 'not set now'})"
    return f"{name} = {other} (now {value})"


def _present(name: str, settings: Mapping[str, str]) -> str:
    if name in settings:
        return settings[name]
    # On Kubernetes it depends on how the job was submitted.
    if name == _OVERHEAD and not settings.get("spark.master", "").startswith("k8s:"):
        factor = float(settings.get(f"{_OVERHEAD}Factor", _FACTOR))
        heap = _megabytes(_present("spark.executor.memory", settings))
        return f"{max(_LEAST_OVERHEAD_MB, round(heap * factor))}m"
    return _DEFAULTS.get(name, "")


def _megabytes(size: str) -> float:
    found = re.fullmatch(r"(\d+)([kmgt]?)b?", size.strip().lower())
    # Spark takes a number alone as MB.
    return int(found[1]) * _MB[found[2] or "m"] if found else 0.0


def _scaled(value: str, factor: float) -> str:
    """A number with its unit, or that in local[N], so many times as much; 1 at least."""
    if value == "local[*]":
        value = f"local[{os.cpu_count() or 1}]"
    found = re.fullmatch(r"(local\[)?(\d+)(\]|[a-zA-Z]*)", value.strip())
    if not found:
        return ""
    number = int(found[2]) * factor
    if number < 1 or (number % 1 and found[3].lower() in ("g", "gb", "t", "tb")):
        # Half of 1g is 512m.
        return f"{round(number * 1024)}m" if found[3].lower() in ("g", "gb") else value
    return f"{found[1] or ''}{int(number)}{found[3]}"
