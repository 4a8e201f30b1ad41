"use strict";
// The charts of a run's page: scores, recall, and the map of items.

function drawScores(id, scores) {
  const steps = scores.histogram;
  const all = steps.reduce((sum, [, count]) => sum + count, 0);
  const fig = figure({ height: 260, x_axis_label: t("score"), y_axis_label: t("pairs") });
  const data = source({
    left: steps.map(([low]) => low), right: steps.map(([low]) => low + 0.01), top: steps.map(([, count]) => count),
    range: steps.map(([low]) => `${low.toFixed(2)} – ${(low + 0.01).toFixed(2)}`),
    count: steps.map(([, count]) => `${number(count)} (${percent(count / all)})`),
  });
  const bars = fig.quad({ left: field("left"), right: field("right"), bottom: 0, top: field("top"), source: data, fill_color: colour("accent"), line_color: colour("card") });
  fig.add_tools(new Bokeh.HoverTool({ renderers: [bars], tooltips: tooltip([`${t("score")} @range`, `${t("pairs")} @count`]) }));
  for (const [quantiles, dash, tone] of [[scores.quantiles, "solid", "text"], [scores.first, "dashed", "good"]]) {
    if (quantiles["0.5"] === undefined) continue;
    fig.add_layout(new Bokeh.Span({ location: quantiles["0.5"], dimension: "height", line_color: colour(tone), line_dash: dash, line_width: 2 }));
  }
  fig.y_range.start = 0;
  for (const axis of fig.left) axis.formatter = new Bokeh.NumeralTickFormatter({ format: "0,0" });
  draw(id, fig);
}

function drawRecall(id, recall, minimum) {
  const low = Math.min(recall.low, minimum ?? 1, recall.value);
  const start = Math.max(0, low - Math.max(0.01, (1 - low) * 0.5));
  const fig = figure({
    height: 92, x_range: new Bokeh.Range1d({ start, end: 1 + (1 - start) * 0.03 }),
    y_range: new Bokeh.Range1d({ start: -1, end: 1 }),
  });
  const tone = minimum !== null && recall.value < minimum ? "bad" : "good";
  fig.segment({ x0: recall.low, x1: recall.high, y0: 0, y1: 0, line_width: 10, line_color: colour(tone), line_alpha: 0.4, line_cap: "round" });
  fig.scatter({ x: [recall.value], y: [0], size: 13, fill_color: colour(tone), line_color: colour("card") });
  if (minimum !== null) fig.add_layout(new Bokeh.Span({ location: minimum, dimension: "height", line_color: colour("text"), line_width: 2 }));
  for (const axis of fig.left) axis.visible = false;
  for (const grid of fig.center) if (grid.dimension === 1) grid.visible = false;
  draw(id, fig);
}

// The map

const CATEGORY_COLOURS = ["#3b82c4", "#e08a1e", "#1a9e77", "#cf6fa8", "#d1532b", "#7d6bc4", "#9a7a1c", "#3aa6b9", "#a3b53a", "#a0522d", "#d94f8c", "#5b8def"];

/** The categories of the map, the largest first; those without a colour of their own together. */
const categories = (() => {
  const counts = new Map();
  for (const [place] of DATA.sample.map) {
    const name = DATA.sample.items[place][2];
    counts.set(name, (counts.get(name) || 0) + 1);
  }
  const named = [...counts].filter(([name]) => name !== null).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const first = named.slice(0, CATEGORY_COLOURS.length).map(([name, count], n) => ({ name, count, tone: CATEGORY_COLOURS[n] }));
  const rest = named.slice(CATEGORY_COLOURS.length).reduce((sum, [, count]) => sum + count, 0);
  if (rest) first.push({ name: "", count: rest, tone: "#8a929c", words: "other_categories" });
  if (counts.has(null)) first.push({ name: null, count: counts.get(null), tone: "#8a929c", words: named.length ? "without_category" : "" });
  return first;
})();
const hidden = new Set();
const map = { renderers: [], ring: null };

function drawMap(id, choose) {
  const fig = figure({
    height: Math.min(560, Math.max(340, document.getElementById(id).clientWidth * 0.6)), tools: "pan,box_zoom,wheel_zoom,reset",
    toolbar_location: "above", active_scroll: null,
  });
  fig.toolbar.logo = null;
  for (const axis of [...fig.below, ...fig.left]) axis.visible = false;
  for (const grid of fig.center) grid.visible = false;
  const categoryNumbers = new Map(categories.map((category, n) => [category.name, n]));
  const points = categories.map(() => []);
  for (const point of DATA.sample.map) {
    const name = DATA.sample.items[point[0]][2];
    points[categoryNumbers.get(name) ?? categoryNumbers.get("")].push(point);
  }
  map.renderers = [];
  // Categories without a colour of their own lie below the others.
  for (const n of [...categories.keys()].reverse()) {
    const category = categories[n];
    const items = points[n].map(([place]) => DATA.sample.items[place]);
    const data = source({
      x: points[n].map((point) => point[1]), y: points[n].map((point) => point[2]), title: items.map((item) => item[1] || item[0]),
      id: items.map((item) => item[0]), category: items.map((item) => item[2] || ""),
    });
    const renderer = fig.scatter({
      x: field("x"), y: field("y"), source: data, size: 7, fill_color: category.tone, fill_alpha: 0.75, line_color: colour("card"), line_width: 0.5,
      nonselection_fill_alpha: 0.75, nonselection_line_alpha: 1,
    });
    renderer.visible = !hidden.has(n);
    data.selected.properties.indices.change.connect(() => {
      const [index] = data.selected.indices;
      if (index !== undefined) choose(points[n][index][0]);
    });
    map.renderers[n] = renderer;
  }
  map.ring = source({ x: [], y: [] });
  fig.scatter({ x: field("x"), y: field("y"), source: map.ring, size: 17, fill_color: null, line_color: colour("text"), line_width: 3 });
  fig.add_tools(new Bokeh.HoverTool({ renderers: map.renderers, tooltips: tooltip(["<b>@title</b>", "@category", "@id"]), attachment: "vertical", limit: 3 }));
  fig.add_tools(new Bokeh.TapTool({ renderers: map.renderers }));
  draw(id, fig);
}

/** Put a ring around an item's point on the map, if it has one. */
function markOnMap(place) {
  if (!map.ring) return;
  const point = DATA.sample.map.find(([other]) => other === place);
  map.ring.data = point ? { x: [point[1]], y: [point[2]] } : { x: [], y: [] };
}

function legend() {
  return el("div", { class: "legend", role: "group", "aria-label": t("legend") }, categories.map((category, n) => {
    const button = el("button", { type: "button", "aria-pressed": String(!hidden.has(n)), onclick: () => {
      if (hidden.has(n)) hidden.delete(n); else hidden.add(n);
      button.setAttribute("aria-pressed", String(!hidden.has(n)));
      map.renderers[n].visible = !hidden.has(n);
    } }, el("span", { class: "dot", style: `background:${category.tone}` }),
    category.words === undefined ? category.name : category.words ? t(category.words) : t("items_column"), el("span", { class: "count" }, number(category.count)));
    return button;
  }));
}
