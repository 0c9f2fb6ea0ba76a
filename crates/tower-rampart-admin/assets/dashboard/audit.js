// Who changed what lately: the configuration, overrides, circuits, alerts. What happened by itself is timeline.js's business.

import { byId, el } from "./dom.js";
import { changes } from "./diff.js";
import { clock, visible, words } from "./format.js";
import { on, state } from "./state.js";

export function start() {
  const list = el("ol");
  const empty = el("p", { class: "muted" }, "Nobody changed anything since the start.");
  byId("audit").append(
    el("div", { class: "head" }, el("h2", { id: "audit-title" }, "Who changed what")),
    el("div", { class: "region tall", tabIndex: 0, attrs: { role: "region", "aria-labelledby": "audit-title" } }, list, empty));
  let shown = null;
  on("audit", () => {
    const key = JSON.stringify(state.audit);
    if (key === shown) return;
    shown = key;
    list.replaceChildren(...(state.audit ?? []).map(item));
    empty.hidden = list.hasChildNodes();
  });
}

function item(it) {
  return el("li", { class: "event" },
    el("time", { dateTime: it.at, title: it.at }, clock(it.at)),
    el("div", {}, el("strong", {}, words(it.action)), ` by ${visible(it.by.who)} `, el("small", { class: "muted" }, `from ${visible(it.by.from)}`),
      it.detail ? el("div", { class: "muted small text" }, visible(it.detail)) : null,
      it.changes.length > 0 ? changes(it.changes) : null));
}
