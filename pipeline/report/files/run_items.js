"use strict";
// The item browser of a run's page: search, one item, its neighbours and the tokens that they share.

const MAX_RESULTS = 60;
const sample = DATA.sample;
const listOf = new Map(sample.shown.map(([place, best]) => [place, best]));
// The page holds the tokens of the items shown and of their neighbours only.
const searchable = sample.items.map((item, place) => place).filter((place) => sample.items[place][5] !== null);
const foldCase = (text) => text.normalize("NFKC").toLowerCase();
const searchTexts = new Map(searchable.map((place) => [place, foldCase(`${sample.items[place][0]} ${sample.items[place][1] || ""}`)]));
const containing = new Map();
for (const [place, best] of sample.shown) {
  for (const [other] of best) {
    if (!containing.has(other)) containing.set(other, []);
    containing.get(other).push(place);
  }
}
// The item shown first is the one with most neighbours.
const firstEntry = sample.shown.reduce((best, entry) => (entry[1].length > best[1].length ? entry : best), sample.shown[0] || [null, []]);
const browsing = { query: "", item: firstEntry[0] };

const titleOf = (place) => sample.items[place][1] || sample.items[place][0];
/** The tokens of an item: of its title, its description and each field. */
const tokensOf = (place) => sample.items[place].slice(5).map((text) => (text ? text.split(" ") : []));

/** Items that match the query; those with a list come first. */
function matchingItems() {
  const words = foldCase(browsing.query).split(/\s+/).filter(Boolean);
  if (!words.length) return sample.shown.map(([place]) => place);
  const hits = searchable.filter((place) => words.every((word) => searchTexts.get(place).includes(word)));
  return [...hits.filter((place) => listOf.has(place)), ...hits.filter((place) => !listOf.has(place))];
}

function listResults() {
  const hits = matchingItems();
  const first = hits.slice(0, MAX_RESULTS);
  const summary = !hits.length ? t("no_results") : hits.length > MAX_RESULTS
    ? t("results_some", { n: number(hits.length), shown: number(MAX_RESULTS) }) : t("results", { n: number(hits.length) });
  document.getElementById("match-count").textContent = summary;
  document.getElementById("results").replaceChildren(...first.map((place) => el("li", {}, el("button", {
    type: "button", "data-place": place, "aria-current": place === browsing.item ? "true" : null, onclick: () => choose(place),
  }, el("span", { class: "name" }, titleOf(place)), el("span", { class: "id" }, sample.items[place][0])))));
}

/** A link to a picture; an address of another scheme than http and https is shown as text. */
function picture(address) {
  if (!address) return null;
  let safe = false;
  try { safe = ["http:", "https:"].includes(new URL(address).protocol); } catch { safe = false; }
  return safe
    ? el("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow", title: t("picture_note") }, address)
    : el("span", {}, address);
}

function tokens(lists, shared) {
  return el("span", { class: "tokens" }, lists.flatMap((list, n) => [
    n && list.length ? el("span", { class: "slash", "aria-hidden": "true" }, "／") : null,
    n > 1 && list.length ? el("span", { class: "slash" }, `${sample.fields[n - 2]}:`) : null,
    ...list.map((token) => el(shared.has(token) ? "mark" : "span", {}, token)),
  ]));
}

function facts(place) {
  const [id, , category, brand, image] = sample.items[place];
  const lists = tokensOf(place);
  const rows = [["id", el("code", {}, id)], ["category", category], ["brand", brand], ["picture", picture(image)],
    ["tokens", sample.items[place][5] === null ? t("tokens_none") : lists.flat().length ? tokens(lists, new Set()) : t("nothing")]];
  return el("dl", { class: "facts" }, rows.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, t(name)), el("dd", {}, value)]));
}

function neighbour([place, score, words], itemTokens) {
  const [id, , category, , image] = sample.items[place];
  const lists = tokensOf(place);
  const shared = new Set(lists.flat().filter((token) => itemTokens.has(token)));
  return el("li", {},
    el("div", { class: "line" },
      el("button", { type: "button", "data-place": place, onclick: () => choose(place) }, titleOf(place)),
      score === null ? el("span", { class: "score" }, t("filled_in")) : el("span", { class: "score" }, score.toFixed(3), el("span", { class: "meter", "aria-hidden": "true" }, el("span", { style: `width:${Math.max(0, Math.min(1, score)) * 100}%` })))),
    el("div", { class: "small" }, el("code", {}, id), category ? ` · ${category}` : "", ` · ${t("shares", { n: number(shared.size) })}`),
    el("div", { class: "small" }, tokens(lists, shared)),
    words ? el("div", { class: "small" }, t("because", { words: listed(words) })) : null,
    image ? el("div", { class: "small" }, picture(image)) : null);
}

function neighbours(place) {
  const best = listOf.get(place);
  if (best === undefined) return el("p", { class: "note" }, t("neighbors_unknown"));
  if (!best.length) return el("p", { class: "note" }, t("neighbors_none"));
  const itemTokens = new Set(tokensOf(place).flat());
  return [el("p", { class: "hint" }, t("neighbors_text")), el("ol", { class: "neighbours" }, best.map((entry) => neighbour(entry, itemTokens)))];
}

function showItem() {
  const place = browsing.item;
  const target = document.getElementById("item");
  if (place === null) { target.replaceChildren(el("p", {}, t("choose"))); return; }
  const holders = (containing.get(place) || []).slice(0, 12);
  target.replaceChildren(...[
    el("h3", { id: "item-title", tabindex: "-1" }, titleOf(place)),
    facts(place),
    sample.map.some(([other]) => other === place)
      ? el("p", {}, el("a", { href: "#map", class: "button" }, t("on_map"))) : null,
    el("h4", {}, t("neighbors")), neighbours(place),
    holders.length ? el("h4", {}, t("appears")) : null,
    holders.length ? el("ul", { class: "holders" }, holders.map((other) => el("li", {}, el("button", { type: "button", "data-place": other, onclick: () => choose(other) }, titleOf(other))))) : null,
  ].flat().filter(Boolean));
}

/** Show an item, and move the keyboard's focus to it. */
function choose(place) {
  browsing.item = place;
  for (const button of document.querySelectorAll("#results button")) {
    if (Number(button.dataset.place) === place) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  showItem();
  markOnMap(place);
  const title = document.getElementById("item-title");
  const box = document.getElementById("item").getBoundingClientRect();
  title.focus({ preventScroll: true });
  if (box.top < 0 || box.top > innerHeight * 0.8) title.scrollIntoView({ block: "start" });
}

function itemsSection() {
  if (!sample.shown.length) return null;
  const search = el("input", { type: "search", id: "search", autocomplete: "off", spellcheck: "false", value: browsing.query,
    oninput: (event) => { browsing.query = event.target.value; listResults(); } });
  return section("items",
    el("p", { class: "hint" }, t("items_text", { n: number(sample.shown.length) }),
      sample.of > sample.shown.length ? ` ${t("items_left", { of: number(sample.of), n: number(sample.shown.length) })}` : ""),
    el("div", { class: "browser" },
      el("div", { class: "side" },
        el("label", { for: "search" }, t("search")), search,
        el("p", { id: "match-count", class: "hint", "aria-live": "polite" }),
        el("ul", { id: "results" })),
      el("article", { id: "item" })));
}
