"use strict";
// The charts of a store's page: one place for each night, the oldest on the left.

const STAGE_COLOURS = { ingest: "#3b82c4", tokenize: "#3aa6b9", train: "#7d6bc4", embed: "#1a9e77", index: "#a3b53a", neighbors: "#e08a1e", publish: "#cf6fa8", rest: "#8a929c" };
const TICK_WIDTH = 64;
// With fewer nights the places are not made wider.
const MIN_PLACES = 10;
const isPublished = (night) => night.status === "published";
const isHeldBack = (night) => night.status === "held_back";

/** A day, or a day and a time if the days do not tell the nights apart. */
const dayOf = (night) => night.started.slice(5, 10);
function labels() {
  const days = NIGHTS.map(dayOf);
  if (new Set(days).size === days.length) return days;
  return NIGHTS.map((night) => `${dayOf(night)} ${night.started.slice(11, 16)}`);
}

/** A figure whose horizontal axis has a place for each night. */
function nightFigure(id, options) {
  const margin = Math.max(0, MIN_PLACES - NIGHTS.length) / 2 + 0.7;
  const fig = figure({ x_range: new Bokeh.Range1d({ start: -margin, end: NIGHTS.length - 1 + margin }), ...options });
  const names = labels();
  const room = document.getElementById(id).clientWidth - 80;
  const step = Math.ceil(NIGHTS.length / Math.max(1, Math.floor(room / Math.max(TICK_WIDTH, textWidth(names) + 24))));
  // Counted from the newest night, which always has its label.
  const ticks = NIGHTS.map((night, n) => n).filter((n) => (NIGHTS.length - 1 - n) % step === 0);
  for (const axis of fig.below) {
    axis.setv({ ticker: new Bokeh.FixedTicker({ ticks, minor_ticks: [] }), major_label_overrides: new Map(ticks.map((n) => [n, names[n]])) });
  }
  for (const grid of fig.center) if (grid.dimension === 0) grid.visible = false;
  return fig;
}

/** Open the page of the run whose sign or bar is chosen. */
function openOnTap(data, places) {
  data.selected.properties.indices.change.connect(() => {
    const [index] = data.selected.indices;
    if (index === undefined) return;
    data.selected.indices = [];
    const { page } = NIGHTS[places[index]];
    if (page) location.href = address(page);
  });
}

/** Where the vertical axis begins and ends, and whether the limit is on it. */
function bounds(name, values, limit) {
  let low = Math.min(...values), high = Math.max(...values);
  const inSight = limit !== undefined && (FIGURES[name].side === "least" ? limit > 0 : high > limit / 3);
  if (inSight) [low, high] = [Math.min(low, limit), Math.max(high, limit)];
  const margin = (high - low) * 0.12 || Math.abs(high) * 0.05 || 0.01;
  // A sign at the edge of what is possible is not cut in half.
  const start = low < margin ? -0.04 * high || -margin : low - margin;
  const end = FIGURES[name].share && high + margin > 1 ? 1 + 0.04 * (1 - start) : high + margin;
  return { low: start, high: end, inSight };
}

/** How numbers of an axis are written: with as many digits as tell four of them apart. */
function tickFormat(name, span) {
  if (FIGURES[name].write === bytes) return "0.[0] d";
  if (!FIGURES[name].share) return "0,0";
  const unit = name === "recall" ? "" : "%";
  const digits = Math.ceil(-Math.log10(span * (unit ? 100 : 1) / 4));
  return `0.${"0".repeat(Math.max(unit ? 0 : 2, Math.min(5, digits)))}${unit}`.replace(".%", "%");
}

function drawTrend(name) {
  const id = `${name}-chart`, { write, limit: limitOf } = FIGURES[name];
  const places = NIGHTS.map((night, n) => n).filter((n) => NIGHTS[n][name] !== undefined && !hasFailed(NIGHTS[n]));
  const limit = [...NIGHTS].reverse().map((night) => night[limitOf]).find((value) => value !== undefined);
  const spread = places.flatMap((n) => (name === "recall" ? [NIGHTS[n].recall_low, NIGHTS[n].recall_high] : []));
  const { low, high, inSight } = bounds(name, [...places.map((n) => NIGHTS[n][name]), ...spread], limit);
  const fig = nightFigure(id, { height: 220, y_range: new Bokeh.Range1d({ start: low, end: high }) });
  for (const axis of fig.left) {
    axis.formatter = new Bokeh.NumeralTickFormatter({ format: tickFormat(name, high - low) });
    axis.ticker.desired_num_ticks = 4;
  }
  if (inSight) fig.add_layout(new Bokeh.Span({ location: limit, dimension: "width", line_color: colour("bad"), line_dash: "dashed", line_width: 1.5 }));
  const room = (document.getElementById(id).clientWidth - 80) / NIGHTS.length;
  const line = NIGHTS.map((night, n) => [n, isHeldBack(night) ? null : hasFailed(night) ? NaN : night[name] ?? NaN]).filter(([, value]) => value !== null);
  fig.line({ x: line.map(([n]) => n), y: line.map(([, value]) => value), line_color: colour("accent"), line_width: 2 });
  if (name === "recall") {
    fig.segment({ x0: places, x1: places, y0: places.map((n) => NIGHTS[n].recall_low), y1: places.map((n) => NIGHTS[n].recall_high), line_color: colour("accent"), line_alpha: 0.35, line_width: Math.max(2, Math.min(4, room / 2)) });
  }
  const signs = [
    [places.filter((n) => !isHeldBack(NIGHTS[n])), "circle", "accent", Math.max(4, Math.min(8, room))],
    [places.filter((n) => isHeldBack(NIGHTS[n])), "diamond", "warn", 15],
    [NIGHTS.map((night, n) => n).filter((n) => hasFailed(NIGHTS[n])), "x", "bad", 10],
  ];
  for (const [shown, marker, tone, size] of signs) {
    if (shown.length) sign(fig, shown, { name, marker, tone, size, write, low: low + (high - low) * 0.06 });
  }
  draw(id, fig);
}

/** The signs of some nights; those of nights that failed stand at the lower edge. */
function sign(fig, places, { name, marker, tone, size, write, low }) {
  const nights = places.map((n) => NIGHTS[n]);
  const data = source({
    x: places, y: nights.map((night) => (hasFailed(night) ? low : night[name])),
    run: nights.map((night) => night.run_id), started: nights.map((night) => moment(night.started)),
    status: nights.map((night) => t(night.status)), value: nights.map((night) => (night[name] === undefined ? "–" : write(night[name]))),
  });
  const renderer = fig.scatter({
    x: field("x"), y: field("y"), source: data, marker, size, fill_color: marker === "x" ? null : colour(tone), line_color: colour(marker === "x" ? tone : "card"), line_width: marker === "x" ? 2.5 : 1,
    nonselection_fill_alpha: 1, nonselection_line_alpha: 1,
  });
  fig.add_tools(new Bokeh.HoverTool({ renderers: [renderer], tooltips: tooltip(["<b>@run</b>", "@started", "@status", `${t(name)} @value`]) }));
  fig.add_tools(new Bokeh.TapTool({ renderers: [renderer] }));
  openOnTap(data, places);
}

/** The stages that took time in some night, and the rest. */
const stagesShown = () => [...DATA.stages, "rest"].filter((stage) => NIGHTS.some((night) => secondsOf(night, stage) > 0));

function secondsOf(night, stage) {
  if (stage !== "rest") return night.stages[stage] || 0;
  return Math.max(0, night.seconds - Object.values(night.stages).reduce((sum, seconds) => sum + seconds, 0));
}

function drawTime() {
  const fig = nightFigure("time-chart", { height: 280, y_axis_label: t("seconds_axis") });
  const tops = NIGHTS.map(() => 0);
  for (const stage of stagesShown()) {
    const bottoms = [...tops];
    NIGHTS.forEach((night, n) => { tops[n] += secondsOf(night, stage); });
    const data = source({
      x: NIGHTS.map((night, n) => n), bottom: bottoms, top: [...tops], alpha: NIGHTS.map((night) => (isPublished(night) ? 1 : 0.4)),
      run: NIGHTS.map((night) => night.run_id), started: NIGHTS.map((night) => moment(night.started)), status: NIGHTS.map((night) => t(night.status)),
      text: NIGHTS.map((night) => duration(secondsOf(night, stage))), all: NIGHTS.map((night) => duration(night.seconds)),
    });
    const bars = fig.vbar({
      x: field("x"), bottom: field("bottom"), top: field("top"), width: 0.72, source: data, fill_color: STAGE_COLOURS[stage], fill_alpha: field("alpha"), line_color: null,
      nonselection_fill_alpha: field("alpha"),
    });
    fig.add_tools(new Bokeh.HoverTool({ renderers: [bars], tooltips: tooltip(["<b>@run</b>", "@started", "@status", `${stage === "rest" ? t("rest") : stage} @text / @all`]) }));
    fig.add_tools(new Bokeh.TapTool({ renderers: [bars] }));
    openOnTap(data, NIGHTS.map((night, n) => n));
  }
  fig.y_range.start = 0;
  for (const axis of fig.left) axis.formatter = new Bokeh.NumeralTickFormatter({ format: "0,0.[0]" });
  draw("time-chart", fig);
}
