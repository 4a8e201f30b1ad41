"""The items of a run's page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.report import projection, sample
from pipeline.store.store import Store
from tests.pipeline.report import handmade


def read(store: Store, map_items: int = 0) -> dict[str, Any]:
    record = store.find_record("publish", handmade.VERSION)
    assert record is not None
    return sample.read_sample(store, record, map_items)


def test_items_are_named_by_their_places_and_neighbours_keep_their_order(tmp_path: Path) -> None:
    best = [{"similar_id": "c", "score": 0.9}, {"similar_id": "b", "score": 0.4}]
    rows = [
        handmade.example("a", "one", neighbors=best, title_tokens="x y", mapped=False),
        handmade.example("b", "two", shown=False, mapped=False, neighbors=None, brand="B"),
        handmade.example("c", "three", shown=False, neighbors=None),
        handmade.example("d", "four", shown=False, neighbors=None),
        handmade.example("e", "five", shown=False, neighbors=None),
        handmade.example("f", "none", neighbors=None, half=None),
    ]
    content = read(handmade.make_store(tmp_path, handmade.run_json(), rows), map_items=10)
    ids = [item[0] for item in content["items"]]
    named = {ids[n]: [(ids[m], s) for m, s in best] for n, best in content["shown"]}
    assert named == {"a": [("c", 0.9), ("b", 0.4)], "f": []}
    assert sorted(ids[n] for n, _, _ in content["map"]) == ["c", "d", "e"]
    about = {item[0]: item for item in content["items"]}
    assert about["a"] == ["a", "one", "shoes", None, None, "x y", ""]
    assert about["b"][3] == "B"
    # Of what is on the map alone the tokens are not needed.
    assert about["d"][5] is None


def test_the_map_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    halves = [np.array([n, 1], "<f2").tobytes() for n in range(6)]
    rows = [handmade.example(f"i{n}", "t", half=half) for n, half in enumerate(halves)]
    store = handmade.make_store(tmp_path, handmade.run_json(), rows)
    assert read(store)["map"] == []
    first = read(store, map_items=4)["map"]
    assert len(first) == 4

    def again(_: object) -> None:
        raise AssertionError("projected again")

    monkeypatch.setattr(projection, "project", again)
    assert read(store, map_items=4)["map"] == first
    with pytest.raises(AssertionError, match="projected again"):
        read(store, map_items=5)


def test_long_texts_leave_items_out_not_the_bound(tmp_path: Path) -> None:
    text = " ".join(f"語{n}" * 20 for n in range(100))
    rows = [
        handmade.example(f"{n:04d}" * 60, text, title_tokens=text, description_tokens=text)
        for n in range(600)
    ]
    content = read(handmade.make_store(tmp_path, handmade.run_json(), rows), map_items=100)
    assert content["of"] == 600
    assert 10 < len(content["shown"]) < 600
    assert len(json.dumps(content, ensure_ascii=False).encode()) < sample.MAX_BYTES * 1.01
    assert max(len(item[1]) for item in content["items"]) == 160
