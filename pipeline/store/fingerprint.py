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
    """16 hexadecimal digits of the source of the modules named, packages with all they hold."""
    digest = hashlib.sha256()
    for name in sorted(modules):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(name)
        file = Path(spec.origin)
        whole = sorted(file.parent.rglob("*.py")) if spec.submodule_search_locations else [file]
        for source in whole:
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
