"""Lists that are filled, from the config to the published table, against plain Python."""

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from pipeline.cli import query as cli_query
from pipeline.config import reading as config
from pipeline.errors import InputError, UsageError
from pipeline.inspection.describe import as_json, lines
from pipeline.inspection.diff import diff
from pipeline.inspection.inspect import Inspector
from pipeline.inspection.version_tables import VersionTables
from pipeline.query import questions
from pipeline.query.answer import Answerer
from pipeline.query.published import Published
from pipeline.runs.record import Outcome
from pipeline.stages.context import Job
from pipeline.stages.publish import fallback, stage
from pipeline.store.arrow_files import Rows
from pipeline.store.resolve import resolve
from tests.pipeline.stages import fallback_oracle as oracle
from tests.pipeline.stages.test_rules import DENIED, K, Shop, denied_pairs, random_catalogue
from tests.pipeline.tables import read_rows

pytestmark = pytest.mark.processes

SAME, ALL = "same category by stock", "by price"
ORDER = f'fallback.order=["{SAME}", "{ALL}"]'
ENTRIES = [(SAME, "category", "stock"), (ALL, "", "price")]
RULES = ("rules.eligible=stock > 0", 'rules.same=["brand"]', "rules.collapse=group_id",
         "rules.max_per={category = 2}", "rules.price_ratio=[0.5, 2.0]", "rules.deny=deny.csv",
         "rules.min_score=0.3", "rank.price={weight = 0.1}")  # fmt: skip
Table = dict[str, list[oracle.Entry]]


def _rows(shop: Shop) -> list[dict[str, Any]]:
    """The catalogue with its values as nitamono reads them."""
    numbers = ("price", "stock")
    return [
        {n: (float(v) if n in numbers else v) if v else None for n, v in row.items()}
        for row in shop.rows
    ]


def _table(shop: Shop, outcome: Outcome) -> Table:
    """The published table, with scores and reasons."""
    record = outcome.record("publish")
    assert record is not None
    rows = read_rows(shop.store, "similar_items", record.version("similar_items"))
    table: Table = {}
    for row in sorted(rows, key=lambda row: (row["item_id"], row["rank"])):
        entries = table.setdefault(row["item_id"], [])
        entries.append((row["similar_id"], row["score"], row["reason"]))
        is_ranked = row.get("ranked_by") is not None
        assert is_ranked == ("ranked_by" in row and row["reason"] is None)
        assert row["rank"] == len(entries)
    return table


def _found(shop: Shop) -> dict[str, list[tuple[str, float]]]:
    """The neighbours of each item, as the stage neighbors has them."""
    return {
        row["item_id"]: [(one["similar_id"], one["score"]) for one in row["neighbors"][:K]]
        for row in shop._rows("neighbors", "neighbors")
    }


def _expected(shop: Shop, rules: oracle.Rules) -> Table:
    return oracle.fill(_rows(shop), _found(shop), [*shop.short()], ENTRIES, rules, K)


@pytest.fixture(scope="module")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop in which some texts hold no word; others have the same price and stock."""
    shop = Shop(tmp_path_factory.mktemp("fallback"))
    rows = random_catalogue(90)
    for number in (4, 17, 33):
        rows[number]["title"] = "<br>"
    shop.write(rows, DENIED)
    return shop


def test_items_without_a_word_are_filled_and_scores_are_null(
    shop: Shop, spark: SparkSession
) -> None:
    plain = shop.run(last="publish")
    outcome = shop.run(ORDER, last="publish")
    table = _table(shop, outcome)
    assert table == _expected(shop, oracle.Rules())
    filled = {item: best for item, best in table.items() if best[0][2] is not None}
    assert filled.keys() == {"i004", "i017", "i033"}
    # Those without a word fill lists themselves.
    counts = outcome.counts()
    assert counts["filled_rows"] == 3 * K == sum(counts["filled_by"].values())
    assert (counts["filled_items"], counts["short_after_filling"]) == (3, 0)
    assert counts["rows"] == counts["pairs"] + counts["filled_rows"]
    # What is measured is measured on neighbours: nothing of it changes.
    for name in ("quality", "items_with_neighbors"):
        assert counts[name] == plain.counts()[name]
    assert outcome.gate["rows"] == outcome.gate["rows_before"]
    assert (outcome.gate["churn"], outcome.gate["items"]) == (0, 87)
    sides = [resolve(shop.store, str(one.version)) for one in (plain, outcome)]
    changes = diff(spark, shop.store, sides[0], sides[1], K)
    assert (changes["changed"], changes["common"], changes["score_shift"]) == (0, 87, 0)
    again = shop.run(ORDER, last="publish")
    assert {status for _, status, _ in again.stages} == {"reused"}


def test_fillings_keep_the_hard_rules(shop: Shop) -> None:
    outcome = shop.run(*RULES, ORDER, last="publish")
    alone = {a for a, b in DENIED if not b}
    rules = oracle.Rules(
        same=["brand"],
        differ=["group_id"],
        caps=[("group_id", 1), ("category", 2)],
        price_ratio=(0.5, 2.0),
        denied=frozenset(denied_pairs()),
        may_be_shown=lambda row: row["stock"] > 0 and row["item_id"] not in alone,
    )
    table = _table(shop, outcome)
    assert table == _expected(shop, rules)
    by_reason = [entry[2] for best in table.values() for entry in best]
    assert outcome.counts()["filled_by"] == {text: by_reason.count(text) for text in (SAME, ALL)}
    assert min(outcome.counts()["filled_by"].values()) > 9
    short = sum(len(table.get(row["item_id"], [])) < K for row in shop.rows)
    assert outcome.counts()["short_after_filling"] == short > 0
    _check_answers(shop, outcome, table)
    # Each rule decides on some of it.
    for name in ("same", "differ", "caps", "price_ratio", "denied", "may_be_shown"):
        assert (
            _expected(shop, rules._replace(**{name: oracle.Rules._field_defaults[name]})) != table
        )


@pytest.mark.slow
def test_partitions_do_not_change_what_is_filled(shop: Shop, spark: SparkSession) -> None:
    outcome = shop.run(*RULES, ORDER, last="publish")
    job = Job(shop.settings(*RULES, ORDER), shop.store, "partitions", spark=spark)
    for _, _, record in outcome.stages:
        job.set_record(record)
    expected = shop._rows("publish", "filled")
    lists = fallback.only_short(stage._neighbor_lists(job), K)
    try:
        for partitions in (1, 7, 64):
            spark.conf.set("spark.sql.shuffle.partitions", partitions)
            spread = Rows(lists.frame.repartition(partitions), lists.run)
            fallback.write(job, f"partitions{partitions}", [spread])
            filled = read_rows(shop.store, "filled", f"partitions{partitions}")
            by_item = [sorted(rows, key=lambda row: row["item_id"]) for rows in (filled, expected)]
            assert by_item[0] == by_item[1]
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", 2)


def _check_answers(shop: Shop, outcome: Outcome, table: Table) -> None:
    """Query gives the published lists; inspect shows them."""
    published, settings = Published.of(shop.store, outcome.run_id), shop.settings(*RULES, ORDER)
    batches = questions.read(shop.folder / "items.csv", settings.catalogue, {})
    answerer = Answerer(published, settings, None)
    answers = [answer for batch in batches for answer in answerer.answer(batch)]
    assert {
        answer.item_id: [(one.similar_id, one.score, one.reason) for one in answer.neighbours]
        for answer in answers
        if answer.neighbours
    } == table
    inspector = Inspector(VersionTables(published))
    inspection = inspector.inspect("i004")
    assert [(one.item_id, one.score, one.reason) for one in inspection.neighbours] == table["i004"]
    assert any(f"fills the list: {SAME}" in line for line in lines(inspection, published))
    entry = as_json(inspection, published)["neighbours"][0]
    assert (entry["score"], entry["reason"]) == (None, SAME)
    assert any("-  i0" in line for line in cli_query._lines(answers[4]))


@pytest.mark.slow
def test_lists_that_are_carried_over_keep_their_fillings(shop: Shop, tmp_path: Path) -> None:
    before = _table(shop, shop.run(ORDER, last="publish"))
    gone = before["i004"][0][0]
    rows = shop.rows
    shop.write([row for row in rows if row["item_id"] != gone] + [rows[4] | {"item_id": "new"}])
    try:
        outcome = shop.run(ORDER, "neighbors.mode=new", last="publish")
        after = _table(shop, outcome)
        new = _expected(shop, oracle.Rules())["new"]
        off = shop.run("neighbors.mode=new", last="publish")
    finally:
        shop.write(rows)
    assert after.pop("new") == new
    assert new[0][1:] == (None, SAME)
    carried = {
        item: [entry for entry in best if entry[0] != gone]
        for item, best in before.items()
        if item != gone
    }
    assert after == carried
    assert outcome.counts()["filled_rows"] == K
    # Without [fallback], what filled lists is not carried over.
    record = off.record("publish")
    assert record is not None
    items = {r["item_id"] for r in read_rows(shop.store, "similar_items", record.fingerprint)}
    assert {"i004", "i017", "i033", "new"}.isdisjoint(items)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('fallback.order=["popular"]', "order: 'popular' can't be read; write \"same COLUMN by"),
        ('fallback.order=["by sold"]', "fallback.order: sold is no column .* price, stock"),
        ('fallback.order=["same maker by price"]', "fallback.order: maker is no column .* brand"),
        ('fallback.order=["by price", "by price"]', "by price is there twice"),
    ],
)
def test_a_fallback_that_makes_no_sense_is_refused(tmp_path: Path, setting: str, said: str) -> None:
    file = tmp_path / "nitamono.toml"
    file.write_text('[store]\npath = "store"\n[catalogue]\npath = "items.csv"\n')
    with pytest.raises(UsageError, match=said):
        config.load(file, (setting,), {})


def test_a_column_without_any_value_is_refused(shop: Shop) -> None:
    with pytest.raises(InputError, match=r"fallback\.order: no item .* has a locale"):
        shop.run('fallback.order=["same locale by price"]', last="publish")
