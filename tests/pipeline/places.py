"""Places of stores that are on this machine's disk."""

from pathlib import Path

from pipeline.storage.paths import StoragePath


def on_disk(place: StoragePath) -> Path:
    """The place as a path."""
    assert isinstance(place, Path)
    return place
