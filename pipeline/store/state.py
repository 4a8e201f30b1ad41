"""What can change in a store: a run reads it once, at its start, and works with that to its end.

All else in a store is immutable. Another run may publish, or change the current model or
quantiser, at any moment; a run that read them twice could store, under the name of the first
answer, what was made of the second.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import UnionType
from typing import Any

from pipeline.errors import DamagedError
from pipeline.storage.files import read_object
from pipeline.storage.paths import StoragePath
from pipeline.store import publications
from pipeline.store.publications import Publication
from pipeline.store.quantisers import STATE_FIELDS
from pipeline.store.store import Store


@dataclass(frozen=True)
class StoreState:
    """What can change in a store.

    Attributes:
        published: what LATEST names; None if nothing is published.
        models: the fingerprint of the current model's training, by the key of its settings.
        damaged_models: the keys whose files are damaged.
        quantisers: the state of the current quantiser, by the key of its settings. A run that
            changes the store's writes its change here too.
    """

    published: Publication | None
    models: dict[str, str]
    damaged_models: frozenset[str]
    quantisers: dict[str, dict[str, Any]]

    def version(self, table: str) -> str | None:
        """The published version of a table; None if there is none."""
        pointer = self.published.tables.get(table) if self.published else None
        return pointer["version"] if pointer else None

    def of_variant(self, name: str) -> "StoreState":
        """The same, with a variant of the published table in its place."""
        published = self.published and self.published.of_variant(name)
        return replace(self, published=published)


def read_state(store: Store) -> StoreState:
    """Read what can change in a store; a damaged file of a current model or quantiser is said.

    Raises:
        DamagedError: LATEST is damaged.
    """
    root = store.root
    models, damaged = _contents(
        store,
        root / "models" / "current",
        "the published version's model is used, or another is trained",
        {"fingerprint": str},
    )
    quantisers, _ = _contents(
        store, root / "quantisers" / "current", "another quantiser is trained", STATE_FIELDS
    )
    return StoreState(
        published=publications.current(store),
        models={key: content["fingerprint"] for key, content in models.items()},
        damaged_models=damaged,
        quantisers=quantisers,
    )


def _contents(
    store: Store, folder: StoragePath, consequence: str, fields: Mapping[str, type | UnionType]
) -> tuple[dict[str, Any], frozenset[str]]:
    """The content of each JSON file of a folder, by the file's stem; the stems of damaged ones."""
    contents, damaged = {}, set()
    for path in folder.glob("*.json"):
        try:
            content = read_object(path, **fields)
        except DamagedError as error:
            store.say(f"{error}; where it is needed, {consequence}")
            damaged.add(path.stem)
            continue
        if content is not None:
            contents[path.stem] = content
    return contents, frozenset(damaged)
