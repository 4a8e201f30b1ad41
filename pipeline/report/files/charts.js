"use strict";
// Charts by BokehJS, shared by all pages; drawn again when the theme or the language changes.

const FONT = "system-ui, 'Hiragino Sans', 'Noto Sans CJK JP', 'Noto Sans JP', 'Yu Gothic UI', Meiryo, sans-serif";
// By the id of the element: the view that is shown, and the figure that was requested last.
const chartViews = new Map();
const requestedFigures = new Map();
let drawing = Promise.resolve();

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** An element for a chart; screen readers read its name. */
const chart = (id, name) => el("div", { class: "chart", id, role: "img", "aria-label": t("chart", { name }) });

function figure(options) {
  const fig = Bokeh.Plotting.figure({
    sizing_mode: "stretch_width", tools: "", toolbar_location: null, min_border_right: 12,
    background_fill_color: null, border_fill_color: null, outline_line_color: null, ...options,
  });
  for (const axis of [...fig.below, ...fig.left]) {
    axis.setv({
      axis_line_color: colour("line"), major_tick_line_color: colour("line"), minor_tick_line_color: null,
      major_label_text_color: colour("text"), major_label_text_font: FONT, major_label_text_font_size: "13px",
      axis_label_text_color: colour("muted"), axis_label_text_font: FONT, axis_label_text_font_size: "13px",
      axis_label_text_font_style: "normal",
    });
  }
  for (const grid of fig.center) grid.setv({ grid_line_color: colour("line"), grid_line_alpha: 0.7 });
  return fig;
}

/** Remove a chart and its Bokeh document. */
function remove(view) {
  if (!view) return;
  const { document } = view.model;
  view.remove();
  document.clear();
  Bokeh.documents.splice(Bokeh.documents.indexOf(document), 1);
}

/** Show a figure in its element; of several requested meanwhile only the last one is shown. */
function draw(id, fig) {
  requestedFigures.set(id, fig);
  drawing = drawing.then(async () => {
    const target = document.getElementById(id);
    if (requestedFigures.get(id) !== fig || !target) return;
    remove(chartViews.get(id));
    target.replaceChildren();
    chartViews.set(id, await Bokeh.Plotting.show(fig, target));
  });
}

const source = (data) => new Bokeh.ColumnDataSource({ data });
const field = (name) => ({ field: name });
// A tooltip is in a shadow tree, where the page's rules do not apply, but its colours do.
const TIP = `margin:-5px;padding:7px 10px;max-width:280px;white-space:normal;color:var(--text);background:var(--card);font:13px/1.45 ${FONT}`;
const tooltip = (lines) => `<div class="tip" style="${TIP}">${lines.map((line) => `<div>${line}</div>`).join("")}</div>`;

/** Width of the longest of some texts in a chart, in pixels. */
function textWidth(texts) {
  const context = document.createElement("canvas").getContext("2d");
  context.font = `13px ${FONT}`;
  return Math.max(0, ...texts.map((text) => context.measureText(text).width));
}

/** Horizontal bars, each with a text at its end. rows: {label, value, text, pale, tone}. */
function drawBars(id, rows) {
  const largest = Math.max(1e-9, ...rows.map((row) => row.value));
  const room = document.getElementById(id).clientWidth - textWidth(rows.map((row) => row.label)) - 40;
  const bars = Math.max(room * 0.25, room - textWidth(rows.map((row) => row.text)) - 16);
  const fig = figure({
    height: 34 * rows.length + 20,
    y_range: new Bokeh.FactorRange({ factors: rows.map((row) => row.label).reverse() }),
    x_range: new Bokeh.Range1d({ start: 0, end: (largest * room) / bars }),
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
