"""Edits by hand, from the table to what is published, against brute force over all pairs."""

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from pipeline.config import reading as config
from pipeline.errors import InputError, UsageError
from pipeline.inspection.inspect import Inspector
from pipeline.inspection.version_tables import VersionTables
from pipeline.query import questions
from pipeline.query.answer import Answerer
from pipeline.query.published import Published
from tests.pipeline.retrieval import oracle
from tests.pipeline.stages.test_rank import (
    BOOSTS,
    COLUMNS,
    SAME,
    VALUE,
    RankedShop,
    with_further_columns,
)
from tests.pipeline.stages.test_rules import QUANTISED, K, Rows, everything, random_catalogue

TODAY = "edits.date=2026-05-01"
SET = ("edits.path=edits.csv", TODAY)
NAMES = ("item_id", "item_where", "similar_id", "similar_where", "action", "value", "from", "until")
Edit = dict[str, str]

# In a condition, these characters would mean others.
ODD = "i'00\\4"


def edit(action: str, value: object = "", **columns: str) -> Edit:
    return {"action": action, "value": str(value), **columns}


def holds(row: dict[str, str], where: str) -> bool:
    """The conditions that these tests use."""
    name, _, value = where.partition(" = ")
    return bool(row[name]) and row[name] == value.strip("'")


@dataclass
class Expected:
    """The edits by their definition: what people have written, and no more."""

    rows: Rows
    edits: list[Edit]

    def is_side(self, one: Edit, side: str, row: dict[str, str]) -> bool:
        item_id, where = one.get(f"{side}_id"), one.get(f"{side}_where")
        return row["item_id"] == item_id if item_id else not where or holds(row, where)

    def apply(self, rules: oracle.Rules, allowed: np.ndarray) -> np.ndarray:
        """Add them to rules; return which pairs are allowed."""
        own, pairs = np.zeros(len(self.rows)), dict[tuple[str, str], float]()
        allowed = allowed.copy()
        for one in self.edits:
            if one["action"] == "pin":
                continue
            items = [self.is_side(one, "item", row) for row in self.rows]
            others = [self.is_side(one, "similar", row) for row in self.rows]
            both = np.array(items)[:, None] & np.array(others)[None, :]
            if one["action"] == "deny":
                allowed &= ~both
                continue
            boost = float(one["value"]) * (-1 if one["action"] == "bury" else 1)
            if one.get("item_id") and one.get("similar_id"):
                pair = one["item_id"], one["similar_id"]
                pairs[pair] = pairs.get(pair, 0.0) + boost
            elif one.get("item_id") or one.get("item_where"):
                rules.conditional.append((items, others, boost))
            else:
                own += boost * np.array(others)
        own = np.clip(own, -1, 1)
        rules.pair_boosts = {pair: max(-1.0, min(1.0, b)) for pair, b in pairs.items()}
        rules.own_boosts = (own + (np.array(rules.own_boosts) if rules.own_boosts else 0)).tolist()
        return allowed

    def pins(self, row: dict[str, str]) -> list[tuple[int, int, str]]:
        """The pins of an item in the order in which they are followed: order, rank, neighbour."""
        wanted = [
            (0 if one.get("item_id") else 1 if one.get("item_where") else 2,
             int(one["value"]), one["similar_id"])
            for one in self.edits
            if one["action"] == "pin" and self.is_side(one, "item", row)
            and one["similar_id"] != row["item_id"]
        ]  # fmt: skip
        return sorted(wanted)


class EditedShop(RankedShop):
    """A shop with a table of edits."""

    def edit(self, edits: list[Edit]) -> None:
        with (self.folder / "edits.csv").open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, NAMES, restval="")
            writer.writeheader()
            writer.writerows(edits)

    def run_edited(self, *sets: str, **kwargs: Any) -> None:
        sets = tuple(s.replace("edits.path=", f"edits.path={self.folder}/") for s in sets)
        self.run(*COLUMNS, *sets, last="publish", **kwargs)

    def lists(self) -> dict[str, list[tuple[str, float, float | None, str | None]]]:
        lists: dict[str, list[tuple[str, float, float | None, str | None]]] = {}
        for row in self._rows("publish", "similar_items"):
            assert row["rank"] == len(lists.setdefault(row["item_id"], [])) + 1
            values = row["similar_id"], row["score"], row.get("ranked_by"), row["reason"]
            lists[row["item_id"]].append(values)
        return lists

    def refused(self) -> dict[tuple[str, ...], list[tuple[str, int | None]]]:
        refused: dict[tuple[str, ...], list[tuple[str, int | None]]] = {}
        for row in self._rows("neighbors", "rejected_edits"):
            key = tuple(row[name] or "" for name in NAMES)
            refused.setdefault(key, []).append((row["reason"], row["items"]))
        return refused

    def check_edits(
        self, edits: list[Edit], rules: oracle.Rules, allowed: np.ndarray, pinnable: np.ndarray
    ) -> None:
        """Compare the table with brute force.

        Args:
            edits: those that are followed.
            rules: the rules on pairs without edits.
            allowed: bool[n, n], which pairs may be in a list; those of the lists that are probed.
            pinnable: bool[n, n], which pairs the rules on eligibility and equality allow.
        """
        expected = Expected(self.rows, edits)
        ids, places = [r["item_id"] for r in self.rows], {}
        pinnable = expected.apply(oracle.Rules(), pinnable)
        allowed = expected.apply(rules, allowed)
        ranked = oracle.ranked_neighbors(ids, self.vectors(), K, allowed, rules)
        places = {item: n for n, item in enumerate(ids)}
        every = oracle.ranked_neighbors(
            ids, self.vectors(), len(ids), everything(self),
            oracle.Rules(**(vars(rules) | {"low": -1, "high": 1, "caps": [], "denied": set()})),
        )  # fmt: skip
        found = self.lists()
        pinned = 0
        for n, row in enumerate(self.rows):
            item = row["item_id"]
            scores = {other: (score, by) for other, score, by in every.get(item, [])}
            pins: dict[int, str] = {}
            for _, rank, other in expected.pins(row):
                free = rank not in pins and other not in pins.values()
                if free and other in scores and pinnable[n, places[other]]:
                    pins[rank] = other
            rest = [o for o, _, _ in ranked.get(item, []) if o not in pins.values()]
            wanted: list[str] = []
            for rank in range(1, K + 1):
                if rank in pins:
                    wanted.append(pins[rank])
                elif rest:
                    wanted.append(rest.pop(0))
            got = found.get(item, [])
            assert [one[0] for one in got] == wanted, item
            for other, score, by, reason in got:
                assert score == scores[other][0]
                assert by == pytest.approx(scores[other][1], abs=1e-6)
                assert (reason == "pinned") == (other in pins.values())
            pinned += len(pins)
        assert pinned


EDITS = [
    edit("boost", 0.5, item_id="i001", similar_id="i100"),
    edit("boost", 0.4, item_id="i001", similar_id="i101"),
    edit("boost", 0.8, item_id="i001", similar_id="i101"),
    edit("bury", 0.6, item_id="i002", similar_id="i007"),
    edit("deny", item_id="i003", similar_id="i008"),
    edit("deny", similar_id="i010"),
    edit("boost", 0.3, similar_id="i020"),
    edit("bury", 0.2, similar_where="brand = 'bird'"),
    edit("boost", 0.25, item_where="brand = 'Cloud'", similar_where="brand = 'アオキ'"),
    edit("deny", item_where="category = '靴'", similar_where="brand = 'Cloud'"),
    edit("bury", 0.7, item_id=ODD, similar_where="category = '時計'"),
    edit("boost", 0.15, item_where="category = '傘'", similar_id="i049"),
    edit("deny", similar_where="stock = 2 and false or brand = 'none'"),
    edit("pin", 1, item_id="i001", similar_id="i120"),
    edit("pin", 1, item_id="i001", similar_id="i120", until="2026-12-31"),
    edit("pin", 2, item_id=ODD, similar_id="i002"),
    edit("pin", 1, item_where="brand = 'bird'", similar_id="i121"),
    edit("pin", 4, similar_id="i030"),
    edit("pin", 5, item_id="i005", similar_id="i030"),
    edit("pin", 2, item_id="i006", similar_id="i010"),
]  # fmt: skip
FUTURE = [
    edit("deny", similar_id="i050", **{"from": "2026-05-02"}),
    edit("boost", 1, similar_id="i051", until="2026-04-30"),
    edit("pin", 1, similar_id="i052", **{"from": "2026-04-01", "until": "2026-04-30"}),
]
IN_FORCE = [
    edit("boost", 0.9, similar_id="i060", **{"from": "2026-05-01", "until": "2026-05-01"}),
]


@pytest.fixture(scope="module")
def first(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> EditedShop:
    shop = EditedShop(tmp_path_factory.mktemp("edits"))
    rows = with_further_columns(random_catalogue(150), 1)
    rows[4]["item_id"] = ODD
    shop.write(rows)
    shop.run(*COLUMNS, last="embed")
    return shop


@pytest.fixture
def shop(first: EditedShop, tmp_path: Path) -> Iterator[EditedShop]:
    """A copy of it, after the stage embed."""
    shutil.copytree(first.folder, tmp_path / "shop")
    copy = EditedShop(tmp_path / "shop")
    copy.rows, copy.known = [dict(row) for row in first.rows], first.rows
    yield copy


def answers(shop: EditedShop, k: int | None = None) -> dict[str, Any]:
    """The same lists by nitamono query."""
    settings = config.load(shop.folder / "nitamono.toml", COLUMNS, {})
    answerer = Answerer(Published.of(shop.store), settings, k)
    file = shop.folder / "items.csv"
    (batch,) = questions.read(file, settings.catalogue, settings.catalogue.further)
    return {a.item_id: a.neighbours for a in answerer.answer(batch) if a.item_id and a.neighbours}


def check_explanations(shop: EditedShop) -> None:
    """Check that inspect and query tell what edits add."""
    inspector = Inspector(VersionTables(Published.of(shop.store)))
    found, edited = shop.lists(), 0
    for neighbours in answers(shop).values():
        for one in neighbours:
            assert one.ranked_by == pytest.approx(one.score + sum(one.boosts.values()), abs=2e-6)
            edited += "edits" in one.boosts
    assert edited > 100
    for item in ("i001", ODD, "i149"):
        inspection = inspector.inspect(item, other_id="i010")
        assert [one.item_id for one in inspection.neighbours] == [n[0] for n in found[item]]
        for one in inspection.neighbours:
            total = (one.score or 0.0) + sum(one.boosts.values())
            assert one.ranked_by == pytest.approx(total, abs=2e-6)
        assert "rules.deny or [edits]: is in no list" in json.dumps(inspection.why_not)


def test_edits_in_force_decide_what_lists_hold(shop: EditedShop) -> None:
    shop.edit([*EDITS, *FUTURE, *IN_FORCE])
    shop.run_edited(*SET)
    shop.check_edits([*EDITS, *IN_FORCE], oracle.Rules(), everything(shop), everything(shop))
    found = shop.lists()
    reasons = {key[2]: value for key, value in shop.refused().items() if key[0] or key[1]}
    # A pin of a denied item, and those of an item whose rank or neighbour another pin has.
    assert [reason.split(":")[0] for reason, _ in reasons["i010"]] == [
        "similar_id may be in no list"
    ]
    assert "i120" not in reasons
    assert ("", "", "i020", "", "boost", "0.3", "", "") not in shop.refused()
    for item, neighbours in answers(shop).items():
        got = [(one.similar_id, one.score, one.ranked_by) for one in neighbours]
        assert got == [one[:3] for one in found[item]], item
    for item, neighbours in answers(shop, 3).items():
        assert [one.similar_id for one in neighbours] == [one[0] for one in found[item][:3]], item
    names = list(shop._rows("publish", "similar_items")[0])
    assert names == ["item_id", "rank", "similar_id", "score", "ranked_by", "reason"]
    check_explanations(shop)


@pytest.mark.slow
def test_edits_act_beside_rules_and_boosts_whatever_the_partitions(shop: EditedShop) -> None:
    shop.edit([*EDITS, *IN_FORCE])
    sets = (*SET, *BOOSTS, *QUANTISED, "rules.max_per={brand = 2}", 'rules.differ=["seller"]',
            "rules.eligible=stock > 0", 'rules.same=["used"]', "rules.min_score=0.1",
            "neighbors.nprobe=4", "neighbors.max_probes=4")  # fmt: skip
    tables = []
    for partitions in (1, 7, 64):
        shop.run_edited(*sets, f"neighbors.partitions={partitions}", full=partitions != 1)
        tables.append(shop.lists())
    assert tables[0] == tables[1] == tables[2]
    allowed = everything(shop) & np.array([int(r["stock"]) > 0 for r in shop.rows])[None, :]
    used = np.array([row["used"] for row in shop.rows])
    allowed &= used[:, None] == used[None, :]
    probed = shop.probed(4)
    rules = shop.oracle_rules(BOOSTS, probed)
    rules.differ, rules.low = [shop.column("shop")], 0.1
    rules.caps = [(shop.column("brand"), 2)]
    seller = np.array([row["shop"] for row in shop.rows])
    pinnable = allowed & ~((seller[:, None] == seller[None, :]) & (seller != "")[:, None])
    shop.check_edits([*EDITS, *IN_FORCE], rules, allowed & probed, pinnable)


@pytest.mark.slow
def test_nights_with_other_edits_and_dates_give_the_table_of_a_full_run(shop: EditedShop) -> None:
    sets = (*SET, *QUANTISED, "neighbors.nprobe=4", "neighbors.max_probes=4", "neighbors.reserve=3")
    shop.edit([*EDITS, *FUTURE, *IN_FORCE])
    shop.run_edited(*sets)
    first = shop.outcome.record("neighbors")
    assert first is not None
    # Nothing else is in force on a day before.
    shop.run_edited(*sets, "edits.date=2026-05-01")
    assert shop.outcome.record("neighbors") == first
    changed = [one for n, one in enumerate(EDITS) if n not in (1, 4, 6)]
    changed += [
        edit("deny", item_id="i009", similar_id="i011"),
        edit("bury", 0.4, similar_id="i012"),
    ]
    nights = [(changed, "2026-05-01"), (changed[:-1], "2026-05-02")]
    for number, (edits, day) in enumerate(nights):
        shop.edit([*edits, *FUTURE, *IN_FORCE])
        shop.rows[20 + number]["brand"] = "bird"
        shop.write(shop.rows[: -1 - number])
        dated = (*sets, f"edits.date={day}")
        shop.run_edited(*dated)
        record = shop.outcome.record("neighbors")
        assert record is not None
        assert record.outputs["base"], record.outputs["why"]
        night = shop.lists()
        shop.run_edited(*dated, full=True, publishing=False)
        assert shop.lists() == night
        extra = IN_FORCE if day == "2026-05-01" else FUTURE[:1]
        shop.check_edits([*edits, *extra], oracle.Rules(), shop.probed(4), everything(shop))


def test_rows_that_make_no_sense_are_refused_one_by_one(shop: EditedShop) -> None:
    bad = {
        "action none": edit("hide", similar_id="i001"),
        "similar_id or similar_where is needed": edit("deny", item_id="i001"),
        "item_id and item_where": edit("deny", item_id="i1", item_where="a", similar_id="i2"),
        "a pin needs similar_id": edit("pin", 1, similar_where="price > 1"),
        "an item is no neighbour of itself": edit("boost", 1, item_id="i1", similar_id="i1"),
        "value 1.5: it has to be above 0": edit("boost", 1.5, similar_id="i002"),
        "value -0.5": edit("bury", -0.5, similar_id="i002"),
        "value nan": edit("bury", "nan", similar_id="i002"),
        "value many: it has to be a number": edit("boost", "many", similar_id="i002"),
        "value is empty": edit("boost", similar_id="i002"),
        "value: deny has none": edit("deny", 1, similar_id="i002"),
        "value 6: a pin's is a rank": edit("pin", 6, similar_id="i002"),
        "from 2026-5-1: no date": edit("deny", similar_id="i003", **{"from": "2026-5-1"}),
        "until 2026-02-30: no date": edit("deny", similar_id="i003", until="2026-02-30"),
        "from 2026-06-01 is after": edit(
            "deny", similar_id="i003", **{"from": "2026-06-01", "until": "2026-05-01"}
        ),
        "similar_where: not a condition": edit("deny", similar_where="price >> 1"),
        "item_where: ": edit("deny", item_where="colour = 'red'", similar_id="i004"),
    }
    good = [edit("deny", similar_id="i070"), edit("pin", 1, item_id="none", similar_id="i071"),
            edit("pin", 2, item_id="i001", similar_id="gone"),
            edit("bury", 0.1, item_id="i002", similar_id="away")]  # fmt: skip
    old = edit("pin", 99, similar_id="i001", until="2026-04-30")
    # The second of them is the same pin, and differs in its days only.
    unmet = edit("pin", 1, item_id="i003", similar_id="i070")
    twice = [unmet, unmet | {"until": "2026-12-31"}]
    shop.edit([*bad.values(), *good, good[0], old, *twice])
    shop.run_edited(*SET)
    refused = shop.refused()
    for one in twice:
        ((reason, items),) = refused.pop(tuple(one.get(name, "") for name in NAMES))
        assert (reason.split(":")[0], items) == ("similar_id may be in no list", 1)
    for said, one in bad.items():
        key = tuple(one.get(name, "") for name in NAMES)
        ((reason, items),) = refused.pop(key)
        assert items is None
        assert reason.startswith(said.replace("action none", "action hide")), reason
    reasons = {key[0]: reason for key, ((reason, _),) in refused.items()}
    assert reasons["none"].startswith("the item has no list")
    assert reasons["i001"].startswith("similar_id is not in the catalogue")
    assert reasons["i002"] == "similar_id is not in the catalogue"
    assert len(refused) == 3
    shown = {one[0] for best in shop.lists().values() for one in best}
    assert "i070" not in shown and {"i002", "i003"} <= shown
    record = shop.outcome.record("neighbors")
    assert record is not None
    assert json.dumps(record.inputs)


@pytest.mark.parametrize(
    ("header", "sets", "said"),
    [
        ("item_id,similar_id,acton", (), "edits.path .*edits.csv: there is no column acton"),
        ("item_id,similar_id,value", (), "column action is missing"),
        (None, (), "edits.path .*edits.csv: no such file"),
        ("action", ("neighbors.mode=new",), r"\[edits\] is for runs of all items"),
        ("action", ("edits.table=a.b.c",), "give path or table, not both"),
        ("action", ("edits.date=5.1.2026",), "edits.date: not a date"),
    ],
)
def test_tables_that_can_not_be_used_are_refused(
    shop: EditedShop, header: str | None, sets: tuple[str, ...], said: str
) -> None:
    if header is not None:
        (shop.folder / "edits.csv").write_text(f"{header}\n", encoding="utf-8")
    with pytest.raises((InputError, UsageError), match=said):
        shop.run_edited(*SET, *sets)


def test_more_edits_with_conditions_than_can_be_computed_are_refused(shop: EditedShop) -> None:
    both = [edit("boost", n / 100, item_where="stock > 0", similar_where=f"price > {n}")
            for n in range(1, 64)]  # fmt: skip
    shop.edit(both)
    with pytest.raises(InputError, match=r"63 edits with a condition .* 62 may be in force"):
        shop.run_edited(*SET)
    shop.edit([edit("bury", 0.1, similar_where=f"price > {n}") for n in range(1001)])
    with pytest.raises(InputError, match=r"1,001 edits with conditions.* 1,000 may be"):
        shop.run_edited(*SET)


VARIANT = """
[[variant]]
name = "b"
k = 4
[variant.rules]
collapse = "group_id"
min_score = 0.35
[variant.rank]
exposure = 0.25
"""


def all_rows(shop: EditedShop) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of the table and of its variant."""
    return {
        stage: [tuple(map(str, row.values())) for row in shop._rows(stage, "similar_items")]
        for stage in ("publish", "publish@b")
    }


@pytest.mark.slow
def test_everything_together_from_night_to_night_and_by_query(shop: EditedShop) -> None:
    shop.more = VARIANT
    shop.rows[140]["title"] = "、。"
    shop.write(shop.rows)
    shop.edit([*EDITS, *FUTURE, *IN_FORCE])
    sets = (*SET, SAME, VALUE, *QUANTISED, "neighbors.nprobe=3", "neighbors.max_probes=3",
            "rules.max_per={brand = 2}", 'rules.differ=["seller"]', "rules.min_score=0.3",
            "rank.diversity=0.3", 'fallback.order=["same category by sold", "by sold"]',
            "publish.reasons=true")  # fmt: skip
    for day in ("2026-05-01", "2026-05-02"):
        dated = (*sets, f"edits.date={day}")
        shop.run_edited(*dated)
        night = all_rows(shop)
        reasons = {row[5] for row in night["publish"]}
        assert reasons >= {"None", "pinned", "same category by sold"}
        settings = shop.settings(*COLUMNS)
        file = shop.folder / "items.csv"
        (batch,) = questions.read(file, settings.catalogue, settings.catalogue.further)
        for name, stage in (("LATEST", "publish"), ("LATEST@b", "publish@b")):
            answered = Answerer(Published.of(shop.store, name), settings, None).answer(batch)
            found = [
                (a.item_id, rank, n.similar_id, n.score, n.ranked_by, n.reason, n.shared_words)
                for a in answered
                for rank, n in enumerate(a.neighbours, 1)
            ]
            found.sort(key=lambda row: (row[0] or "", row[1]))
            assert [tuple(map(str, row)) for row in found] == night[stage]
        shop.run_edited(*dated, "neighbors.partitions=7", full=True, publishing=False)
        assert all_rows(shop) == night
        shop.edit([one for n, one in enumerate(EDITS) if n not in (1, 4, 6)] + FUTURE)
        shop.rows[20]["brand"], shop.rows[30]["sold"] = "bird", "9999"
        shop.write(shop.rows[:-1])


@pytest.mark.processes
def test_edits_may_be_in_a_table_of_spark(spark: SparkSession, shop: EditedShop) -> None:
    rows = [{name: one.get(name) for name in NAMES} for one in EDITS[:6]]
    schema = ", ".join(f"`{name}` string" for name in NAMES)
    spark.createDataFrame(rows, schema).createOrReplaceGlobalTempView("edits_of_the_shop")
    shop.edit(EDITS[:6])
    shop.run_edited(*SET)
    expected = shop.lists()
    shop.run_edited("edits.table=global_temp.edits_of_the_shop", TODAY)
    assert shop.lists() == expected
    with pytest.raises((InputError, UsageError), match=r"edits\.table no_such_table"):
        shop.run_edited("edits.table=no_such_table", TODAY)
