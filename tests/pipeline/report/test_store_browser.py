"""The page of a store in Chromium."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from pipeline.report import store_page
from tests.pipeline.places import on_disk
from tests.pipeline.report import nights
from tests.pipeline.report.test_browser import clean, until

pytestmark = pytest.mark.processes

CHARTS: tuple[str, ...] = ("recall", "churn", "coverage", "quarantined", "items", "rows", "time")
CHARTS += ("table_bytes", "written_bytes")
# Where the sign of a night is on the screen.
SIGN = """([chart, night]) => {
  const view = [...Bokeh.index.roots].find((root) => root.el.closest(`#${chart}-chart`));
  const inner = view.el.getBoundingClientRect();
  const run = NIGHTS[night];
  return {x: inner.left + view.frame.x_scale.compute(night),
          y: inner.top + view.frame.y_scale.compute(run[chart])};
}"""


def page_of(folder: Path, runs: list[dict[str, Any]]) -> Path:
    return on_disk(store_page.write(nights.make_store(folder, runs)))


def test_thirty_nights_have_their_charts_in_both_languages_and_themes(tmp_path: Path) -> None:
    runs = [nights.night(n) for n in range(1, 31)]
    runs[8], runs[14] = nights.failed(9), nights.held_back(15)
    file = page_of(tmp_path, runs)
    with clean(file, locale="ja-JP", color_scheme="dark") as window:
        assert "前回の実行：公開済み" in window.texts("h1")[0]
        for name in CHARTS:
            expect(window.page.locator(f"#{name}-chart canvas").first).to_be_visible()
        window.page.locator("#language").click()
        window.page.locator("#theme").click()
        assert "Last night: Published" in window.texts("h1")[0]
        until(window.page, f"chartViews.size === {len(CHARTS)}")
        # The figures of the last night beside those of the nights before.
        assert window.texts("#main .tile .big")[0] == "0.9838"
        assert "median of the nights before: " in window.texts("#main .tile .more")[0]
        assert [text.split(":")[0] for text in window.texts("#why .note")] == [
            "night015",
            "night009",
        ]
        links = window.page.locator("#nights a")
        assert links.count() == 30
        links.nth(15).click()
        assert window.texts("h1") == ["night015"]


def test_a_sign_opens_the_page_of_its_run(tmp_path: Path) -> None:
    runs = [nights.night(n) for n in range(1, 6)]
    with clean(page_of(tmp_path, runs)) as window:
        page = window.page
        expect(page.locator("#churn-chart canvas").first).to_be_visible()
        page.wait_for_timeout(500)
        page.locator("#churn").scroll_into_view_if_needed()
        place = page.evaluate(SIGN, ["churn", 2])
        page.mouse.move(place["x"], place["y"])
        expect(page.locator(".bk-Tooltip, .tip").first).to_be_attached()
        page.mouse.click(place["x"], place["y"])
        expect(page.locator("h1")).to_have_text("night003")


def test_nights_that_failed_have_no_figures_and_experiments_no_place(tmp_path: Path) -> None:
    runs = [nights.night(n) for n in range(1, 6)]
    # It has measured all, and then it failed.
    runs[2] = nights.night(3, status="failed", message="the disk is full", published=None)
    runs[2]["counts"]["items"] = 10_000_000
    runs[3] = nights.night(4, status="failed", message="tried", publishing=False, published=None)
    limit = {"settings": {**runs[4]["settings"], "expect": {"max_quarantined": 0.05}}}
    runs[4] |= limit
    with clean(page_of(tmp_path, runs)) as window:
        page = window.page
        assert page.evaluate("NIGHTS.map((night) => night.run_id)") == [
            *("night001", "night002", "night003", "night005")
        ]
        drawn = "chartViews.get('items-chart').model.renderers.map((r) => r.data_source.data)"
        until(page, "chartViews.has('items-chart')")
        line, published, failed = page.evaluate(
            f"{drawn}.map((data) => [[...data.x], [...data.y].map((y) => isNaN(y) ? null : y)])"
        )
        items = [runs[n]["counts"]["items"] for n in (0, 1, 4)]
        assert line == [[0, 1, 2, 3], [*items[:2], None, items[2]]]
        assert published == [[0, 1, 3], items]
        assert failed[0] == [2]
        assert failed[1][0] < min(items)
        assert "Above 5.0% the run fails." in window.texts("#quarantined .hint")[0]
        assert "the disk is full" in window.texts("#why .note")[1]


@pytest.mark.parametrize(
    ("runs", "title", "charts"),
    [
        ([nights.night(1)], "Last night: Published", 9),
        ([nights.failed(1)], "Last night: Failed", 1),
        ([nights.night(1, status="done", published=None)], "No night yet", 0),
        ([], "No night yet", 0),
    ],
    ids=["one", "failed", "experiment", "none"],
)
def test_few_nights_have_a_page_too(
    runs: list[dict[str, Any]], title: str, charts: int, tmp_path: Path
) -> None:
    with clean(page_of(tmp_path, runs), viewport={"width": 400, "height": 800}) as window:
        assert title in window.texts("h1")[0]
        window.page.wait_for_timeout(500)
        assert window.page.locator(".chart canvas").count() >= charts
        assert window.page.locator(".chart").count() == charts
        assert window.page.evaluate("document.documentElement.scrollWidth") == 400
