"use strict";
// Shared by all pages: data, words, numbers, elements, and the switches of language and theme.

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const WORDS = read("words");
const DATA = read("data");

const state = {
  language: (navigator.language || "en").toLowerCase().startsWith("ja") ? "ja" : "en",
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
};

// The sign of each status of a run.
const ICONS = { published: "✓", held_back: "!", failed: "✕", died: "✕", running: "…", done: "○" };

/** A text in the reader's language. */
function t(name, values = {}) {
  const text = WORDS[state.language][name];
  if (text === undefined) return name;
  return text.replace(/\{(\w+)\}/g, (placeholder, key) => (key in values ? String(values[key]) : placeholder));
}

const hasWords = (name) => name in WORDS.en;
const number = (value, digits = 0) =>
  value.toLocaleString(state.language, { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Texts as a list in the language of the page. */
const listed = (texts) => new Intl.ListFormat(state.language, { type: "conjunction" }).format(texts);

/** A share as a percentage; only exactly 0 and 1 are shown as 0% and 100%. */
function percent(share) {
  let digits = 1;
  while (digits < 4 && share > 0 && share < 1 && ["0", "100"].includes(String(+(share * 100).toFixed(digits)))) digits++;
  return `${number(share * 100, share === 0 || share === 1 ? 0 : digits)}%`;
}

/** A size in bytes with a unit of powers of 1000. */
function bytes(size) {
  const unit = size > 0 ? Math.min(4, Math.floor(Math.log10(size) / 3)) : 0;
  return `${number(size / 1000 ** unit, unit ? 1 : 0)} ${["B", "KB", "MB", "GB", "TB"][unit]}`;
}

function duration(seconds) {
  if (seconds < 60) return t("seconds", { n: number(seconds, seconds < 10 ? 1 : 0) });
  const rounded = Math.round(seconds);
  if (rounded < 3600) return t("minutes", { m: Math.floor(rounded / 60), s: rounded % 60 });
  return t("hours", { h: Math.floor(rounded / 3600), m: Math.round((rounded % 3600) / 60) });
}

/** A time in UTC, in the reader's language. */
function moment(text) {
  return new Date(text).toLocaleString(state.language === "ja" ? "ja-JP" : "en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" }) + " UTC";
}

/** An element; text is always text, never markup. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

function section(id, ...children) {
  return el("section", { id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title` }, t(id)), ...children);
}

/** A table of heads and rows; the columns listed in numbers are aligned right. */
function table(heads, rows, numbers = []) {
  const cell = (tag, value, place) =>
    el(tag, { class: numbers.includes(place) ? "number" : null, scope: tag === "th" ? "col" : null }, value);
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": heads.filter(Boolean).join(", ") },
    el("table", {},
      el("thead", {}, el("tr", {}, heads.map((head, place) => cell("th", head, place)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((value, place) => cell("td", value, place)))))));
}

const hint = (text) => el("p", { class: "hint" }, text);

/** Content that the reader can unfold. */
const folded = (content) => el("details", {}, el("summary", {}, t("table")), content);

/** Label the buttons that switch language and theme. */
function labelSwitches() {
  const language = document.getElementById("language"), theme = document.getElementById("theme");
  language.textContent = t("language");
  language.lang = state.language === "ja" ? "en" : "ja";
  language.setAttribute("aria-label", t("language_label"));
  theme.textContent = t(state.dark ? "theme_light" : "theme_dark");
  theme.setAttribute("aria-label", t("theme_label"));
}

/**
 * Show the page, and show it again whenever its language or theme changes.
 *
 * content: returns the elements of the page; fill: completes them once they are in the document;
 * drawCharts: draws the charts into them; version: nitamono's.
 */
function start({ content, fill = () => {}, drawCharts, version }) {
  const render = () => {
    document.documentElement.lang = state.language;
    document.documentElement.dataset.theme = state.dark ? "dark" : "light";
    document.querySelector(".skip").textContent = t("skip");
    labelSwitches();
    document.getElementById("main").replaceChildren(...content().filter(Boolean));
    document.getElementById("footer").replaceChildren(t("made_with", { version }));
    fill();
    drawCharts();
  };
  document.getElementById("language").addEventListener("click", () => { state.language = state.language === "ja" ? "en" : "ja"; render(); });
  document.getElementById("theme").addEventListener("click", () => { state.dark = !state.dark; render(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => { state.dark = event.matches; render(); });
  let width = innerWidth;
  addEventListener("resize", () => {
    // Bokeh fits the charts to their room; only narrow charts have another shape.
    if ((width < 600) !== (innerWidth < 600)) drawCharts();
    width = innerWidth;
  });
  render();
}
