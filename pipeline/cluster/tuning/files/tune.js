"use strict";
// The page of a tuning: the best setup, and all trials.

/** A memory size for people; the argument is in MiB. */
const memorySize = (mib) => (mib >= 1024 ? `${number(mib / 1024, 1)} GiB` : `${number(mib)} MiB`);
const setupText = ({ executors, cores, memory }) => t("setup", { executors, cores, memory: memorySize(memory) });
const isWinner = ({ executors, cores }) => DATA.winner !== null && executors === DATA.winner.executors && cores === DATA.winner.cores;

function resultSection() {
  const { winner, run_id } = DATA;
  return el("section", { id: "verdict", class: `verdict ${winner ? "published" : "failed"}`, tabindex: "-1", "aria-labelledby": "verdict-title" },
    el("h1", { id: "verdict-title" }, el("span", { class: "icon", "aria-hidden": "true" }, winner ? "✓" : "✕"), winner ? t("best", { setup: setupText(winner) }) : t("no_winner")),
    el("p", { class: "why" }, t(winner ? "why_best" : "why_no_winner")),
    el("p", { class: "about" }, t("run", { run: run_id })));
}

function outcome(trial) {
  if (trial.seconds === null) return el("span", { class: "mark-bad" }, `✕ ${t("failed")}`);
  return isWinner(trial) ? el("span", { class: "mark-good" }, `✓ ${t("winner")}`) : "";
}

function trialsSection() {
  const rows = DATA.trials.map((trial, n) => [number(n + 1), number(trial.executors), number(trial.cores), memorySize(trial.memory),
    trial.seconds === null ? "–" : number(trial.seconds, 1), trial.seconds ? number(DATA.items / trial.seconds) : "–", outcome(trial)]);
  const failures = DATA.trials.map((trial, n) => (trial.seconds === null
    ? el("p", { class: "note" }, `${n + 1}: ${setupText(trial)}: `, el("span", { lang: "en" }, trial.why)) : null)).filter(Boolean);
  return section("trials", hint(t("trials_text", { items: number(DATA.items) })), chart("trials-chart", t("trials")),
    table(["", t("executors"), t("cores"), t("memory"), t("time_column"), t("rate"), t("outcome")], rows, [0, 1, 2, 3, 4, 5, 6]),
    failures.length ? [el("h3", {}, t("failures")), ...failures] : null);
}

function drawCharts() {
  drawBars("trials-chart", DATA.trials.map((trial, n) => ({
    label: `${n + 1}: ${setupText(trial)}`, value: trial.seconds ?? 0,
    text: trial.seconds === null ? `✕ ${t("failed")}` : t("seconds", { n: number(trial.seconds, 1) }), tone: isWinner(trial) ? "good" : "accent",
  })));
}

start({ content: () => [resultSection(), trialsSection()], drawCharts, version: DATA.nitamono });
