"use strict";
// The page of a store: the last night, how the figures went, and all runs.

// Experiments and parts of the stages are no nights.
const NIGHTS = DATA.runs.filter((run) => run.publishing && run.status !== "done" && run.status !== "running");
const hasFailed = (night) => night.status === "failed" || night.status === "died";
const FIGURES = {
  recall: { write: (value) => number(value, 4), side: "least", limit: "min_recall", share: true },
  churn: { write: percent, side: "most", limit: "max_churn", share: true },
  coverage: { write: percent, share: true },
  quarantined: { write: percent, side: "most", limit: "max_quarantined", share: true },
  items: { write: number },
  rows: { write: number },
  table_bytes: { write: bytes },
  written_bytes: { write: bytes },
};
// The figures that some night has measured.
const MEASURED = Object.keys(FIGURES).filter((name) => NIGHTS.some((night) => night[name] !== undefined && !hasFailed(night)));
const address = (path) => path.split("/").map(encodeURIComponent).join("/");
const linked = (run, text) => (run.page ? el("a", { href: address(run.page) }, text) : text);

function lastNight() {
  const night = NIGHTS[NIGHTS.length - 1];
  if (!night) {
    return el("section", { id: "verdict", class: "verdict", tabindex: "-1", "aria-labelledby": "verdict-title" },
      el("h1", { id: "verdict-title" }, t("no_night")), el("p", { class: "why" }, t("no_night_text")));
  }
  return el("section", { id: "verdict", class: `verdict ${night.status}`, tabindex: "-1", "aria-labelledby": "verdict-title" },
    el("h1", { id: "verdict-title" }, el("span", { class: "icon", "aria-hidden": "true" }, ICONS[night.status] || "·"), t("last_night", { status: hasWords(night.status) ? t(night.status) : night.status })),
    el("p", { class: "about" }, t("run", { run: night.run_id }), " · ", t("started", { time: moment(night.started) }), " · ", t("took", { time: duration(night.seconds) }),
      night.page ? [" · ", linked(night, t("its_page"))] : null),
    night.message ? el("div", { class: "message" }, el("h2", {}, t("said")), el("p", { lang: "en" }, night.message)) : null);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The figures of the last night, each beside the median of the published nights before. */
function tiles() {
  const last = NIGHTS[NIGHTS.length - 1], before = NIGHTS.slice(0, -1).filter(isPublished);
  const tile = (title, name, write) => {
    const earlier = before.map((night) => night[name]).filter((value) => value !== undefined);
    const more = last[name] === undefined ? t("not_measured") : earlier.length ? t("median", { value: write(median(earlier)).replaceAll(" ", "\u00a0") }) : t("no_median");
    return el("div", { class: "tile" }, el("dt", {}, title), el("dd", { class: "big" }, last[name] === undefined ? "–" : write(last[name])), el("dd", { class: "more" }, more));
  };
  return el("dl", { class: "tiles" }, MEASURED.map((name) => tile(t(name), name, (value) => FIGURES[name].write(FIGURES[name].share ? value : Math.round(value)))),
    tile(t("time_column"), "seconds", duration));
}

const signKey = (sign, tone, name) => el("span", {}, el("span", { class: `mark-${tone}`, "aria-hidden": "true" }, sign), ` ${t(name)}`);

function signsSection() {
  return section("signs", hint(t("signs_text", { n: number(NIGHTS.length) })),
    el("p", { class: "keys" }, signKey("●", "accent", "sign_published"), signKey("◆", "waived", "sign_held_back"), signKey("✕", "bad", "sign_failed"), signKey("╌", "bad", "sign_limit")));
}

function trendSection(name) {
  const { side, limit: limitOf, write } = FIGURES[name];
  const limit = side && [...NIGHTS].reverse().map((night) => night[limitOf]).find((value) => value !== undefined);
  const isOn = limit && !(side === "most" && limit === 1);
  // A catalogue with too much in quarantine is no matter of the gate.
  const words = name === "quarantined" ? "refused_above" : `at_${side}`;
  const text = t(`${name}_text`) + (isOn ? ` ${t(words, { limit: write(limit) })}` : "");
  return section(name, hint(text), chart(`${name}-chart`, t(name)));
}

function timeSection() {
  return section("time", hint(t("time_text")), chart("time-chart", t("time")),
    el("p", { class: "keys" }, stagesShown().map((stage) => el("span", { class: "stage" }, el("span", { class: "dot", style: `background:${STAGE_COLOURS[stage]}` }), stage === "rest" ? t("rest") : stage))));
}

const STATUS_MARKS = { published: "good", held_back: "waived", failed: "bad", died: "bad" };
const oneLine = (...content) => el("span", { class: "one-line" }, ...content);

function messagesSection() {
  const runs = [...DATA.runs].reverse().filter((run) => run.message);
  return runs.length ? section("why", ...runs.map((run) => el("p", { class: "note" }, linked(run, run.run_id), ": ", el("span", { lang: "en" }, run.message)))) : null;
}

function runsSection() {
  // So many columns fit.
  const names = Object.keys(FIGURES).filter((name) => FIGURES[name].write !== bytes);
  const rows = [...DATA.runs].reverse().map((run) => [
    oneLine(linked(run, run.run_id)), oneLine(run.started.slice(0, 16).replace("T", " ")),
    el("span", { class: `one-line ${STATUS_MARKS[run.status] ? `mark-${STATUS_MARKS[run.status]}` : ""}` }, hasWords(run.status) ? t(run.status) : run.status),
    ...names.map((name) => (run[name] === undefined ? "–" : FIGURES[name].write(run[name]))), duration(run.seconds)]);
  const heads = [t("run_column"), t("started_column"), t("status_column"), ...names.map((name) => t(`${name}_column`)), t("time_column")];
  return section("nights", hint(t("nights_text", { n: number(rows.length) })), table(heads, rows, [3, 4, 5, 6, 7, 8, 9]));
}

function content() {
  if (!NIGHTS.length) return [lastNight(), messagesSection(), runsSection()];
  const pairs = [];
  for (let n = 0; n < MEASURED.length; n += 2) pairs.push(el("div", { class: "pair" }, MEASURED.slice(n, n + 2).map(trendSection)));
  return [lastNight(), tiles(), MEASURED.length ? signsSection() : null, ...pairs, timeSection(), messagesSection(), runsSection()];
}

function drawCharts() {
  if (!NIGHTS.length) return;
  for (const name of MEASURED) drawTrend(name);
  drawTime();
}

start({ content, drawCharts, version: DATA.nitamono });
