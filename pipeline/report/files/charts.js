"use strict";
// The charts, by BokehJS; drawn anew when the theme or the language changes.

const FONT = "system-ui, 'Hiragino Sans', 'Noto Sans CJK JP', 'Noto Sans JP', 'Yu Gothic UI', Meiryo, sans-serif";
const drawn = new Map();
const asked = new Map();
let finished = Promise.resolve();

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** An element that holds a chart; without one for the eye, its name tells what it is. */
const chart = (id, name) => el("div", { class: "chart", id, role: "img", "aria-label": t("chart", { name }) });

function figure(options) {
  const made = Bokeh.Plotting.figure({
    sizing_mode: "stretch_width", tools: "", toolbar_location: null, min_border_right: 12,
    background_fill_color: null, border_fill_color: null, outline_line_color: null, ...options,
  });
  for (const axis of [...made.below, ...made.left]) {
    axis.setv({
      axis_line_color: colour("line"), major_tick_line_color: colour("line"), minor_tick_line_color: null,
      major_label_text_color: colour("text"), major_label_text_font: FONT, major_label_text_font_size: "13px",
      axis_label_text_color: colour("muted"), axis_label_text_font: FONT, axis_label_text_font_size: "13px",
      axis_label_text_font_style: "normal",
    });
  }
  for (const grid of made.center) grid.setv({ grid_line_color: colour("line"), grid_line_alpha: 0.7 });
  return made;
}

/** Let go of a chart that was shown. */
function remove(view) {
  if (!view) return;
  const { document } = view.model;
  view.remove();
  document.clear();
  Bokeh.documents.splice(Bokeh.documents.indexOf(document), 1);
}

/** Show a chart in its element; of several that were asked for meanwhile the last. */
function draw(id, fig) {
  asked.set(id, fig);
  finished = finished.then(async () => {
    const target = document.getElementById(id);
    if (asked.get(id) !== fig || !target) return;
    remove(drawn.get(id));
    target.replaceChildren();
    drawn.set(id, await Bokeh.Plotting.show(fig, target));
  });
}

const source = (data) => new Bokeh.ColumnDataSource({ data });
const field = (name) => ({ field: name });
// Bokeh shows it in a shadow tree, where the page's rules do not hold, but its colours do.
const TIP = `margin:-5px;padding:7px 10px;max-width:280px;white-space:normal;color:var(--text);background:var(--card);font:13px/1.45 ${FONT}`;
const tooltip = (lines) => `<div class="tip" style="${TIP}">${lines.map((line) => `<div>${line}</div>`).join("")}</div>`;

/** Pixels that the longest of some texts takes in a chart. */
function longest(texts) {
  const context = document.createElement("canvas").getContext("2d");
  context.font = `13px ${FONT}`;
  return Math.max(0, ...texts.map((text) => context.measureText(text).width));
}

/** Bars that lie, each with a text at its end. rows: {label, value, text, pale, tone}. */
function drawBars(id, rows) {
  const most = Math.max(1e-9, ...rows.map((row) => row.value));
  const room = document.getElementById(id).clientWidth - longest(rows.map((row) => row.label)) - 40;
  const bars = Math.max(room * 0.25, room - longest(rows.map((row) => row.text)) - 16);
  const fig = figure({
    height: 34 * rows.length + 20,
    y_range: new Bokeh.FactorRange({ factors: rows.map((row) => row.label).reverse() }),
    x_range: new Bokeh.Range1d({ start: 0, end: (most * room) / bars }),
  });
  const data = source({
    label: rows.map((row) => row.label), value: rows.map((row) => row.value), text: rows.map((row) => row.text),
    fill: rows.map((row) => colour(row.pale ? "pale" : row.tone || "accent")),
  });
  fig.hbar({ y: field("label"), right: field("value"), left: 0, height: 0.62, source: data, fill_color: field("fill"), line_color: null });
  fig.text({
    x: field("value"), y: field("label"), text: field("text"), source: data, x_offset: 6,
    text_baseline: "middle", text_color: colour("text"), text_font: FONT, text_font_size: "13px",
  });
  for (const axis of fig.below) axis.visible = false;
  for (const axis of fig.left) axis.setv({ axis_line_color: null, major_tick_line_color: null });
  for (const grid of fig.center) grid.visible = false;
  draw(id, fig);
}

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

function drawRecall(id, recall, least) {
  const low = Math.min(recall.low, least ?? 1, recall.value);
  const start = Math.max(0, low - Math.max(0.01, (1 - low) * 0.5));
  const fig = figure({
    height: 92, x_range: new Bokeh.Range1d({ start, end: 1 + (1 - start) * 0.03 }),
    y_range: new Bokeh.Range1d({ start: -1, end: 1 }),
  });
  const tone = least !== null && recall.value < least ? "bad" : "good";
  fig.segment({ x0: recall.low, x1: recall.high, y0: 0, y1: 0, line_width: 10, line_color: colour(tone), line_alpha: 0.4, line_cap: "round" });
  fig.scatter({ x: [recall.value], y: [0], size: 13, fill_color: colour(tone), line_color: colour("card") });
  if (least !== null) fig.add_layout(new Bokeh.Span({ location: least, dimension: "height", line_color: colour("text"), line_width: 2 }));
  for (const axis of fig.left) axis.visible = false;
  for (const grid of fig.center) if (grid.dimension === 1) grid.visible = false;
  draw(id, fig);
}

// The map

const CATEGORY_COLOURS = ["#3b82c4", "#e08a1e", "#1a9e77", "#cf6fa8", "#d1532b", "#7d6bc4", "#9a7a1c", "#3aa6b9", "#a3b53a", "#a0522d", "#d94f8c", "#5b8def"];

/** The categories of the map, the largest first; the rest together. */
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
  const known = new Map(categories.map((category, n) => [category.name, n]));
  const points = categories.map(() => []);
  for (const point of DATA.sample.map) {
    const name = DATA.sample.items[point[0]][2];
    points[known.get(name) ?? known.get("")].push(point);
  }
  map.renderers = [];
  // What has no colour of its own lies below.
  for (const n of [...categories.keys()].reverse()) {
    const category = categories[n];
    const about = points[n].map(([place]) => DATA.sample.items[place]);
    const data = source({
      x: points[n].map((point) => point[1]), y: points[n].map((point) => point[2]), title: about.map((item) => item[1] || item[0]),
      id: about.map((item) => item[0]), category: about.map((item) => item[2] || ""),
    });
    const made = fig.scatter({
      x: field("x"), y: field("y"), source: data, size: 7, fill_color: category.tone, fill_alpha: 0.75, line_color: colour("card"), line_width: 0.5,
      nonselection_fill_alpha: 0.75, nonselection_line_alpha: 1,
    });
    made.visible = !hidden.has(n);
    data.selected.properties.indices.change.connect(() => {
      const [chosen] = data.selected.indices;
      if (chosen !== undefined) choose(points[n][chosen][0]);
    });
    map.renderers[n] = made;
  }
  map.ring = source({ x: [], y: [] });
  fig.scatter({ x: field("x"), y: field("y"), source: map.ring, size: 17, fill_color: null, line_color: colour("text"), line_width: 3 });
  fig.add_tools(new Bokeh.HoverTool({ renderers: map.renderers, tooltips: tooltip(["<b>@title</b>", "@category", "@id"]), attachment: "vertical", limit: 3 }));
  fig.add_tools(new Bokeh.TapTool({ renderers: map.renderers }));
  draw(id, fig);
}

/** Put a ring around an item's point, if it has one. */
function ringed(place) {
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
