"""When a run publishes."""

from pathlib import Path

import pytest

from pipeline.config import reading as config
from pipeline.runs.request import publishes_by_default
from pipeline.store.store import Store
from tests.pipeline.places import on_disk

TRUE, FALSE = "[publish]\npublish = true\n", "[publish]\npublish = false\n"


@pytest.mark.parametrize(
    ("file", "sets", "published", "expected"),
    [
        ("", [], True, True),
        ("", ["neighbors.k=20"], True, False),
        ("", ["neighbors.k=20"], False, True),
        ("", ["catalogue.path=other.csv"], True, False),
        ("", ["spark.master=local[1]"], True, True),
        ("", ["publish.min_recall=0.5"], True, True),
        ("", ["neighbors.k=20", "publish.publish=true"], True, True),
        (TRUE, [], True, True),
        (TRUE, ["neighbors.k=20"], True, False),
        (TRUE, ["catalogue.path=tonight.csv"], True, True),
        (TRUE, ["publish.publish=false"], True, False),
        (FALSE, [], True, False),
        (FALSE, [], False, False),
        (FALSE, ["publish.publish=true"], True, True),
    ],
)
def test_an_experiment_does_not_publish(
    tmp_path: Path, file: str, sets: list[str], published: bool, expected: bool
) -> None:
    toml = tmp_path / "nitamono.toml"
    toml.write_text(f'[store]\npath = "store"\n[catalogue]\npath = "x.csv"\n{file}')
    store = Store(str(tmp_path / "store"))
    if published:
        store.set_latest("similar_items", "v1", "night1")
    assert publishes_by_default(config.load(toml, sets, {}), sets, store) == expected


@pytest.mark.parametrize(("sets", "expected"), [((), True), (("neighbors.k=3",), False)])
def test_a_run_by_default_publishes_if_latest_is_damaged(
    tmp_path: Path, sets: tuple[str, ...], expected: bool
) -> None:
    toml = tmp_path / "nitamono.toml"
    toml.write_text('[store]\npath = "store"\n[catalogue]\npath = "items.csv"\n')
    store = Store(str(tmp_path / "store"))
    store.set_latest("similar_items", "v1", "night1")
    on_disk(store.root / "tables" / "similar_items" / "LATEST").write_bytes(b"{")
    assert publishes_by_default(config.load(toml, sets, {}), sets, store) == expected
