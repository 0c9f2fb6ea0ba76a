// What differs between two configurations, as a table.

import { code, el } from "./dom.js";
import { json, short, visible } from "./format.js";

export function changes(diff) {
  if (diff.length === 0) return el("p", { class: "muted" }, "Nothing differs.");
  const rows = diff.map((it) => el("tr", {},
    el("td", { class: "text" }, it.operation === null ? el("span", { class: "muted" }, "all others") : short(it.operation)),
    el("td", {}, code(visible(it.path))),
    el("td", {}, el("code", { class: "from" }, visible(json(it.from))), " → ", el("code", { class: "to" }, visible(json(it.to))))));
  return el("div", { class: "region", tabIndex: 0, attrs: { role: "region", "aria-label": "What differs" } },
    el("table", { class: "diff" }, el("thead", {}, el("tr", {}, ...["Operation", "Field", "From → to"].map((it) => el("th", { attrs: { scope: "col" } }, it)))), el("tbody", {}, ...rows)));
}
