"""Places of stores that are on this machine's disk."""

from pathlib import Path

from pipeline.storage.place import Place


def on_disk(place: Place) -> Path:
    """The place as a path."""
    assert isinstance(place, Path)
    return place
