// All operations as a table: those that are not well first, and only as many rows as one can look at. One row is row.js's business.

import { byId, el, field, say, select } from "./dom.js";
import { severity } from "./format.js";
import { lately } from "./history.js";
import { isIdle, known, names, stateOf } from "./known.js";
import { COLUMNS, makeRow } from "./row.js";
import { on, state } from "./state.js";

/** How many rows are shown at first, and how many more each time. */
const PAGE = 50;

const rows = new Map();
let most = PAGE;
let filter;
let order;
let body;

const ORDERS = {
  worst: (a, b) => severity(a.state) - severity(b.state) || a.idle - b.idle,
  calls: (a, b) => (b.calls ?? 0) - (a.calls ?? 0),
  failing: (a, b) => (a.success ?? 1) - (b.success ?? 1),
  slow: (a, b) => b.p95 - a.p95,
  name: () => 0,
};

export function start() {
  filter = el("input", { type: "search", placeholder: "part of a name", autocomplete: "off", spellcheck: false });
  order = select([["worst", "worst state first"], ["failing", "least success first"], ["calls", "most calls first"], ["slow", "slowest p95 first"], ["name", "by name"]]);
  const count = el("span", { class: "muted small count", attrs: { role: "status" } });
  body = el("tbody", { attrs: { role: "rowgroup" } });
  const heads = COLUMNS.map(([label, kind, title]) =>
    el("th", { class: kind === "number" ? kind : "", title: title ?? "", attrs: { scope: "col", role: "columnheader" } }, label || el("span", { class: "unseen" }, "Action")));
  const table = el("table", { attrs: { role: "table", "aria-labelledby": "operations-title" } },
    el("thead", { attrs: { role: "rowgroup" } }, el("tr", { attrs: { role: "row" } }, ...heads)), body);
  const more = el("button", { type: "button" });
  const empty = el("p", { class: "muted" });
  more.addEventListener("click", () => {
    most += PAGE;
    draw();
  });
  byId("operations").append(
    el("div", { class: "head" }, el("h2", { id: "operations-title" }, "Operations"), count, field("Filter", filter), field("Order", order)),
    el("div", { class: "region operations live", tabIndex: 0, attrs: { role: "region", "aria-labelledby": "operations-title" } }, table),
    empty, more);

  const draw = () => {
    if (!state.health) return;
    const all = sorted();
    const shown = all.slice(0, most);
    place(shown.map((it) => it.name));
    const total = names().length;
    say(count, all.length === total ? `${total}` : `${all.length} of ${total} fit the filter`);
    empty.hidden = all.length > 0;
    say(empty, total === 0 ? "There is no operation yet. One appears with its first call, or once the configuration names it under operation_overrides." : "No name fits the filter. Empty it to see all.");
    more.hidden = all.length <= most;
    say(more, `Show ${Math.min(PAGE, all.length - most)} more of ${all.length - most}`);
  };
  filter.addEventListener("input", () => {
    most = PAGE;
    draw();
  });
  order.addEventListener("change", draw);
  redraw = draw;
  ["health", "circuits", "caller"].forEach((topic) => on(topic, draw));
}

let redraw = () => {};

/** Those that fit the filter, in order; those that are equal by name, so that rows stay where they are. */
function sorted() {
  const wanted = filter.value.trim().toLowerCase();
  const fits = names().filter((it) => it.toLowerCase().includes(wanted));
  const recent = ["calls", "failing"].includes(order.value);
  const all = fits.map((name) => {
    const it = known(name);
    const now = recent ? lately(name) : {};
    return { name, state: stateOf(it), idle: isIdle(it), p95: it.operation?.p95_ms ?? 0, calls: now.calls, success: now.success };
  });
  const by = ORDERS[order.value];
  return all.sort((a, b) => by(a, b) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Shows these rows in this order; moves only what is elsewhere, and keeps the focus where it is. */
function place(wanted) {
  const focused = document.activeElement;
  const isWanted = new Set(wanted);
  for (const [name, it] of rows) {
    if (isWanted.has(name)) continue;
    it.open(false);
    it.row.remove();
    it.below.remove();
    rows.delete(name);
  }
  let next = body.firstElementChild;
  for (const name of wanted) {
    if (!rows.has(name)) rows.set(name, makeRow(name));
    const it = rows.get(name);
    if (it.row === next) next = it.below.nextElementSibling;
    else {
      body.insertBefore(it.row, next);
      body.insertBefore(it.below, next);
    }
    it.update();
  }
  if (focused && focused !== document.activeElement && body.contains(focused)) focused.focus({ preventScroll: true });
}

/** Brings one operation before the eyes, opened. */
export function show(name) {
  if (!rows.has(name)) {
    filter.value = name;
    redraw();
  }
  const it = rows.get(name);
  if (!it) return;
  it.open(true);
  it.row.scrollIntoView({ block: "center" });
  it.toggle.focus({ preventScroll: true });
}
