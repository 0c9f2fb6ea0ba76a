// What happened, newest first: circuits that changed, alerts, reloads; refused calls only if one wants to see them.

import { byId, el } from "./dom.js";
import { words as asSaid, clock, short, span, stateWord, visible } from "./format.js";
import { on, state } from "./state.js";

const MOST = 120;

export function start() {
  const refusals = el("input", { type: "checkbox" });
  const list = el("ol");
  const empty = el("p", { class: "muted" }, "Nothing happened that is still kept. A circuit that changes its state, an alert or a reload appears here at once.");
  byId("timeline").append(
    el("div", { class: "head" }, el("h2", { id: "timeline-title" }, "Timeline"), el("label", { class: "small" }, refusals, "refused calls too")),
    el("div", { class: "region tall", tabIndex: 0, attrs: { role: "region", "aria-labelledby": "timeline-title" } }, list, empty));
  const draw = () => {
    const all = refusals.checked ? [...state.events, ...state.refusals].sort((a, b) => Date.parse(b.timestamp) - Date.parse(a.timestamp)) : state.events;
    const wanted = all.slice(0, MOST);
    list.replaceChildren(...wanted.map(item));
    empty.hidden = wanted.length > 0;
  };
  on("events", draw);
  refusals.addEventListener("change", draw);
}

function item(it) {
  return el("li", { class: "event", data: { event: it.event } }, el("time", { dateTime: it.timestamp, title: it.timestamp }, clock(it.timestamp)), el("div", {}, ...words(it)));
}

const REASONS = {
  consecutive_failures: "too many failures in a row",
  failure_rate: "too large a share failed",
  slow_call_rate: "too many calls were slow",
  abandoned_calls: "too many calls were abandoned",
  recovery_elapsed: "the recovery timeout is over",
  probes_succeeded: "enough probes succeeded",
  probes_failed: "probes failed",
  reset: "an operator reset it",
  tripped: "it was opened by its host",
  forced_open: "an operator forced it",
  forced_closed: "an operator forced it",
};

const strong = (name) => el("bdi", { class: "name" }, el("strong", {}, short(name ?? "", 120)));
const small = (text) => el("small", { class: "muted text" }, text);

function words({ event, operation, metadata = {}, missed, value }) {
  switch (event) {
    case "transition": {
      const reason = REASONS[metadata.reason] ?? asSaid(metadata.reason ?? "");
      const to = el("span", { class: "state", data: { state: metadata.to } }, stateWord(metadata.to));
      const would = metadata.would_be ? " would be " : " is ";
      return [strong(operation), would, to, el("div", {}, small(`was ${stateWord(metadata.from)}; ${reason}`))];
    }
    case "alert": {
      const isResolved = metadata.status === "resolved";
      const gone = metadata.status === "evicted" ? "; it holds, and is not listed any more: worse ones fill the list" : "";
      return [el("span", { class: "badge", data: { level: isResolved ? "resolved" : metadata.level } }, isResolved ? "resolved" : metadata.level), " ", small(`alert: ${asSaid(metadata.kind)} of ${short(metadata.subject ?? "", 120)}${gone}`)];
    }
    case "reloaded":
      return [el("strong", {}, "Configuration reloaded"), el("div", {}, small(visible(metadata.detail ?? "")))];
    case "reload_refused":
      return [el("strong", { class: "low" }, "Reload refused"), el("div", {}, small(visible(metadata.error_message ?? "")))];
    case "counters_reset":
      return [strong(operation), " ", small("its counters were set to zero")];
    case "rejected": {
      const wait = metadata.retry_after_ms ? `; come back in ${span(metadata.retry_after_ms / 1000)}` : "";
      return [strong(operation), " ", small(`${value > 1 ? `${value} calls` : "a call"} refused by ${metadata.rejected_by}${wait}`)];
    }
    case "lagged":
      return [small(missed === null || missed === undefined ? "The server was started anew: what happened in between is not known." : `${missed} events came too fast to be shown.`)];
    default:
      return [small(event)];
  }
}
