// What the monitor found to be wrong, and who has seen it.

import { path, post } from "./api.js";
import { look } from "./connection.js";
import { button, byId, el, mark, say } from "./dom.js";
import { clock, number, visible } from "./format.js";
import { problem } from "./problem.js";
import { mayWrite, on, state } from "./state.js";

const LEVELS = ["critical", "error", "warning", "info"];

export function start() {
  const count = el("span", { class: "muted small count" });
  const list = el("ul");
  const past = el("ul");
  const summary = el("summary", {});
  const older = el("details", {}, summary, past);
  const said = el("div", { attrs: { "aria-live": "polite" } });
  byId("alerts").append(
    el("div", { class: "head" }, el("h2", { id: "alerts-title" }, "Alerts"), count), said, el("div", { class: "region tall" }, list), older);
  let shown = null;
  /** What says the description of each alert, which changes with the calls that are counted. */
  const told = new Map();
  const describe = (all) => all.forEach((it) => told.get(it.id)?.(visible(it.description)));
  const draw = () => {
    if (!state.alerts) return;
    const all = state.alerts.alerts;
    // Of very many the list holds the latest alone.
    const holding = state.alerts.summary.active_alerts;
    say(count, holding === 0 ? "none holds at present" : `${holding} ${holding === 1 ? "holds" : "hold"} at present`);
    describe(all);
    // Whoever is about to press a button must not have it taken away by a redraw that changes nothing.
    const key = JSON.stringify([all.map((it) => [it.id, it.status, it.acknowledged, it.acknowledged_by, it.count]), mayWrite()]);
    if (key === shown) return;
    shown = key;
    const active = all.filter((it) => it.status === "active");
    active.sort((a, b) => a.acknowledged - b.acknowledged || LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level));
    const resolved = all.filter((it) => it.status !== "active").slice(0, 30);
    const focused = document.activeElement?.dataset?.alert;
    told.clear();
    list.replaceChildren(...active.map((it) => item(it, said, told)));
    past.replaceChildren(...resolved.map((it) => item(it, said, told)));
    describe(all);
    summary.textContent = `${resolved.length} resolved lately`;
    older.hidden = resolved.length === 0;
    if (focused) list.querySelector(`[data-alert="${CSS.escape(focused)}"]`)?.focus();
  };
  on("alerts", draw);
  on("caller", draw);
}

function item(it, said, told) {
  const isActive = it.status === "active";
  const times = it.count > 1 ? `, ${number(it.count)} times since ${clock(it.first_seen)}` : "";
  const when = isActive ? `since ${clock(it.timestamp)}${times}` : `${clock(it.timestamp)} to ${clock(it.resolved_at)}${times}`;
  const seen = it.acknowledged ? `acknowledged by ${visible(it.acknowledged_by ?? "")} at ${clock(it.acknowledged_at)}` : null;
  const act = el("div");
  const text = el("div", { class: "text" });
  let press = null;
  if (isActive && !it.acknowledged && mayWrite()) {
    press = button("Acknowledge", async () => {
      said.replaceChildren();
      try {
        await post(path("monitoring", "alerts", String(it.id), "acknowledge"));
        look();
      } catch (error) {
        said.replaceChildren(problem(error));
      }
    });
    press.dataset.alert = it.id;
    act.append(press);
  }
  told.set(it.id, (description) => {
    say(text, description);
    if (press) mark(press, "aria-label", `Acknowledge: ${description}`);
  });
  return el("li", { class: "alert" },
    el("span", { class: "badge", data: { level: isActive ? it.level : "resolved" } }, isActive ? it.level : "resolved"),
    el("div", {}, text, el("small", { class: "muted" }, [when, seen].filter(Boolean).join(" · "))),
    act);
}
