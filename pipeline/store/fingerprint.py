"""Fingerprints: short names computed from all that decides what a thing is."""

import hashlib
import json
from collections.abc import Mapping


def fingerprint(parts: Mapping[str, object]) -> str:
    """16 hexadecimal digits that change when any part does."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
