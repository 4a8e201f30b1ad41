"""The quantisers of a store, and which of them later runs use."""

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import UnionType
from typing import Any

import numpy as np

from pipeline.errors import DamagedError
from pipeline.storage.files import read_object, write_atomic, write_exclusive, write_json
from pipeline.storage.paths import StoragePath, arrow_path, load_arrays
from pipeline.store import file_list

# The type of each field of a current quantiser's state that every release has written.
STATE_FIELDS: dict[str, type | UnionType] = {
    "version": str,
    "embeddings": str,
    "before": str | None,
    "lists": int,
    "imbalance": int | float,
    "probes": dict,
}


@dataclass(frozen=True)
class Quantisers:
    """The quantisers of a store.

    Attributes:
        root: the store's folder of quantisers.
    """

    root: StoragePath
    # Those whose files were found whole, or written, by this process.
    _whole: set[str] = field(default_factory=set, compare=False, repr=False)

    def path(self, fingerprint: str) -> StoragePath:
        """The file of the quantiser that was trained for an index."""
        return self.root / f"{fingerprint}.npy"

    def sizes_path(self, fingerprint: str) -> StoragePath:
        """The file of the number of training vectors in each list, and of how many are probed."""
        return self.root / f"{fingerprint}.sizes.npy"

    def save(
        self, fingerprint: str, arrays: Sequence[np.ndarray], sizes: np.ndarray, probes: int
    ) -> None:
        """Write a quantiser, and the list of its files last.

        If another run was first, its files stay, unless they are damaged.

        Args:
            fingerprint: of the index that it was trained for.
            arrays: what the file holds, one after the other.
            sizes: int64[nlist], the number of training vectors in each list.
            probes: how many lists an item will probe, as it was estimated at the training.
        """
        counts = [sizes, np.array([probes])]
        files = {self.path(fingerprint): arrays, self.sizes_path(fingerprint): counts}
        is_damaged = self._exists(fingerprint) and bool(self.find_damage(fingerprint))
        for path, stored in files.items():
            content = io.BytesIO()
            for array in stored:
                np.save(content, array)
            if is_damaged:
                write_atomic(path, content.getvalue())
            else:
                with suppress(FileExistsError):
                    write_exclusive(path, content.getvalue())
        system, base = arrow_path(self.root)
        described = [file_list.describe(f"{base}/{path.name}", path.name, system) for path in files]
        file_list.write(self.root, described, _list_name(fingerprint))
        self._whole.add(fingerprint)

    def is_whole(self, fingerprint: str) -> bool:
        """Whether a quantiser is in the store and undamaged."""
        return self._exists(fingerprint) and not self.find_damage(fingerprint)

    def _exists(self, fingerprint: str) -> bool:
        return self.path(fingerprint).is_file() and self.sizes_path(fingerprint).is_file()

    def find_damage(self, fingerprint: str) -> str:
        """What is wrong with a quantiser's files; empty if nothing is. Reads them once a process.

        Those that a release up to 0.2 wrote have no checksums: they are only loaded.
        """
        if fingerprint in self._whole and self._exists(fingerprint):
            return ""
        try:
            files = file_list.read(self.root, _list_name(fingerprint))
        except DamagedError as error:
            return error.what
        if files is None:
            paths = (self.path(fingerprint), self.sizes_path(fingerprint))
            problems = [problem for path in paths if (problem := _problem(path))]
        else:
            problems = file_list.damage_of(self.root, files.files)
        if not problems:
            self._whole.add(fingerprint)
        return problems[0] if problems else ""

    def sizes_and_probes(self, fingerprint: str) -> tuple[np.ndarray, int]:
        """What `save` was given; 0 probes if an earlier release wrote the quantiser."""
        sizes, *probes = load_arrays(self.sizes_path(fingerprint))
        return sizes, int(probes[0][0]) if probes else 0

    def arrays(self, fingerprint: str) -> list[np.ndarray]:
        """What the file of a quantiser holds.

        Raises:
            DamagedError: its files are damaged or missing.
        """
        if damage := self.find_damage(fingerprint):
            raise DamagedError(damage, file_list.REMEDY)
        return load_arrays(self.path(fingerprint))

    def current(self, key: str) -> dict[str, Any] | None:
        """The state of the quantiser that runs use; None if there is none.

        Args:
            key: the fingerprint of the settings that a quantiser is trained with.

        Raises:
            DamagedError: its file is damaged.
        """
        return read_object(self._current_path(key), **STATE_FIELDS)

    def set_current(self, key: str, state: dict[str, Any]) -> None:
        """Let runs with these settings use this quantiser."""
        write_json(self._current_path(key), state)

    def _current_path(self, key: str) -> StoragePath:
        return self.root / "current" / f"{key}.json"


def _problem(path: StoragePath) -> str:
    """What is wrong with a file without a checksum; empty if it can be loaded."""
    try:
        load_arrays(path)
    except FileNotFoundError:
        return f"{path}: the file is missing"
    except (OSError, ValueError, EOFError) as error:
        return f"{path}: it can't be read ({error})"
    return ""


def _list_name(fingerprint: str) -> str:
    return f"{fingerprint}.files.json"
