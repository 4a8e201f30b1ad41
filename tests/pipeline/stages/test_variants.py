"""Variants of the table: several tables of one run, published together."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from pipeline.config import reading as config
from pipeline.errors import GateError, UsageError
from pipeline.query import questions
from pipeline.query.answer import Answerer
from pipeline.query.published import Published
from pipeline.runs.record import Outcome
from pipeline.store import gc, publications, rollback
from pipeline.store.check import OK, check, find_version
from pipeline.store.resolve import resolve
from tests.pipeline.retrieval import oracle
from tests.pipeline.stages.test_rules import K, Shop, everything, random_catalogue
from tests.pipeline.tables import read_rows

pytestmark = pytest.mark.processes

B = """
[[variant]]
name = "b"
k = 3
[variant.rules]
eligible = "stock > 0"
deny = "deny_b.csv"
[variant.rank.same]
brand = 0.3
"""
C = """
[[variant]]
name = "c"
[variant.rules]
"""
MAIN = ('rules.differ=["brand"]',)


class VariedShop(Shop):
    """A shop with variants."""

    more = B + C

    def run_all(self, *sets: str, **kwargs: object) -> Outcome:
        """A run of all stages."""
        return self.run(*MAIN, *sets, last="publish", **kwargs)

    def lists(self, name: str) -> dict[str, list[tuple[str, float]]]:
        """The table of a name, LATEST or LATEST@b."""
        lists: dict[str, list[tuple[str, float]]] = {}
        for row in read_rows(self.store, "similar_items", resolve(self.store, name).version):
            lists.setdefault(row["item_id"], []).append((row["similar_id"], row["score"]))
        return lists

    def expected_lists(self) -> dict[str, dict[str, list[tuple[str, float]]]]:
        """The tables by brute force."""
        ids = [row["item_id"] for row in self.rows]
        in_stock = np.array([int(row["stock"]) > 0 for row in self.rows])
        in_stock &= np.array(ids) != "i004"
        brands, vectors = self.column("brand"), self.vectors()
        b = oracle.Rules(match_boosts=[(brands, 0.3)])
        own = oracle.Rules(differ=[brands])
        return {
            "LATEST": oracle.neighbors(ids, vectors, K, everything(self), own),
            "LATEST@b": oracle.neighbors(
                ids, vectors, 3, everything(self) & in_stock[None, :], b
            ),
            "LATEST@c": oracle.neighbors(ids, vectors, K, everything(self)),
        }  # fmt: skip


@pytest.fixture(scope="module")
def first(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> VariedShop:
    shop = VariedShop(tmp_path_factory.mktemp("variants"))
    shop.write(random_catalogue(90))
    (shop.folder / "deny_b.csv").write_text("item_id\ni004\n")
    shop.run_all()
    return shop


@pytest.fixture
def shop(first: VariedShop, tmp_path: Path) -> Iterator[VariedShop]:
    """A copy of it, after a run."""
    shutil.copytree(first.folder, tmp_path / "shop")
    copy = VariedShop(tmp_path / "shop")
    copy.rows, copy.outcome = [dict(row) for row in first.rows], first.outcome
    yield copy


def test_each_variant_has_rules_of_its_own_and_all_are_published_together(
    shop: VariedShop,
) -> None:
    expected = shop.expected_lists()
    assert {name: shop.lists(name) for name in expected} == expected
    latest = json.loads((shop.store.root / "tables/similar_items/LATEST").read_text())
    assert list(latest) == ["version", "run_id", "path", "variants"]
    versions = {name: resolve(shop.store, f"LATEST@{name}").version for name in "bc"}
    assert {name: one["version"] for name, one in latest["variants"].items()} == versions
    run_json = json.loads((shop.store.run_path(shop.outcome.run_id) / "run.json").read_text())
    assert run_json["counts"]["rows"] == sum(map(len, expected["LATEST"].values()))
    variant = run_json["counts"]["variants"]["b"]
    assert variant["rows"] == sum(map(len, expected["LATEST@b"].values()))
    assert variant["recall"]["value"] == 1.0
    # The version of a variant's table stands for it, too.
    assert resolve(shop.store, versions["b"]).stages == resolve(shop.store, "LATEST@b").stages
    assert resolve(shop.store, "LATEST@b").settings["rank.same"] == {"brand": 0.3}
    with pytest.raises(UsageError, match="LATEST has no variant d; it has: b, c"):
        resolve(shop.store, "LATEST@d")
    assert {part.status for part in check(find_version(shop.store))} == {OK}


def test_queries_are_answered_by_the_rules_of_the_variant(shop: VariedShop) -> None:
    settings = config.load(shop.folder / "nitamono.toml", (), {})
    file = shop.folder / "items.csv"
    (batch,) = questions.read(file, settings.catalogue, {})
    for name, expected in shop.expected_lists().items():
        answerer = Answerer(Published.of(shop.store, name), settings, None)
        found = {
            a.item_id: [(one.similar_id, one.score) for one in a.neighbours]
            for a in answerer.answer(batch)
            if a.neighbours
        }
        assert found == expected


@pytest.mark.slow
def test_a_night_builds_on_the_variant_and_rollback_and_gc_know_it(shop: VariedShop) -> None:
    # The file of b's rules.deny is another in the copy.
    shop.run_all()
    before = {name: resolve(shop.store, name) for name in shop.expected_lists()}
    unchanged = shop.run_all()
    assert [status for _, status, _ in unchanged.stages] == ["reused"] * 11
    shop.rows[7]["stock"], shop.rows[9]["title"] = "0", "傘 赤い 9号"
    shop.write(shop.rows[:-2])
    shop.run_all()
    night = shop.expected_lists()
    assert {name: shop.lists(name) for name in night} == night
    for name in night:
        base = resolve(shop.store, name).record("neighbors").outputs["base"]
        assert base == before[name].stages["neighbors"]
    rollback.rollback(shop.store)
    for name, version in before.items():
        assert resolve(shop.store, name).version == version.version
    gc.collect(shop.store, 1)
    assert {name: len(shop.lists(name)) for name in night}
    # Without variants in the config, none is published.
    shop.more = ""
    shop.run_all()
    assert publications.current(shop.store).variants == []  # type: ignore[union-attr]
    assert "variants" not in (shop.store.latest() or {})
    shop.more = C
    shop.run_all()
    assert list(shop.store.latest_variants()) == ["c"]


def test_a_variant_that_the_gate_holds_back_holds_all_back(shop: VariedShop) -> None:
    latest = shop.store.latest()
    shop.more = B.replace("stock > 0", "stock > 5") + C
    with pytest.raises(GateError, match=r"variant b: the table is held back: .* no neighbour"):
        shop.run_all("publish.max_without=0.5")
    assert shop.store.latest() == latest


@pytest.mark.parametrize(
    ("variants", "said"),
    [
        (B + B, "two variants have the name b"),
        (B.replace('"b"', '"B 2"'), r"variant.0.name: string should match"),
        (B.replace("brand = 0.3", "colour = 0.3"), "variant b: rank.same: colour is no column"),
        (B.replace("eligible", "elligible"), r"variant.0.rules.elligible"),
        (B.replace("stock > 0", "stock >"), "variant b: rules.eligible: "),
    ],
)
def test_variants_that_make_no_sense_are_refused(
    shop: VariedShop, variants: str, said: str
) -> None:
    shop.more = variants
    with pytest.raises(UsageError, match=said):
        shop.run_all()
