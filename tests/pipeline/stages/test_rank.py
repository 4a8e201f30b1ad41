"""Further columns and boosts, from the config to the table, against brute force over all pairs."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from models.stores import StoreOptions
from pipeline import catalogue
from pipeline.config import reading as config
from pipeline.config.sections import CatalogueSection
from pipeline.errors import UsageError
from pipeline.inspection import describe
from pipeline.inspection.inspect import Inspector
from pipeline.inspection.version_tables import VersionTables
from pipeline.query import questions
from pipeline.query.answer import Answerer
from pipeline.query.published import Published
from pipeline.retrieval.quantiser import Quantiser
from pipeline.store.stage_record import StageRecord
from tests.pipeline.places import on_disk
from tests.pipeline.retrieval import oracle
from tests.pipeline.stages.test_rules import QUANTISED, K, Rows, Shop, everything, random_catalogue

COLUMNS = (
    'catalogue.columns={seller = "shop", sold = "sold", released = "released", used = "used"}',
    'catalogue.types={sold = "number", released = "date", used = "boolean"}',
)
SAME = "rank.same={category = 0.05, seller = 0.3}"
PRICE = "rank.price={weight = 0.2, half = 1.5}"
VALUE = "rank.value={sold = 0.1, stock = -0.05}"
FRESH = 'rank.fresh={column = "released", weight = 0.15, half_days = 40, date = "2026-05-01"}'
EXPOSURE = "rank.exposure=0.25"
BOOSTS = (SAME, PRICE, VALUE, FRESH, EXPOSURE)


def with_further_columns(rows: Rows, seed: int) -> Rows:
    """Rows with a seller, a number, a date and a boolean, some of which are missing."""
    rng = np.random.default_rng(seed)
    for row in rows:
        row["shop"] = ["", "東", "west", "north", "south"][rng.integers(5)]
        row["sold"] = "" if rng.random() < 0.1 else str(rng.integers(40) ** 2)
        day = date.fromordinal(date(2026, 1, 1).toordinal() + int(rng.integers(150)))
        row["released"] = "" if rng.random() < 0.1 else day.isoformat()
        row["used"] = ["", "true", "false"][rng.integers(3)]
    return rows


def quantile_shares(values: list[float | None], known: list[float | None]) -> list[float]:
    """The share of a hundred quantiles of the known values that each value exceeds."""
    ordered = sorted(value for value in known if value is not None)
    cuts = [ordered[n * len(ordered) // 100] for n in range(100)]
    return [0.0 if v is None else sum(cut < v for cut in cuts) / 100 for v in values]


class RankedShop(Shop):
    """A shop whose rows have further columns.

    Attributes:
        known: the rows that the quantiles are of.
        today: the day that ages are counted to.
    """

    known: Rows
    today = date(2026, 5, 1)

    def oracle_rules(
        self, boosts: tuple[str, ...], allowed: np.ndarray | None = None
    ) -> oracle.Rules:
        """The boosts by their definition, from the rows.

        Args:
            boosts: the settings.
            allowed: bool[n, n], whether an item counts for how crowded another is; None for all.
        """
        rules = oracle.Rules()
        own = np.zeros(len(self.rows))
        if VALUE in boosts:
            for name, weight in (("sold", 0.1), ("stock", -0.05)):
                known = [float(row[name]) if row[name] else None for row in self.known]
                values = [float(row[name]) if row[name] else None for row in self.rows]
                own += weight * np.array(quantile_shares(values, known))
        if FRESH in boosts:
            days = [date.fromisoformat(row["released"]) if row["released"] else None
                    for row in self.rows]  # fmt: skip
            ages = [None if day is None else max((self.today - day).days, 0) for day in days]
            own += [0.0 if age is None else 0.15 * 0.5 ** (age / 40) for age in ages]
        if EXPOSURE in boosts:
            nearest = oracle.neighbors(
                [row["item_id"] for row in self.rows],
                self.vectors(),
                10,
                everything(self) if allowed is None else allowed,
            )
            for n, row in enumerate(self.rows):
                cosines = [score for _, score in nearest.get(row["item_id"], [])]
                mean = sum(cosines) / len(cosines) if cosines else 0.0
                own[n] -= 0.25 * (round(max(mean, 0.0) * 50) / 50)
        rules.own_boosts = own.tolist()
        if SAME in boosts:
            rules.match_boosts = [(self.column("category"), 0.05), (self.column("shop"), 0.3)]
        if PRICE in boosts:
            rules.price, rules.price_boost = self.prices(), (0.2, 1.5)
        return rules

    def ranked(self) -> dict[str, list[tuple[str, float, float]]]:
        """The first K neighbours: ids, scores, and what they are ranked by."""
        stage, table = ("publish", "similar_items")
        if not self.outcome.record("publish"):
            lists = {row["item_id"]: row["neighbors"][:K]
                     for row in self._rows("neighbors", "neighbors")}  # fmt: skip
        else:
            lists = {}
            for row in self._rows(stage, table):
                lists.setdefault(row["item_id"], []).append(row)
        return {
            item: [(n["similar_id"], n["score"], n["ranked_by"]) for n in best]
            for item, best in lists.items()
            if best
        }

    def check(self, rules: oracle.Rules, allowed: np.ndarray) -> None:
        """Compare the table with brute force: ids, ranks and scores; sums of boosts within 1e-6."""
        ids = [row["item_id"] for row in self.rows]
        expected = oracle.ranked_neighbors(ids, self.vectors(), K, allowed, rules)
        found = self.ranked()
        pairs = {item: [pair[:2] for pair in best] for item, best in found.items()}
        assert pairs == {item: [pair[:2] for pair in best] for item, best in expected.items()}
        for item, best in expected.items():
            keys = [pair[2] for pair in best]
            assert [pair[2] for pair in found[item]] == pytest.approx(keys, abs=1e-6)

    def probed(self, nprobe: int) -> np.ndarray:
        """Which items are in a list that each item probes."""
        index = self.outcome.record("index")
        assert index is not None
        lists = Quantiser(np.load(on_disk(self.store.quantisers.path(index.outputs["quantiser"]))))
        probes = lists.probe(self.vectors(), nprobe)
        mask: np.ndarray = (probes[:, 0][None, None, :] == probes[:, :, None]).any(axis=1)
        return mask


@pytest.fixture(scope="module")
def first(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> RankedShop:
    shop = RankedShop(tmp_path_factory.mktemp("rank"))
    shop.write(with_further_columns(random_catalogue(150), 1))
    shop.run(*COLUMNS, last="embed")
    return shop


@pytest.fixture
def shop(first: RankedShop, tmp_path: Path) -> Iterator[RankedShop]:
    """A copy of it, after the stage embed."""
    shutil.copytree(first.folder, tmp_path / "shop")
    copy = RankedShop(tmp_path / "shop")
    copy.rows, copy.known = [dict(row) for row in first.rows], first.rows
    yield copy


def test_the_best_by_cosine_and_boosts_are_taken(shop: RankedShop) -> None:
    shop.run(*COLUMNS, *BOOSTS)
    shop.check(shop.oracle_rules(BOOSTS), everything(shop))
    tables = [shop.expected(shop.oracle_rules(some), everything(shop))
              for some in ((), *((boost,) for boost in BOOSTS), BOOSTS)]  # fmt: skip
    # Each boost changes the table.
    assert all(a != b for n, a in enumerate(tables) for b in tables[:n])


def test_boosts_act_under_rules_and_rules_read_further_columns(shop: RankedShop) -> None:
    eligible = "not used and released >= '2026-01-20'"
    shop.run(*COLUMNS, *BOOSTS, f"rules.eligible={eligible}", 'rules.differ=["seller"]',
             "rules.max_per={stock = 2, used = 3}", "rules.min_score=0.1",
             "rules.max_score=0.97", last="publish")  # fmt: skip
    rules = shop.oracle_rules(BOOSTS)
    rules.differ, rules.low, rules.high = [shop.column("shop")], 0.1, 0.97
    rules.caps = [(shop.column("stock"), 2), (shop.column("used"), 3)]
    is_eligible = [r["used"] == "false" and r["released"] >= "2026-01-20" for r in shop.rows]
    shop.check(rules, everything(shop) & np.array(is_eligible)[None, :])
    names = shop._rows("publish", "similar_items")[0].keys()
    assert list(names) == ["item_id", "rank", "similar_id", "score", "ranked_by"]
    details = {row["item_id"]: row for row in shop._rows("publish", "details")}
    for row in shop.rows:
        shown = details[row["item_id"]]
        assert shown["seller"] == (row["shop"] or None)
        assert shown["sold"] == (float(row["sold"]) if row["sold"] else None)
        released = shown["released"]
        assert (released.isoformat() if released else "") == row["released"]
        assert shown["used"] == {"": None, "true": True, "false": False}[row["used"]]


def test_partitions_do_not_change_the_table(shop: RankedShop) -> None:
    sets = (*COLUMNS, *BOOSTS, *QUANTISED, "rules.max_per={brand = 2}")
    tables = []
    for partitions in (1, 7, 64):
        full = partitions != 1
        shop.run(*sets, f"neighbors.partitions={partitions}", full=full)
        tables.append(shop.ranked())
    assert tables[0] == tables[1] == tables[2]


DIVERSE = ("rank.diversity=0.4", "rank.depth=12")


@pytest.mark.slow
def test_diverse_lists_are_chosen_from_the_best_under_caps(shop: RankedShop) -> None:
    sets: tuple[str, ...] = (*COLUMNS, SAME, PRICE, *DIVERSE, *QUANTISED)
    sets += ("rules.max_per={brand = 3}", "neighbors.nprobe=6", "neighbors.max_probes=6")
    shop.run(*sets, "neighbors.partitions=1", last="publish")
    rules = shop.oracle_rules((SAME, PRICE))
    rules.caps = [(shop.column("brand"), 3)]
    ids, vectors = [row["item_id"] for row in shop.rows], shop.vectors()
    nearest = oracle.ranked_neighbors(ids, vectors, 12, shop.probed(6), rules)
    expected = oracle.diverse_lists(ids, vectors, nearest, 0.4, K)
    found = shop.ranked()
    assert {item: [one[0] for one in best] for item, best in found.items()} == {
        item: [other for other, _ in best] for item, best in expected.items()
    }
    for item, best in expected.items():
        values = [value for _, value in best]
        assert [one[2] for one in found[item]] == pytest.approx(values, abs=1e-6)
    assert found != {item: best[:K] for item, best in nearest.items()}
    # Without Spark the same lists are found.
    settings = config.load(shop.folder / "nitamono.toml", COLUMNS, {})
    published = Published.of(shop.store)
    answerer = Answerer(published, settings, None)
    file = shop.folder / "items.csv"
    (batch,) = questions.read(file, settings.catalogue, settings.catalogue.further)
    answers = {a.item_id: a.neighbours for a in answerer.answer(batch) if a.neighbours}
    assert {
        item: [(one.similar_id, one.score, one.ranked_by) for one in best]
        for item, best in answers.items()
    } == found
    for neighbours in answers.values():
        for one in neighbours:
            assert one.ranked_by is not None
            assert one.score is not None
            terms = sum(one.boosts.values())
            assert one.score + terms == pytest.approx(one.ranked_by, abs=2e-6)
    inspector = Inspector(VersionTables(published))
    for item in sorted(found)[:20]:
        inspection = inspector.inspect(item, other_id="i003" if item != "i003" else "i004")
        assert [one.ranked_by for one in inspection.neighbours] == [one[2] for one in found[item]]
        for neighbour in inspection.neighbours:
            assert neighbour.ranked_by is not None
            assert neighbour.score is not None
            total = neighbour.score + sum(neighbour.boosts.values())
            assert total == pytest.approx(neighbour.ranked_by, abs=2e-6)
        # Dates and booleans are shown.
        json.dumps(describe.as_json(inspection, published))
        assert any("released 2026-" in line for line in describe.lines(inspection, published)) == (
            inspection.item.details["released"] is not None
        )
    # Nights and partitions: the same lists as from nothing.
    shop.rows[7]["price"], shop.rows[9]["brand"] = "1000", "bird"
    shop.write(shop.rows[:-1])
    shop.run(*sets, last="publish")
    night = shop.outcome.record("neighbors")
    assert night is not None
    assert night.outputs["base"], night.outputs["why"]
    updated = shop.ranked()
    shop.run(*sets, "neighbors.partitions=7", last="publish", full=True)
    assert updated == shop.ranked()
    assert updated != found


@pytest.mark.slow
def test_nights_give_the_table_of_a_full_run_and_keep_the_quantiles(
    shop: RankedShop, tmp_path: Path
) -> None:
    sets = (*COLUMNS, SAME, PRICE, VALUE, *QUANTISED, "neighbors.nprobe=4",
            "neighbors.max_probes=4", 'rules.differ=["brand"]')  # fmt: skip

    def fresh(day: int) -> str:
        return FRESH.replace("2026-05-01", f"2026-05-0{day}")

    shop.run(*sets, fresh(1), last="publish")
    first = shop.outcome.record("neighbors")
    assert first is not None
    shop.run(*sets, fresh(1), last="publish")
    assert shop.outcome.record("neighbors") == first
    changed = with_further_columns([dict(row) for row in shop.rows], 2)
    for number, row in enumerate(shop.rows):
        # A few of the columns of a few items change, some items leave, some come.
        if number % 30 == 0:
            row.update({name: changed[number][name] for name in ("sold", "released", "shop")})
        if number % 30 == 7:
            row["price"] = "1000"
    new = with_further_columns(random_catalogue(154)[150:], 3)
    shop.write([row for row in shop.rows if int(row["item_id"][1:]) % 50 != 3] + new)
    shutil.copytree(shop.folder, tmp_path / "full")
    # The day does not change: then only what has changed is searched again.
    shop.run(*sets, fresh(1), last="publish")
    night = shop.outcome.record("neighbors")
    assert night is not None
    assert night.outputs["base"] == first.fingerprint, night.outputs["why"]
    assert night.outputs["quantiles"] == first.outputs["quantiles"]
    rules = shop.oracle_rules(BOOSTS[:4])
    rules.differ = [shop.column("brand")]
    full = RankedShop(tmp_path / "full")
    full.run(*sets, fresh(1), last="publish", full=True)
    assert shop.ranked() == full.ranked()
    shop.check(rules, shop.probed(4))
    # Another day changes every age; how crowded items are is told by the lists that they probe.
    shop.run(*sets, fresh(9), EXPOSURE, last="publish")
    shop.today = date(2026, 5, 9)
    rules.own_boosts = shop.oracle_rules(BOOSTS, shop.probed(4)).own_boosts
    shop.check(rules, shop.probed(4))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('rules.same=["colour"]', "rules.same: colour is no column that it can use"),
        ("rules.max_per={shop = 1}", "these are: title, category"),
        ("rank.value={seller = 0.1}", "rank.value: seller is no column"),
        ("rank.value={stock = 1.5}", "rank.value.stock: input should be less than or equal to 1"),
        ('rank.fresh={column = "sold", weight = 0.1}', "rank.fresh: sold is no column"),
        ("rank.price={weight = 0.1, half = 1.0}", "rank.price.half: input should be greater"),
        ("rank.depth=20", "rank: depth is for lists that are ranked again or diverse"),
        ('rank.fresh={column = "released", weight = 0.1, date = "2026-13-45"}', "not a date"),
        ('rules.same=["brand"] rules.differ=["brand"]', "brand: no item can be both equal"),
        ('catalogue.columns={part = "x"}', "nitamono uses this name itself: part"),
        ("rules.eligible=sold > 'a'", "rules.eligible: not a condition"),
        ('catalogue.columns={score = "x"}', "nitamono uses this name itself: score"),
        ('catalogue.columns={"Shop Id" = "x"}', "not a column's name: Shop Id"),
        ('catalogue.types={weight = "number"}', "types.weight: types are for further columns"),
        ('catalogue.types={sold = "integer"}', "catalogue.types.sold: input should be 'string'"),
    ],
)
def test_columns_that_are_not_mapped_and_odd_weights_are_refused(
    shop: RankedShop, setting: str, message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        shop.run(*COLUMNS, *re.split(r" (?=rules)", setting))
    assert message in str(raised.value), raised.value


def test_a_run_as_of_one_with_other_columns_is_refused(first: RankedShop, shop: RankedShop) -> None:
    with pytest.raises(UsageError, match=r"further columns released \(date\), .*config has none"):
        shop.run(last="ingest", publishing=False, as_of_run=first.outcome.run_id)


def test_rules_of_an_earlier_release_are_told_of(
    first: RankedShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = StageRecord(
        "neighbors", "f", "r", {"rules": {"rules": {}, "items": "i", "deny": None}}, {}
    )
    monkeypatch.setattr(Published, "record", lambda *_: record)
    published = Published(first.store, "v", "r", {})
    with pytest.raises(UsageError, match="an earlier release made its rules' tables; run again"):
        _ = published.rank


ODD = {
    "number": ["1", " 2.5 ", "1e3", "-0", "", "many", "NaN", "0x1", "１", "1d", "1_0", "inf",
               "-Infinity", ".5", "5.", "1.5F", "+2", "1,000", "\u00a07"],
    "boolean": ["true", " T ", "yes", "0", "N", "", "maybe", "2", "false"],
    "date": ["2026-01-31", " 2026-1-3 ", "2026", "2026-02", "2026-02-30", "", "12026-01-01",
             "2026-05-01T23:59:59Z", "２０２６-01-01", "+2026-01-01", "0000-01-01", "31.1.2026"],
}  # fmt: skip


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_questions_are_read_as_a_catalogue_is(
    spark: SparkSession, tmp_path: Path, ending: str
) -> None:
    path, odd = tmp_path / f"items.{ending}", [(k, text) for k, v in ODD.items() for text in v]
    rows: list[dict[str, object]] = [
        {"item_id": f"{n:02d}", "title": "a", **dict.fromkeys(ODD, ""), kind: text}
        for n, (kind, text) in enumerate(odd)
    ]
    if ending == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    else:
        more = [("boolean", True), ("boolean", 2), ("boolean", 1), ("date", 2026), ("number", 1.50)]
        rows += [{"item_id": f"j{n}", "title": "a", kind: v} for n, (kind, v) in enumerate(more)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    section = CatalogueSection(
        path=str(path),
        columns={kind: kind for kind in ODD},
        types={"number": "number", "boolean": "boolean", "date": "date"},
    )
    source = catalogue.Source.from_config(section, StoreOptions())
    raw = catalogue.read(spark, source)
    table = raw.select(*catalogue.item_columns(raw, source)).toArrow().sort_by("item_id")
    (batch,) = questions.read(path, section, section.further)
    for kind in ODD:
        assert [repr(v) for v in table[kind].to_pylist()] == [
            repr(v) for v in batch[kind].to_pylist()
        ]
