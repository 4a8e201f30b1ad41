"""Rules, from the config to the table, against brute force over all pairs."""

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from pipeline.config import reading as config
from pipeline.config.sections import Config
from pipeline.errors import InputError, UsageError
from pipeline.retrieval.quantiser import Quantiser
from pipeline.runs.record import Outcome, new_run_id
from pipeline.runs.runner import Runner
from pipeline.store.store import Store
from pipeline.terminal.progress import Progress
from tests.pipeline.places import on_disk
from tests.pipeline.retrieval import oracle
from tests.pipeline.tables import read_rows

Rows = list[dict[str, str]]
K = 5
QUANTISED = ("index.exact_below=0", "index.nlist=12", "neighbors.nprobe=1")


def random_catalogue(n: int) -> Rows:
    """A catalogue in which brands, variants, prices and stocks are shared or missing."""
    rng = np.random.default_rng(5)
    things, colours = ["靴", "帽子", "鞄", "時計", "傘"], ["赤い", "青い", "黒い", "白い"]
    rows = []
    for number in range(n):
        group, thing = rng.integers(n // 4), things[number % 5]
        rows.append(
            {
                "item_id": f"i{number:03d}",
                "title": f"{colours[group % 4]} {thing} {'軽い ' * (group % 3)}{group % 7}号",
                "category": thing if number % 17 else "",
                "group_id": f"g{group}" if group % 5 else "",
                "brand": ["", "アオキ", "bird", "Cloud"][rng.integers(4)],
                "price": ["", "0", "900", "1000", "1500", "2100"][rng.integers(6)],
                "stock": str(rng.integers(3)),
            }
        )
    return rows


class Shop:
    """A catalogue, a table for rules.deny, and a store.

    Attributes:
        more: sections that the config has at its end.
    """

    more = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(str(folder / "store"))
        self.rows: Rows = []
        self.outcome: Outcome

    def write(self, rows: Rows, denied: list[tuple[str, str]] | None = None) -> None:
        self.rows = rows
        if denied is not None:
            _write(self.folder / "deny.csv",
                   [{"item_id": a, "similar_id": b} for a, b in denied])  # fmt: skip
        _write(self.folder / "items.csv", rows)

    def settings(self, *sets: str) -> Config:
        """The config."""
        file = self.folder / "nitamono.toml"
        file.write_text(
            '[store]\npath = "store"\n[catalogue]\npath = "items.csv"\n'
            f"[model]\nepoch = 1\ndim = 12\n[neighbors]\nk = {K}\n"
            "[publish]\nmin_rows = 0\nmin_coverage = 0\nmax_churn = 1\nmax_without = 1\n"
            f"min_recall = 0\n{self.more}"
        )
        # Relative paths in --set are relative to the working directory.
        sets = tuple(value.replace("deny=", f"deny={self.folder}/") for value in sets)
        return config.load(file, sets, {})

    def run(self, *sets: str, last: str = "neighbors", **kwargs: Any) -> Outcome:
        """Run the stages up to the last one; what the other methods read is this run's."""
        self.outcome = self.runner(self.settings(*sets), **kwargs).run("ingest", last)
        return self.outcome

    @staticmethod
    def runner(settings: Config, **kwargs: Any) -> Runner:
        return Runner(settings, new_run_id(), Progress(io.StringIO()), **kwargs)

    def table(self) -> dict[str, list[tuple[str, float]]]:
        """The first K neighbours of each item: as published, or as the stage neighbors has them."""
        lists: dict[str, list[tuple[str, float]]] = {}
        if self.outcome.record("publish"):
            for row in self._rows("publish", "similar_items"):
                lists.setdefault(row["item_id"], []).append((row["similar_id"], row["score"]))
            return lists
        for row in self._rows("neighbors", "neighbors"):
            if row["neighbors"]:
                best = row["neighbors"][:K]
                lists[row["item_id"]] = [(one["similar_id"], one["score"]) for one in best]
        return lists

    def short(self) -> dict[str, tuple[int, str]]:
        return {
            row["item_id"]: (row["neighbors"], row["reason"])
            for row in self._rows("neighbors", "short_lists")
        }

    def _rows(self, stage: str, table: str) -> list[dict[str, Any]]:
        record = self.outcome.record(stage)
        assert record is not None
        return read_rows(self.store, table, record.version(table))

    def vectors(self) -> np.ndarray:
        """The vectors of the rows, in their order."""
        vectors = {row["item_id"]: row["vector"] for row in self._rows("embed", "embeddings")}
        return np.array([vectors[row["item_id"]] for row in self.rows], dtype=np.float32)

    def column(self, name: str) -> list[str | None]:
        return [row[name] or None for row in self.rows]

    def prices(self) -> list[float | None]:
        return [float(row["price"]) if row["price"] else None for row in self.rows]

    def expected(
        self, rules: oracle.Rules, allowed: np.ndarray, asks: np.ndarray | None = None
    ) -> dict[str, list[tuple[str, float]]]:
        """The table by brute force."""
        ids = [row["item_id"] for row in self.rows]
        neighbors = oracle.neighbors(ids, self.vectors(), K, allowed, rules)
        queries = set(ids) if asks is None else {ids[n] for n in np.flatnonzero(asks)}
        return {item: best for item, best in neighbors.items() if item in queries}


def _write(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


DENIED = [(f"i{n % 150:03d}", f"i{n * 7 % 150:03d}" if n % 9 else "") for n in range(300)]


@pytest.fixture(scope="module")
def first(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("rules"))
    shop.write(random_catalogue(150), DENIED)
    shop.run(last="publish")
    return shop


@pytest.fixture
def shop(first: Shop, tmp_path: Path) -> Iterator[Shop]:
    """A copy of it, after a run without rules."""
    shutil.copytree(first.folder, tmp_path / "shop")
    copy = Shop(tmp_path / "shop")
    copy.rows, copy.outcome = [dict(row) for row in first.rows], first.outcome
    yield copy


def everything(shop: Shop) -> np.ndarray:
    return np.ones((len(shop.rows), len(shop.rows)), dtype=bool)


def denied_pairs() -> set[tuple[str, str]]:
    return {(a, b) for a, b in DENIED if b}


def shown(shop: Shop) -> np.ndarray:
    """Which items are not denied to all others."""
    alone = {a for a, b in DENIED if not b}
    return np.array([row["item_id"] not in alone for row in shop.rows])


def test_eligible_and_query_and_same(shop: Shop) -> None:
    shop.run("rules.eligible=stock > 0", "rules.query=brand <> 'bird' or brand is null",
             'rules.same=["category"]')  # fmt: skip
    category = np.array([row["category"] for row in shop.rows])
    stock = np.array([int(row["stock"]) for row in shop.rows])
    asks = np.array([row["brand"] != "bird" for row in shop.rows])
    allowed = (category[:, None] == category[None, :]) & (stock > 0)[None, :]
    expected = shop.expected(oracle.Rules(), allowed, asks)
    assert shop.table() == expected
    # Of those without a category there are too few.
    few = {item: len(best) for item, best in expected.items() if len(best) < K}
    assert few
    assert shop.short() == {item: (n, "few_eligible") for item, n in few.items()}


def test_prices_scores_and_denied_pairs_and_items(shop: Shop) -> None:
    outcome = shop.run("rules.price_ratio=[0.5, 2.0]", "rules.min_score=0.2",
                       "rules.max_score=0.98", "rules.deny=deny.csv")  # fmt: skip
    rules = oracle.Rules((0.5, 2.0), shop.prices(), low=0.2, high=0.98, denied=denied_pairs())
    allowed = everything(shop) & shown(shop)[None, :]
    expected = shop.expected(rules, allowed)
    assert shop.table() == expected
    assert expected != shop.expected(oracle.Rules(), allowed)
    record = outcome.record("neighbors")
    assert record is not None
    assert record.outputs["recall"]["value"] == 1.0


def test_variants_and_caps(shop: Shop) -> None:
    sets = ("rules.collapse=group_id", "rules.max_per={brand = 2, category = 3}")
    outcome = shop.run(*sets, last="publish")
    caps = [(shop.column("brand"), 2), (shop.column("category"), 3)]
    rules = oracle.Rules(group=shop.column("group_id"), caps=caps)
    assert shop.table() == shop.expected(rules, everything(shop))
    record = outcome.record("neighbors")
    assert record is not None
    assert record.outputs["recall"]["value"] == 1.0
    assert record.outputs["recall"]["queries"] == 150
    full = {item for item, best in shop.table().items() if len(best) == K}
    assert shop.short() == {
        row["item_id"]: (len(shop.table().get(row["item_id"], [])), "rules")
        for row in shop.rows
        if row["item_id"] not in full
    }


@pytest.mark.processes
def test_items_with_short_lists_probe_more_lists_up_to_a_limit(shop: Shop) -> None:
    rules = oracle.Rules((0.7, 1.4), shop.prices(), group=shop.column("group_id"))
    sets = (*QUANTISED, "rules.price_ratio=[0.7, 1.4]", "rules.collapse=group_id")
    for most, widths in ((0, [1, 4, 12]), (3, [1, 3])):
        outcome = shop.run(*sets, f"neighbors.max_probes={most}")
        index = outcome.record("index")
        assert index is not None
        lists = Quantiser(np.load(on_disk(shop.store.quantisers.path(index.outputs["quantiser"]))))
        expected: dict[str, list[tuple[str, float]]] = {}
        for width in widths:
            probes = lists.probe(shop.vectors(), width)
            allowed = (probes[:, 0][None, None, :] == probes[:, :, None]).any(axis=1)
            for item, best in shop.expected(rules, allowed).items():
                if len(expected.get(item, [])) < K:
                    expected[item] = best
        assert shop.table() == expected
        assert len(shop.short()) == sum(len(expected.get(r["item_id"], [])) < K for r in shop.rows)


@pytest.mark.processes
def test_lists_that_are_carried_over_hold_eligible_items_only(shop: Shop) -> None:
    before = shop.table()
    shop.write([*shop.rows, shop.rows[5] | {"item_id": "new"}])
    shop.run("neighbors.mode=new", "rules.eligible=stock > 0", "rules.query=category <> '傘'",
             "rules.deny=deny.csv", last="publish")  # fmt: skip
    stock = {row["item_id"]: int(row["stock"]) for row in shop.rows}
    alone = {a for a, b in DENIED if not b}
    expected = {
        row["item_id"]: [
            pair
            for pair in before[row["item_id"]]
            if stock[pair[0]] > 0 and pair[0] not in alone
            and (row["item_id"], pair[0]) not in denied_pairs()
        ]
        for row in shop.rows[:-1]
        if row["category"] and row["category"] != "傘"
    }  # fmt: skip
    after = shop.table()
    new_neighbors = after.pop("new")
    assert after == {item: best for item, best in expected.items() if best}
    assert after != before
    assert all(stock[other] > 0 for other, _ in new_neighbors)


RULES = ("rules.eligible=stock > 0", "rules.collapse=group_id", "rules.price_ratio=[0.5, 2]",
         "rules.deny=deny.csv")  # fmt: skip


@pytest.mark.parametrize(
    "sets",
    [
        (
            *RULES,
            "neighbors.reserve=1",
            "rules.min_score=0.5",
            'fallback.order=["same category by stock", "by price"]',
        ),
        (*QUANTISED, *RULES[2:], "rules.max_per={brand=2}", 'rules.same=["category"]'),
    ],
)
@pytest.mark.slow
def test_a_run_after_prices_and_stocks_have_changed_gives_what_a_full_run_gives(
    shop: Shop, tmp_path: Path, sets: tuple[str, ...]
) -> None:
    shop.run(*sets, last="publish")
    before = shop.table()
    changed = [dict(row) for row in shop.rows if row["item_id"] != "i017"]
    for row in changed[3:60:9]:
        row |= {"price": "1500", "stock": str(int(row["stock"]) ^ 1), "brand": "Cloud"}
    changed[70]["title"] = "新しい 傘"
    shop.write([*changed, changed[5] | {"item_id": "new"}], [*DENIED[5:], ("i005", "i001")])
    shutil.copytree(shop.folder, tmp_path / "copy")
    full = Shop(tmp_path / "copy")
    outcome = shop.run(*sets, last="publish")
    record = outcome.record("neighbors")
    assert record is not None
    assert record.outputs["base"], record.outputs["why"]
    full.run(*sets, last="publish", full=True)
    assert shop.table() == full.table()
    assert shop.short() == full.short()
    assert shop.table() != before
    filled = [some._rows("publish", "similar_items") for some in (shop, full)]
    assert sorted(map(str, filled[0])) == sorted(map(str, filled[1]))
    assert any(row.get("reason") for row in filled[0]) == ("neighbors.reserve=1" in sets)
    # Only the rows were written whose vector or traits have changed.
    assert len(shop.store.open_files("candidates", record.fingerprint).layers) == 2
    candidates = [
        sorted(str(row) for row in some._rows("neighbors", "candidates")) for some in (shop, full)
    ]
    assert candidates[0] == candidates[1]


@pytest.mark.parametrize(
    ("rule", "error", "said"),
    [
        (
            "rules.eligible=stok > 0",
            UsageError,
            "rules.eligible: not a condition: stok is no",
        ),
        ("rules.query=stock >", UsageError, "rules.query: not a condition: "),
        ('rules.same=["locale"]', InputError, "rules.same: no item of the catalogue has a locale"),
        ("rules.deny=none.csv", InputError, "rules.deny .*none.csv: no such file"),
        ("rules.deny=items.csv", InputError, ""),
    ],
)
def test_rules_that_can_not_be_followed_are_refused(
    shop: Shop, rule: str, error: type[Exception], said: str
) -> None:
    if not said:
        (shop.folder / "bad.csv").write_text("item_id,similar_id\n,i001\ni002,i003\n")
        rule, said = "rules.deny=bad.csv", "rules.deny .*bad.csv: 1 rows have no item_id"
    with pytest.raises(error, match=said):
        shop.run(rule)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("rules.price_ratio=[2.0]", "two numbers"),
        ("rules.price_ratio=[2.0, 0.5]", "two numbers"),
        ("rules.min_score=2", "less than or equal to 1"),
        ("rules.max_per={brand = 0}", "greater than or equal to 1"),
        ("rules.max_per={maker = 2}", "maker"),
        ("rules.collapse=maker", "rules.collapse"),
    ],
)
def test_rules_that_make_no_sense_are_refused(tmp_path: Path, rule: str, said: str) -> None:
    file = tmp_path / "nitamono.toml"
    file.write_text('[store]\npath = "store"\n[catalogue]\npath = "items.csv"\n')
    with pytest.raises(UsageError, match=said):
        config.load(file, (rule,), {})
