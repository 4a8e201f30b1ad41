"""The files of an export to JSON Lines: their names, and the note beside each that completes it."""

from dataclasses import dataclass
from typing import Any

from pipeline.storage.files import read_json
from pipeline.storage.paths import StoragePath

# Folder beside the files with a note for each: what it holds. A file is complete if it has a note.
NOTES = "_files"


@dataclass(frozen=True)
class Layout:
    """The files of one version.

    Attributes:
        folder: where they are.
        files: number of files.
        gzip: whether they are compressed.
    """

    folder: StoragePath
    files: int
    gzip: bool

    def name(self, part: int) -> str:
        """The name of a file."""
        return f"part-{part:05d}.jsonl{'.gz' if self.gzip else ''}"

    def note(self, part: int) -> StoragePath:
        """The path of a file's note."""
        return self.folder / NOTES / f"{self.name(part)}.json"

    def missing(self) -> list[int]:
        """The numbers of the files that are not complete."""
        return [part for part in range(self.files) if read_json(self.note(part)) is None]

    def notes(self) -> list[dict[str, Any]]:
        """The notes of the complete files: name, items, quarantined, neighbors, bytes, sha256."""
        notes = (read_json(self.note(part)) for part in range(self.files))
        return [note for note in notes if note]
