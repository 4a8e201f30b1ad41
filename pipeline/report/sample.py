"""The items of a run's page: those of its item browser with their neighbours, those of its map.

The sample is limited in bytes, however long the catalogue's texts are.
"""

import json
from contextlib import suppress
from hashlib import blake2b
from typing import Any

import numpy as np

from pipeline.errors import DamagedError
from pipeline.report import projection
from pipeline.retrieval.vectors import Float32
from pipeline.stages.publish.examples import TABLE
from pipeline.stages.tokenize import token_columns
from pipeline.storage.files import read_object, write_json
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store

# Longer texts are cut: characters of titles, of names and of a token; tokens of a text.
_MAX_TITLE, _MAX_NAME, _MAX_TOKEN, _MAX_TOKENS = 160, 80, 40, 40
# Bytes of the items as JSON; with BokehJS, 1.4 MB, the page stays below 5 MB.
MAX_BYTES = 3_000_000
_MIN_ON_MAP = 3

Row = dict[str, Any]


def read_sample(store: Store, record: StageRecord, map_items: int) -> dict[str, Any]:
    """Read the items of a run's page.

    Args:
        store: the store that holds the table of examples.
        record: the record of the stage that wrote it.
        map_items: maximum number of items on the map.

    Returns:
        items: id, title, category, brand, address of the picture, tokens of the title, of the
        description and of each field; these and the picture are null or missing if the item is
        only on the map. fields: their columns.
        shown: [item, [[neighbour, score, shared words if there are any], ...]], the score null for
        what fills the list; map: [item, x, y]; both name items by their positions in `items`. of:
        how many items of the table could be shown.
    """
    table = store.dataset(TABLE, record.fingerprint).to_table()
    rows = {row["item_id"]: row for row in table.drop_columns("half").to_pylist()}
    names = token_columns.names(table.column_names)
    fields = [name.removesuffix("_tokens") for name in names if name not in token_columns.TEXTS]
    points = _map_points(store, record, map_items)
    return {**_select(rows, fields, points), "fields": fields}


def _select(
    rows: dict[str, Row], fields: list[str], points: dict[str, list[float]]
) -> dict[str, Any]:
    """As many items as the page has room for, those of the map first."""
    items = [_map_item(rows[item_id]) for item_id in points]
    positions = {item_id: position for position, item_id in enumerate(points)}
    size = _json_bytes(items)
    shown: list[list[Any]] = []
    candidates = [row for row in rows.values() if row["shown"]]
    complete: set[str] = set()
    for row in candidates:
        neighbours = [entry for entry in row["neighbors"] or () if entry["similar_id"] in rows]
        ids = (row["item_id"], *(entry["similar_id"] for entry in neighbours))
        added = {
            item_id: _full_item(rows[item_id], fields) for item_id in ids if item_id not in complete
        }
        words = [entry.get("shared_words") or [] for entry in neighbours]
        size += _json_bytes([*added.values(), *words]) + 20 * len(neighbours)
        if size > MAX_BYTES:
            break
        complete |= added.keys()
        for item_id, item in added.items():
            if item_id in positions:
                items[positions[item_id]] = item
            else:
                positions[item_id] = len(items)
                items.append(item)
        scores = [
            [
                positions[entry["similar_id"]],
                _score(entry),
                *([shared] if shared else []),
            ]
            for entry, shared in zip(neighbours, words, strict=True)
        ]
        shown.append([positions[row["item_id"]], scores])
    return {
        "items": items,
        "shown": shown,
        "of": len(candidates),
        "map": [[positions[item_id], *point] for item_id, point in points.items()],
    }


def _score(neighbour: Row) -> float | None:
    """The score of a neighbour; None for what fills the list."""
    return None if neighbour["score"] is None else round(neighbour["score"], 6)


def _json_bytes(values: list[list[Any]]) -> int:
    return len(json.dumps(values, ensure_ascii=False).encode(errors="replace"))


def _map_item(row: Row) -> list[Any]:
    """An item that is on the map only."""
    return [
        row["item_id"],
        _cut(row["title"], _MAX_TITLE),
        _cut(row["category"], _MAX_NAME),
        _cut(row["brand"], _MAX_NAME),
        None,
        None,
        None,
    ]


def _full_item(row: Row, fields: list[str]) -> list[Any]:
    return [
        *_map_item(row)[:4],
        row["image_url"],
        *(_cut_tokens(row[name]) for name in token_columns.TEXTS),
        *(_cut_tokens(row[f"{field}_tokens"]) for field in fields),
    ]


def _cut(text: str | None, max_length: int) -> str | None:
    return text if text is None or len(text) <= max_length else f"{text[: max_length - 1]}…"


def _cut_tokens(text: str | None) -> str:
    return " ".join(token[:_MAX_TOKEN] for token in (text or "").split(" ")[:_MAX_TOKENS])


def _map_points(store: Store, record: StageRecord, map_items: int) -> dict[str, list[float]]:
    """The points of the map by item: [x, y].

    The projection takes seconds, so it is kept in the folder of the run that wrote the table; runs
    that reuse the table need not compute it again.
    """
    if not map_items:
        return {}
    file = store.run_path(record.run_id) / "map.json"
    with suppress(DamagedError):  # it is written again
        cached = read_object(file, version=str, most=int, points=dict)
        if cached and (cached["version"], cached["most"]) == (record.fingerprint, map_items):
            return dict(cached["points"])
    ids, vectors = _map_vectors(store, record, map_items)
    if len(ids) < _MIN_ON_MAP:
        return {}
    points = {
        item_id: [round(float(x), 4), round(float(y), 4)]
        for item_id, (x, y) in zip(ids, projection.project(vectors), strict=True)
    }
    content = {"version": record.fingerprint, "most": map_items, "points": points}
    write_json(file, content, indent=None)
    return points


def _map_vectors(store: Store, record: StageRecord, map_items: int) -> tuple[list[str], Float32]:
    """Items of the map that have a vector: their ids, and float32[n, dim]."""
    import pyarrow.dataset as ds

    table = store.dataset(TABLE, record.fingerprint).to_table(
        columns=["item_id", "half"], filter=ds.field("mapped") & ds.field("half").is_valid()
    )
    # Ids often begin with the category: the first ones by id would show few categories.
    pairs = sorted(
        zip(table["item_id"].to_pylist(), table["half"].to_pylist(), strict=True),
        key=lambda pair: blake2b(pair[0].encode(errors="replace")).digest(),
    )[:map_items]
    halves = [np.frombuffer(half, dtype="<f2") for _, half in pairs]
    return [item_id for item_id, _ in pairs], np.array(halves, dtype=np.float32)
