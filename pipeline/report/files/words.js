"use strict";
// What all parts of the page share: data, words, numbers, elements.

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const WORDS = read("words");
const DATA = read("data");

const state = {
  language: (navigator.language || "en").toLowerCase().startsWith("ja") ? "ja" : "en",
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
};

/** A text in the reader's language. */
function t(name, values = {}) {
  const text = WORDS[state.language][name];
  if (text === undefined) return name;
  return text.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? String(values[key]) : whole));
}

const known = (name) => name in WORDS.en;
const number = (value, digits = 0) =>
  value.toLocaleString(state.language, { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** A share as a percentage; what is nearly all or nearly nothing is not rounded to it. */
function percent(share) {
  let digits = 1;
  while (digits < 4 && share > 0 && share < 1 && ["0", "100"].includes(String(+(share * 100).toFixed(digits)))) digits++;
  return `${number(share * 100, share === 0 || share === 1 ? 0 : digits)}%`;
}

function duration(seconds) {
  if (seconds < 60) return t("seconds", { n: number(seconds, seconds < 10 ? 1 : 0) });
  const whole = Math.round(seconds);
  if (whole < 3600) return t("minutes", { m: Math.floor(whole / 60), s: whole % 60 });
  return t("hours", { h: Math.floor(whole / 3600), m: Math.round((whole % 3600) / 60) });
}

/** An element; text is always text, never markup. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) made.append(child);
  }
  return made;
}

function section(id, ...children) {
  return el("section", { id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title` }, t(id)), ...children);
}

/** A table: heads and rows; columns of numbers are set to the right. */
function table(heads, rows, numbers = []) {
  const cell = (tag, value, place) =>
    el(tag, { class: numbers.includes(place) ? "number" : null, scope: tag === "th" ? "col" : null }, value);
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": heads.filter(Boolean).join(", ") },
    el("table", {},
      el("thead", {}, el("tr", {}, heads.map((head, place) => cell("th", head, place)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((value, place) => cell("td", value, place)))))));
}

const folded = (inside) => el("details", {}, el("summary", {}, t("table")), inside);
