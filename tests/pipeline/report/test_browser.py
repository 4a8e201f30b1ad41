"""The page in Chromium: of a real run, and of what is odd."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect
from pyspark.sql import SparkSession

from pipeline.report import projection, run_page
from pipeline.retrieval.vectors import Float32
from pipeline.runs.record import Outcome
from pipeline.store.stage_record import StageRecord
from pipeline.store.store import Store
from tests.browser import Opened, opened
from tests.pipeline.places import on_disk
from tests.pipeline.report import handmade
from tests.pipeline.report.scripts import Scripts
from tests.pipeline.sample_shop import SAMPLES, SampleShop, head

pytestmark = pytest.mark.processes

ITEMS = 300
# Where the points of the map are on the screen.
POINTS = """() => {
  const view = Object.values(Bokeh.index.roots ? [...Bokeh.index.roots] : Bokeh.index)
    .find((root) => root.el.closest("#map-chart"));
  const box = document.getElementById("map-chart").getBoundingClientRect();
  const inner = view.el.getBoundingClientRect();
  const [xs, ys] = [view.frame.x_scale, view.frame.y_scale];
  return DATA.sample.map.map(([place, x, y]) => ({
    title: DATA.sample.items[place][1],
    x: inner.left + xs.compute(x), y: inner.top + ys.compute(y), top: box.top}));
}"""


@contextmanager
def clean(file: Path, **context: Any) -> Iterator[Opened]:
    """An open page; at the end it must have loaded nothing and logged no error."""
    context = {"locale": "en-US", "color_scheme": "light"} | context
    with opened(file, **context) as window:
        yield window
        assert window.errors == []
        assert window.requests == []


@pytest.fixture(scope="module")
def run(
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
    real_map: Callable[[Float32], Float32],
) -> Iterator[tuple[SampleShop, Outcome]]:
    """A run over the first sample items, with a real map on its page."""
    folder = tmp_path_factory.mktemp("shop")
    shop = SampleShop(folder, head(SAMPLES / "night1.csv", folder / "night1.csv", ITEMS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "project", real_map)
        yield shop, shop.run()


def page_of(run: tuple[SampleShop, Outcome]) -> Path:
    shop, outcome = run
    return on_disk(shop.store.run_path(outcome.run_id)) / run_page.FILE_NAME


def write_page(folder: Path, run_json: dict[str, Any]) -> Path:
    """The page of a run without a table of examples."""
    store = handmade.make_store(folder, run_json, None)
    return on_disk(run_page.write(store, handmade.RUN, 10))


def record(run: tuple[SampleShop, Outcome], stage: str) -> StageRecord:
    window = run[1].record(stage)
    assert window is not None
    return window


def rows_of(run: tuple[SampleShop, Outcome], table: str, stage: str) -> list[dict[str, Any]]:
    window: list[dict[str, Any]] = pq.read_table(
        run[0].store.table_path(table, record(run, stage).fingerprint)
    ).to_pylist()
    return window


def test_the_examples_are_what_the_other_tables_say(run: tuple[SampleShop, Outcome]) -> None:
    examples = rows_of(run, "examples", "publish")
    about = {row["item_id"]: row for row in rows_of(run, "items", "ingest")}
    tokens = {row["item_id"]: row for row in rows_of(run, "tokens", "tokenize")}
    halves = {row["item_id"]: row["half"] for row in rows_of(run, "embeddings", "embed")}
    lists: dict[str, list[tuple[str, float]]] = {}
    for row in rows_of(run, "similar_items", "publish"):
        lists.setdefault(row["item_id"], []).append((row["similar_id"], row["score"]))
    assert [row["item_id"] for row in examples] == sorted(about)
    for row in examples:
        item = row["item_id"]
        for name in ("title", "category", "brand", "image_url"):
            assert row[name] == about[item][name]
        for name in ("title_tokens", "description_tokens"):
            assert row[name] == tokens[item][name]
        assert row["half"] == halves[item]
        best = [(entry["similar_id"], entry["score"]) for entry in row["neighbors"] or ()]
        assert best == (lists.get(item, []) if row["shown"] else [])
    assert sum(row["shown"] for row in examples) >= 290


def test_the_verdict_and_the_figures_are_the_run_s(run: tuple[SampleShop, Outcome]) -> None:
    with clean(page_of(run)) as window:
        assert window.texts("h1") == ["✓\nPublished"]
        recall = record(run, "neighbors").outputs["recall"]["value"]
        assert f"{recall:.4f}" in window.texts(".tile .big")
        expect(window.page.locator(".checks li")).to_have_count(4)
        assert window.texts(".checks .mark-good") == ["✓ passed"] * 4
        # Every chart has drawn something.
        ids = ["flow", "time", "recall", "scores", "map"]
        for name in ids:
            expect(window.page.locator(f"#{name}-chart canvas").first).to_be_visible()
        for name in ("flow", "time"):
            window.page.locator(f"#{name} summary").click()
        items = record(run, "ingest").tables["items"]
        assert ["Items", f"{items:,}"] in [text.split("\t") for text in window.texts("#flow tr")]
        assert window.texts("#time tbody td:first-child") == [name for name, _, _ in run[1].stages]


def test_items_are_found_by_id_and_title_and_their_neighbours_can_be_gone_to(
    run: tuple[SampleShop, Outcome],
) -> None:
    lists: dict[str, list[dict[str, Any]]] = {}
    for row in rows_of(run, "similar_items", "publish"):
        lists.setdefault(row["item_id"], []).append(row)
    titles = {row["item_id"]: row["title"] for row in rows_of(run, "items", "ingest")}
    shown = {row["item_id"] for row in rows_of(run, "examples", "publish") if row["shown"]}
    item = next(i for i in sorted(shown) if lists.get(i, [{}])[0].get("similar_id") in shown)
    first = lists[item][0]
    with clean(page_of(run)) as window:
        search = window.page.get_by_label("Search by id or title")
        search.fill(item.lower())
        assert window.texts("#results .id") == [item]
        window.page.locator("#results button").click()
        assert window.texts("#item-title") == [titles[item]]
        neighbours = window.texts("#item .neighbours .line .score")
        assert neighbours == [f"{row['score']:.3f}" for row in lists[item]]
        tokens = {row["item_id"]: row for row in rows_of(run, "tokens", "tokenize")}
        item_tokens, other_tokens = (
            f"{tokens[i]['title_tokens']} {tokens[i]['description_tokens']}".split()
            for i in (item, first["similar_id"])
        )
        marked = window.texts("#item .neighbours > li:first-child mark")
        assert marked == [token for token in other_tokens if token in item_tokens]
        # By keyboard.
        link = window.page.locator("#item .neighbours > li:first-child button")
        link.focus()
        window.page.keyboard.press("Enter")
        assert window.texts("#item-title") == [titles[first["similar_id"]]]
        search.fill(titles[first["similar_id"]])
        assert first["similar_id"] in window.texts("#results .id")
        search.fill("no such item anywhere")
        assert window.texts("#match-count") == ["Nothing found among these items."]


def test_a_pointer_on_the_map_shows_a_title_and_a_click_the_item(
    run: tuple[SampleShop, Outcome],
) -> None:
    with clean(page_of(run)) as window:
        page = window.page
        expect(page.locator("#map-chart canvas").first).to_be_visible()
        page.locator("#map").scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        points = page.evaluate(POINTS)
        middle = np.array([[p["x"], p["y"]] for p in points])
        assert np.ptp(middle, axis=0).min() > 200
        # The one that has the most room around it.
        apart = np.linalg.norm(middle[:, None] - middle, axis=2) + np.eye(len(middle)) * 1e6
        point = points[int(apart.min(axis=1).argmax())]
        page.mouse.move(point["x"] - 3, point["y"])
        page.mouse.move(point["x"], point["y"])
        tip = page.locator(".tip").filter(has_text=point["title"])
        expect(tip.first).to_be_visible()
        page.mouse.click(point["x"], point["y"])
        expect(page.locator("#item-title")).to_have_text(point["title"])
        shown = page.locator(".legend button").first
        shown.click()
        expect(shown).to_have_attribute("aria-pressed", "false")


def background(page: Page) -> int:
    """How bright the page's ground is, 0 to 765."""
    return int(
        page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3)"
            ".reduce((sum, part) => sum + Number(part), 0)"
        )
    )


def until(page: Page, condition: str) -> None:
    """Wait until something holds; Playwright's own waiting needs eval, which the page forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {condition}")


def test_language_and_theme_are_the_reader_s_and_can_be_switched(
    run: tuple[SampleShop, Outcome],
) -> None:
    with clean(page_of(run), locale="ja-JP", color_scheme="dark") as window:
        page = window.page
        assert "公開済み" in window.texts("h1")[0]
        assert page.locator("html").get_attribute("lang") == "ja"
        assert background(page) < 150
        page.locator("#language").click()
        assert "Published" in window.texts("h1")[0]
        page.locator("#theme").click()
        assert background(page) > 600
        page.emulate_media(color_scheme="light")
        page.emulate_media(color_scheme="dark")
        until(page, "document.documentElement.dataset.theme === 'dark'")
        assert background(page) < 150
        page.locator("#language").click()
        # Drawn again and again, each chart is there once.
        expect(page.locator("#scores-chart canvas").first).to_be_visible()
        until(page, "chartViews.size === 5 && Bokeh.documents.length === 5")
        expect(page.locator("#scores-chart .bk-Figure")).to_have_count(1)


def test_a_narrow_screen_needs_no_scrolling_sideways(run: tuple[SampleShop, Outcome]) -> None:
    with clean(page_of(run), viewport={"width": 400, "height": 800}) as window:
        expect(window.page.locator("#map-chart canvas").first).to_be_visible()
        window.page.wait_for_timeout(300)
        assert window.page.evaluate("document.documentElement.scrollWidth") == 400


ODD = ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "\u2028'\"&amp;", "🎎"]


def test_odd_texts_are_shown_as_they_are(tmp_path: Path) -> None:
    rows = [
        handmade.example(f"{text}|{n}", text, category=text, title_tokens=text, image_url=address)
        for n, (text, address) in enumerate(
            zip(
                ODD,
                ["javascript:alert(1)", "https://e.example/a.jpg", "data:,x", None],
                strict=True,
            )
        )
    ]
    best = [{"similar_id": row["item_id"], "score": 0.5} for row in rows[1:]]
    rows[0]["neighbors"] = best
    store = handmade.make_store(tmp_path, handmade.run_json(message=ODD[0]), rows)
    with clean(on_disk(run_page.write(store, handmade.RUN, 10))) as window:
        dialogs: list[str] = []
        window.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        assert window.texts("#item-title") == [ODD[0]]
        assert window.page.locator("#item-title").text_content() == ODD[0]
        links = window.page.locator("#item a[target]")
        assert [link.get_attribute("href") for link in links.all()] == ["https://e.example/a.jpg"]
        assert "javascript:alert(1)" in window.texts("#item .facts dd")
        expect(window.page.locator(".message p")).to_have_text(ODD[0])
        window.page.locator("#results button").nth(1).click()
        assert window.texts("#item .note") == ["This item has no neighbour in the table."]
        assert dialogs == []


@pytest.mark.parametrize("count", [0, 1])
def test_a_catalogue_of_nothing_or_one_item_has_a_page(tmp_path: Path, count: int) -> None:
    quality = {
        "coverage": 0.0,
        "scores": {"quantiles": {}, "first": {}, "histogram": []},
        "hubs": {"most_shown": None, "never_shown": count, "gini": 0.0},
        "sampled_one_in": 1,
        "same_category": None,
        "duplicates_shown": 0.0,
    }
    counts = {"rows_read": count, "items": count, "quarantined": 0, "vectors": count, "rows": 0}
    gate = {"items_asked": count, "items_without_neighbors": count, "against": None}
    recall = {"value": 1.0, "low": 0.0, "high": 1.0, "queries": 0, "k": 10}
    content = handmade.run_json(counts=counts | {"quality": quality, "gate": gate}, recall=recall)
    store = handmade.make_store(tmp_path, content, [handmade.example("a", "one")] * count)
    with clean(on_disk(run_page.write(store, handmade.RUN, 10))) as window:
        assert "Published" in window.texts("h1")[0]
        assert window.texts("#item-title") == ["one"] * count
        assert window.page.locator("#map-chart").count() == 0


def test_reasons_boosts_and_new_items_are_told_in_both_languages(tmp_path: Path) -> None:
    content = handmade.run_json()
    content["settings"]["rank"] = {
        "same": {"category": 0.05}, "price": {"weight": -0.1, "half": 2.0}, "value": {"sold": 0.1},
        "fresh": {"column": "released", "weight": 0.05, "half_days": 30.0, "date": ""},
        "exposure": 0.25, "diversity": 0.3, "depth": 0,
    }  # fmt: skip
    new = {"items": 40, "mean_lists": 11.225, "mean_lists_of_others": None}
    content["counts"]["quality"]["hubs"]["new_items"] = new
    pairs = [{"similar_id": "b", "score": 0.5, "shared_words": ["靴", "<b>"]},
             {"similar_id": "c", "score": 0.4, "shared_words": []}]  # fmt: skip
    rows = [handmade.example("a", "one", neighbors=pairs)]
    rows += [handmade.example(name, name) for name in "bc"]
    path = on_disk(run_page.write(handmade.make_store(tmp_path, content, rows), handmade.RUN, 0))
    with clean(path) as window:
        (hubs,) = window.texts("#hubs")
        for words in (
            "+0.05 for the same category", "−0.1 for the same price (half of it at 2 times",
            "up to +0.1 the greater sold", "+0.05 on the day of released (half of it after 30",
            "−0.25 times the mean cosine", "diversity with a weight of 0.3",
            "11.23", "of 40 items", "other items: –",
        ):  # fmt: skip
            assert words in hubs
        (items,) = window.texts("#item")
        assert items.count("Because both are") == 1
        assert "Because both are: 靴 and <b>" in items
        window.page.locator("#language").click()
        (hubs,) = window.texts("#hubs")
        assert "category が同じなら +0.05、" in hubs
        assert "多様性の重み 0.3" in hubs
        assert "前回公開分にない商品 40 件の平均" in hubs
        assert "おすすめの理由：どちらも 靴、<b>" in window.texts("#item")[0]
    with clean(write_page(tmp_path / "other", handmade.run_json())) as window:
        assert "their cosine alone" in window.texts("#hubs")[0]
        assert "new item" not in window.texts("#hubs")[0]


def test_of_a_run_that_failed_early_the_page_says_why(tmp_path: Path) -> None:
    content = handmade.run_json(
        status="failed",
        message="catalogue.path /x.csv: no such file",
        counts={},
        recall=None,
        stages=[],
        fingerprints={},
        published=None,
    )
    with clean(write_page(tmp_path, content)) as window:
        assert "Failed" in window.texts("h1")[0]
        assert window.texts(".message p") == ["catalogue.path /x.csv: no such file"]
        assert window.texts("main > section h2:not(.message h2)")[-1] == "Settings"
        assert window.page.locator("#scores, #flow, #items").count() == 0


def test_a_table_that_was_held_back_names_the_figure(tmp_path: Path) -> None:
    content = handmade.run_json(
        status="held_back", message="the table is held back: ...", published=None
    )
    content["counts"]["gate"]["churn"] = 0.8
    with clean(write_page(tmp_path, content)) as window:
        assert "Held back" in window.texts("h1")[0]
        assert window.texts(".checks li.bad .what") == ["Neighbours replaced"]
        assert window.texts(".checks li.bad .value") == ["80.0%"]
        assert window.texts(".tile.bad .big") == ["80.0%"]


def test_what_fills_a_list_is_counted_and_has_no_score(tmp_path: Path) -> None:
    neighbors = [{"similar_id": "b", "score": 0.5}, {"similar_id": "c", "score": None}]
    rows = [handmade.example(item, item, neighbors=neighbors if item == "a" else [])
            for item in "abc"]  # fmt: skip
    store = handmade.make_store(tmp_path, handmade.run_json(), rows)
    with clean(on_disk(run_page.write(store, handmade.RUN, 10))) as window:
        assert window.texts("#item .score") == ["0.500", "filled in"]
        assert "1 of these lists are filled with 10 items" in window.texts("#coverage")[0]
        assert ["same category by sold", "8"] in [
            row.locator("td").all_text_contents()
            for row in window.page.locator("#coverage tr").all()
        ]


def test_the_data_of_a_page_are_those_of_json(run: tuple[SampleShop, Outcome]) -> None:
    shop, outcome = run
    store: Store = shop.store
    content = run_page.page_data(store, outcome.run_id, 1500)
    scripts = Scripts(page_of(run).read_text(encoding="utf-8"))
    assert json.loads(dict(scripts.texts)["data"]) == json.loads(json.dumps(content))
    assert content["run"]["version"] == outcome.version
