"""The quantisers of a store, and which of them later runs use."""

from dataclasses import dataclass
from typing import Any

from pipeline.storage.files import read_json, write_json
from pipeline.storage.paths import StoragePath


@dataclass(frozen=True)
class Quantisers:
    """The quantisers of a store.

    Attributes:
        root: the store's folder of quantisers.
    """

    root: StoragePath

    def path(self, fingerprint: str) -> StoragePath:
        """The file of the centroids of the quantiser that was trained for an index."""
        return self.root / f"{fingerprint}.npy"

    def sizes_path(self, fingerprint: str) -> StoragePath:
        """The file of the number of training vectors in each of its lists."""
        return self.root / f"{fingerprint}.sizes.npy"

    def current(self, key: str) -> dict[str, Any] | None:
        """The state of the quantiser that runs use; None if there is none.

        Args:
            key: the fingerprint of the settings that a quantiser is trained with.
        """
        state: dict[str, Any] | None = read_json(self._current_path(key))
        return state

    def set_current(self, key: str, state: dict[str, Any]) -> None:
        """Let runs with these settings use this quantiser."""
        write_json(self._current_path(key), state)

    def _current_path(self, key: str) -> StoragePath:
        return self.root / "current" / f"{key}.json"
