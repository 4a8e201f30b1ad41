"use strict";
// The page of a run: the verdict, the figures, and what they mean.

const quality = DATA.quality;
const MARKS = { good: "✓", bad: "✕", waived: "!" };

const mark = (state) => el("span", { class: `mark-${state}` }, el("span", { "aria-hidden": "true" }, MARKS[state]), ` ${t(state)}`);
const stateOf = (name) => DATA.checks.find((check) => check.name === name)?.state;
/** A figure or its limit, by its unit; those of the gate are shares, but for recall. */
function checkValue({ name, unit }, value) {
  if (unit === "count") return number(value);
  return name === "recall" || unit === "distance" ? number(value, 4) : percent(value);
}

function checkLine(check) {
  const { name, column, side } = check;
  return el("li", { class: check.state },
    el("span", { class: "what" }, t(`check_${name}`, { column })),
    el("span", { class: "value" }, checkValue(check, check.value)),
    el("span", { class: "limit" }, t(side, { limit: checkValue(check, check.limit) })),
    mark(check.state));
}

function verdictSection() {
  const { status, message, version, run_id, started, seconds } = DATA.run;
  const waived = status === "published" && DATA.checks.some((check) => check.state === "waived");
  const why = t(waived ? "why_waived" : `why_${status}`, { version });
  return el("section", { id: "verdict", class: `verdict ${status}`, tabindex: "-1", "aria-labelledby": "verdict-title" },
    el("h1", { id: "verdict-title" }, el("span", { class: "icon", "aria-hidden": "true" }, ICONS[status] || "·"), hasWords(status) ? t(status) : status),
    el("p", { class: "why" }, why),
    el("p", { class: "about" }, t("run", { run: run_id }), " · ", t("started", { time: moment(started) }), " · ", t("took", { time: duration(seconds) })),
    message ? el("div", { class: "message" }, el("h2", {}, t("said")), el("p", { lang: "en" }, message)) : null,
    el("h2", {}, t("checks")),
    DATA.checks.length ? el("ul", { class: "checks" }, DATA.checks.map(checkLine)) : el("p", {}, t("no_checks")));
}

function figures() {
  const { recall, run, counts, gate } = DATA;
  const tiles = [];
  const tile = (name, value, more, checkState) => tiles.push(el("div", { class: `tile ${checkState || ""}` },
    el("dt", {}, name), el("dd", { class: "big" }, value), more ? el("dd", { class: "more" }, more) : null));
  if (recall && recall.queries) {
    tile(t("figure_recall", { k: recall.k }), number(recall.value, 4), t("interval", { low: number(recall.low, 4), high: number(recall.high, 4) }), stateOf("recall"));
  }
  if (quality) tile(t("figure_coverage"), percent(quality.coverage), t("short_lists", { n: number(counts.short_lists ?? 0), k: run.k }), stateOf("without"));
  if (counts.items !== undefined) {
    const quarantined = DATA.flow.find(([name]) => name === "quarantined");
    tile(t("figure_items"), number(counts.items), quarantined ? t("quarantined_n", { n: number(quarantined[1]) }) : "");
  }
  if (quality) tile(t("figure_change"), gate && gate.churn !== undefined ? percent(gate.churn) : "–", gate && gate.churn !== undefined ? t("of_items", { n: number(gate.common) }) : t("figure_first"), stateOf("churn"));
  const reused = DATA.stages.filter((stage) => stage.status === "reused").length;
  tile(t("figure_time"), duration(run.seconds), DATA.stages.length ? t("reused_n", { n: reused, all: DATA.stages.length }) : "");
  return el("dl", { class: "tiles" }, tiles);
}

function reasons(counts, heads) {
  const rows = Object.entries(counts).sort((a, b) => b[1] - a[1]);
  return rows.length ? table(heads, rows.map(([name, count]) => [hasWords(name) ? t(name) : name, number(count)]), [1]) : null;
}

function flowSection() {
  if (!DATA.flow.length) return null;
  const why = reasons(DATA.reasons.quarantine, [t("reason"), t("rows_column")]);
  return section("flow", hint(t("flow_text")), chart("flow-chart", t("flow")),
    folded(table(["", ""], DATA.flow.map(([name, count]) => [t(`flow_${name}`), number(count)]), [1])),
    why ? [el("h3", {}, t("quarantine_reasons")), why] : null,
    Object.entries(DATA.notices).map(([name, count]) => el("p", { class: "note" }, t(name, { n: number(count) }))));
}

function timeSection() {
  if (!DATA.stages.length) return null;
  const rows = DATA.stages.map((stage) => [stage.stage, stage.status === "reused" ? t("reused", { time: number(stage.seconds, 1) }) : number(stage.seconds, 1), stage.made_by, stage.why_full || ""]);
  return section("time", hint(t("time_text")), chart("time-chart", t("time")),
    folded(table([t("stage"), t("time_column"), t("made_by"), t("why_full")], rows, [1])));
}

function recallSection() {
  const { recall } = DATA;
  if (!recall || !recall.queries) return null;
  return section("recall", hint(t("recall_text", { n: number(recall.queries) })),
    el("p", { class: "figure" }, el("strong", {}, number(recall.value, 4)), " ", t("interval", { low: number(recall.low, 4), high: number(recall.high, 4) }), " ", stateOf("recall") ? mark(stateOf("recall")) : ""),
    chart("recall-chart", t("recall")));
}

function scoresSection() {
  if (!quality || !quality.scores.histogram.length) return null;
  const { quantiles, first } = quality.scores;
  const shares = Object.keys(quantiles).sort((a, b) => a - b);
  return section("scores", hint(t("scores_text")), chart("scores-chart", t("scores")),
    el("p", { class: "keys" }, el("span", { class: "key" }, t("median_all", { n: number(quantiles["0.5"], 3) })),
      first["0.5"] === undefined ? null : el("span", { class: "key dashed" }, t("median_first", { n: number(first["0.5"], 3) }))),
    folded(table([t("quantile"), t("all_ranks"), t("first_rank")], shares.map((share) => [percent(Number(share)), number(quantiles[share], 3), first[share] === undefined ? "" : number(first[share], 3)]), [0, 1, 2])));
}

function coverageSection() {
  if (!quality) return null;
  const { counts } = DATA;
  return section("coverage", hint(t("coverage_text", { share: percent(quality.coverage), short: number(counts.short_lists ?? 0), k: DATA.run.k })),
    counts.filled_rows === undefined ? null : hint(t("filled_text", { rows: number(counts.filled_rows), items: number(counts.filled_items), short: number(counts.short_after_filling) })),
    counts.filled_rows === undefined ? null : reasons(counts.filled_by, [t("filled_by"), t("rows_column")]),
    reasons(DATA.reasons.short_lists, [t("reason"), t("items_column")]),
    ...DATA.variants.filter((one) => one.coverage !== null && one.recall !== null).map((one) =>
      hint(t("variant_text", { name: one.name, rows: number(one.rows), share: percent(one.coverage), recall: number(one.recall, 4) }))));
}

const fact = (name, value, text) => el("div", { class: "fact" }, el("dt", {}, name), el("dd", { class: "big" }, value), el("dd", { class: "more" }, text));

/** One sentence on what the neighbours are ranked by, with the settings' numbers. */
function rankedBy() {
  const { same = {}, price, value = {}, fresh, exposure, rerank, diversity } = DATA.rank || {};
  const plain = (value) => value.toLocaleString(state.language);
  const signed = (weight) => (weight < 0 ? "−" : "+") + plain(Math.abs(weight));
  const terms = [
    ...Object.entries(same).map(([column, weight]) => t("boost_same", { column, n: signed(weight) })),
    price && t("boost_price", { n: signed(price.weight), half: plain(price.half) }),
    ...Object.entries(value).map(([column, weight]) => t("boost_value", { column, n: signed(weight) })),
    fresh && t("boost_fresh", { column: fresh.column, n: signed(fresh.weight), days: plain(fresh.half_days) }),
    exposure && t("boost_exposure", { n: plain(exposure) }),
    rerank && t("boost_rerank"),
    diversity && t("boost_diversity", { n: plain(diversity) }),
  ].filter(Boolean);
  return el("p", {}, terms.length ? t("ranked_by", { terms: listed(terms) }) : t("ranked_by_cosine"));
}

function hubsSection() {
  if (!quality) return null;
  const { most_shown, never_shown, gini, new_items } = quality.hubs;
  const mean = (value) => (value === null ? "–" : number(value, 2));
  const place = most_shown ? sample.items.findIndex((item) => item[0] === most_shown.item_id) : -1;
  const link = !most_shown ? t("nothing") : place < 0 ? most_shown.item_id
    : el("button", { type: "button", class: "link", onclick: () => choose(place) }, titleOf(place));
  return section("hubs", hint(t("hubs_text")), el("dl", { class: "facts-wide" },
    fact(t("most_shown"), most_shown ? number(most_shown.times) : "–", [link, most_shown ? el("br") : null, most_shown ? t("most_shown_text", { n: number(most_shown.times), k: DATA.run.k }) : ""]),
    fact(t("never_shown"), number(never_shown), t("never_shown_text", { share: DATA.counts.items ? percent(never_shown / DATA.counts.items) : "–" })),
    fact(t("gini"), number(gini, 3), t("gini_text")),
    new_items ? fact(t("new_items"), mean(new_items.mean_lists), t("new_items_text", { n: number(new_items.items), others: mean(new_items.mean_lists_of_others) })) : null),
  rankedBy());
}

function alikeSection() {
  if (!quality) return null;
  const same = quality.same_category;
  return section("alike", hint(quality.sampled_one_in > 1 ? t("alike_text", { n: number(quality.sampled_one_in) }) : t("alike_all")), el("dl", { class: "facts-wide" },
    fact(t("same_category"), same === null ? "–" : percent(same), t(same === null ? "no_category" : "same_category_text")),
    fact(t("duplicates"), percent(quality.duplicates_shown), t("duplicates_text"))));
}

function changeSection() {
  const { gate } = DATA;
  if (!quality) return null;
  if (!gate || gate.churn === undefined) return section("change", el("p", { class: "note" }, t("change_none")));
  const signed = (value) => `${value > 0 ? "+" : ""}${number(value)}`;
  const row = (name, before, now) => [t(name), number(before), number(now), `${signed(now - before)}${before ? ` (${percent(now / before)})` : ""}`];
  return section("change", hint(t("change_text", { version: gate.against })),
    el("p", { class: "figure" }, t("change_churn", { entries: number(gate.entries), common: number(gate.common), replaced: number(gate.replaced), share: percent(gate.churn) }), " ", stateOf("churn") ? mark(stateOf("churn")) : ""),
    gate.new_model ? el("p", { class: "note" }, t("new_model")) : null,
    table(["", t("before"), t("now"), t("difference")], [row("change_rows", gate.rows_before, gate.rows), row("change_items", gate.items_before, gate.items)], [1, 2, 3]));
}

function mapSection() {
  if (!sample.items.length) return null;
  if (!sample.map.length) return section("map", el("p", { class: "note" }, t("map_none")));
  return section("map", hint(t("map_text", { n: number(sample.map.length) })), chart("map-chart", t("map")), hint(t("legend")), legend());
}

function settingsSection() {
  return section("settings", hint(t("settings_text")), folded(
    table([t("setting"), t("value")], DATA.settings.map(([name, value, changed]) => [changed ? el("strong", {}, name) : name, changed ? el("strong", {}, value) : value]))));
}

function drawCharts() {
  if (DATA.flow.length) {
    drawBars("flow-chart", DATA.flow.map(([name, count]) => ({ label: t(`flow_${name}`), value: name === "rows" ? 0 : count, text: number(count), tone: name === "quarantined" ? "warn" : "accent" })));
  }
  if (DATA.stages.length) {
    drawBars("time-chart", DATA.stages.map((stage) => {
      const time = duration(stage.seconds), pale = stage.status === "reused";
      return { label: stage.stage, value: stage.seconds, text: pale ? t("reused", { time }) : time, pale };
    }));
  }
  if (DATA.recall && DATA.recall.queries) drawRecall("recall-chart", DATA.recall, DATA.least_recall);
  if (quality && quality.scores.histogram.length) drawScores("scores-chart", quality.scores);
  if (sample.map.length) drawMap("map-chart", choose);
  if (browsing.item !== null) markOnMap(browsing.item);
}

/** The sections of the page, in order. */
function content() {
  const pair = (...sections) => (sections.some(Boolean) ? el("div", { class: "pair" }, sections) : null);
  const parts = [pair(flowSection(), timeSection()), pair(recallSection(), coverageSection()), scoresSection(), hubsSection(),
    pair(alikeSection(), changeSection()), mapSection(), itemsSection(), settingsSection()].filter(Boolean);
  const sections = parts.flatMap((part) => (part.matches("section") ? [part] : [...part.children]));
  return [
    verdictSection(), figures(),
    quality ? null : el("p", { class: "note" }, t("unknown")),
    el("nav", { "aria-label": t("contents") }, sections.map(({ id }) => el("a", { href: `#${id}` }, t(id)))),
    ...parts];
}

function fill() {
  if (sample.shown.length) { listResults(); showItem(); }
}

start({ content, fill, drawCharts, version: DATA.run.nitamono });
