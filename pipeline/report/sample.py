"""The items that a run's page shows: those of its browser with their neighbours, those of its map.

What the page holds is bounded in bytes whatever the catalogue's texts are.
"""

import json
from hashlib import blake2b
from typing import Any

import numpy as np

from pipeline.report import projection
from pipeline.retrieval.vectors import Float32
from pipeline.stages.publish.examples import TABLE
from pipeline.storage.files import read_json, write_json
from pipeline.store.store import Record, Store

_TITLE, _NAME, _TOKENS = 160, 80, 40
_TOKEN = 40
# Of the page's items, as they are written in it; with BokehJS, 1.4 MB, the page stays below 5 MB.
MOST_BYTES = 3_000_000
_FEWEST_ON_MAP = 3


def read(store: Store, record: Record, map_items: int) -> dict[str, Any]:
    """The items, those shown with their neighbours, and the map's points.

    Args:
        store: that holds the table of examples.
        record: of the stage that wrote it.
        map_items: so many at most are on the map.

    Returns:
        items: id, title, category, brand, picture's address, the title's and the description's
        tokens, or null where they are not shown; shown: [item, [[neighbour, score], ...]];
        map: [item, x, y]; of: how many items of the table could be shown. Items are named by
        their places in `items`.
    """
    table = store.dataset(TABLE, record.fingerprint).to_table()
    rows = {row["item_id"]: row for row in table.drop_columns("half").to_pylist()}
    points = _points(store, record, map_items)
    return _chosen(rows, points)


def _chosen(rows: dict[str, dict[str, Any]], points: dict[str, list[float]]) -> dict[str, Any]:
    """As many of the items as the page has room for, those of the map first."""
    brief = [_brief(rows[item]) for item in points]
    places = {item: place for place, item in enumerate(points)}
    size = _size(brief)
    shown: list[list[Any]] = []
    wanted = [row for row in rows.values() if row["shown"]]
    full: set[str] = set()
    items: list[list[Any]] = brief
    for row in wanted:
        best = [entry for entry in row["neighbors"] or () if entry["similar_id"] in rows]
        new = [
            item
            for item in (row["item_id"], *(entry["similar_id"] for entry in best))
            if item not in full
        ]
        more = [_whole(rows[item]) for item in new]
        size += _size(more) + 20 * len(best)
        if size > MOST_BYTES:
            break
        full |= set(new)
        for item, about in zip(new, more, strict=True):
            if item in places:
                items[places[item]] = about
            else:
                places[item] = len(items)
                items.append(about)
        neighbours = [[places[e["similar_id"]], round(e["score"], 6)] for e in best]
        shown.append([places[row["item_id"]], neighbours])
    return {
        "items": items,
        "shown": shown,
        "of": len(wanted),
        "map": [[places[item], *point] for item, point in points.items()],
    }


def _size(values: list[list[Any]]) -> int:
    return len(json.dumps(values, ensure_ascii=False).encode(errors="replace"))


def _brief(row: dict[str, Any]) -> list[Any]:
    """What is told of an item that is on the map alone."""
    return [
        row["item_id"],
        _cut(row["title"], _TITLE),
        _cut(row["category"], _NAME),
        _cut(row["brand"], _NAME),
        None,
        None,
        None,
    ]


def _whole(row: dict[str, Any]) -> list[Any]:
    return [
        *_brief(row)[:4],
        row["image_url"],
        _tokens(row["title_tokens"]),
        _tokens(row["description_tokens"]),
    ]


def _cut(text: str | None, most: int) -> str | None:
    return text if text is None or len(text) <= most else f"{text[: most - 1]}…"


def _tokens(text: str | None) -> str:
    return " ".join(token[:_TOKEN] for token in (text or "").split(" ")[:_TOKENS])


def _points(store: Store, record: Record, most: int) -> dict[str, list[float]]:
    """The map: item -> x, y.

    It takes seconds, so it is kept beside the run that made the table: others, that find the table
    made, have their page at once.
    """
    if not most:
        return {}
    kept = store.run_path(record.run_id) / "map.json"
    found = read_json(kept) or {}
    if found.get("version") == record.fingerprint and found.get("most") == most:
        return dict(found["points"])
    ids, vectors = _vectors(store, record, most)
    if len(ids) < _FEWEST_ON_MAP:
        return {}
    points = {
        item: [round(float(x), 4), round(float(y), 4)]
        for item, (x, y) in zip(ids, projection.project(vectors), strict=True)
    }
    about = {"version": record.fingerprint, "most": most, "points": points}
    write_json(kept, about, indent=None)
    return points


def _vectors(store: Store, record: Record, most: int) -> tuple[list[str], Float32]:
    """Items of the map with a vector: their ids, and float32[n, dim]."""
    import pyarrow.dataset as ds

    table = store.dataset(TABLE, record.fingerprint).to_table(
        columns=["item_id", "half"], filter=ds.field("mapped") & ds.field("half").is_valid()
    )
    # The first by id would be those of some categories.
    pairs = zip(table["item_id"].to_pylist(), table["half"].to_pylist(), strict=True)
    some = sorted(pairs, key=lambda pair: blake2b(pair[0].encode(errors="replace")).digest())[:most]
    halves = np.array([np.frombuffer(half, dtype="<f2") for _, half in some], dtype=np.float32)
    return [item for item, _ in some], halves
