"""Fingerprints: names made of what a thing was made from."""

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from pathlib import Path


def fingerprint(parts: Mapping[str, object]) -> str:
    """16 hexadecimal digits that change when any part does."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def code_version(modules: Iterable[str]) -> str:
    """16 hexadecimal digits of the source of the modules named, which are not imported."""
    digest = hashlib.sha256()
    for name in sorted(modules):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(name)
        digest.update(Path(spec.origin).read_bytes())
    return digest.hexdigest()[:16]
