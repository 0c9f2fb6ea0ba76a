// What one has to know first: is anything wrong, and which one is it. All that follows below says more.

import { trafficChart } from "./charts.js";
import { announce, byId, el, say } from "./dom.js";
import { number, percent, perSecond, severity, short, stateWord } from "./format.js";
import { TOTAL, lately, samples } from "./history.js";
import { show } from "./operations.js";
import { hintOf, known } from "./row.js";
import { on, state } from "./state.js";

/** The most names that the verdict lists. */
const MOST_NAMED = 8;

export function start() {
  const icon = el("span", { class: "state", attrs: { "aria-hidden": "true" } });
  const headline = el("span", { id: "headline" });
  const title = el("h1", { class: "headline" }, icon, headline);
  const note = el("p", { class: "muted", id: "verdict-note" });
  const culprits = el("div", { class: "culprits", attrs: { role: "group", "aria-label": "Circuits that are not closed" } });
  const figures = ["Calls", "Success, last minute", "Refused", "In flight"].map((name) => {
    const value = el("dd");
    return { value, nodes: [el("dt", {}, name), value] };
  });
  const list = el("dl", { class: "figures" }, ...figures.map((it) => el("div", {}, ...it.nodes)));
  const next = el("p");
  const text = el("div", { class: "verdict-text" }, title, note, culprits, next, list);
  const chart = trafficChart("Calls a second of all operations");
  const figure = el("div", {}, el("div", { class: "head" }, el("h2", {}, "All calls"), el("span", { class: "muted small" }, "since this page was opened")), chart.node);
  byId("verdict").append(text, figure);

  const judge = () => {
    if (!state.health) return;
    const worst = unwell();
    const refusing = worst.filter((it) => severity(it.state) < 2);
    const { total_circuit_breakers: total, total_operations: operations } = state.health.details;
    const level = refusing.length > 0 ? "bad" : worst.length > 0 || waiting() > 0 ? "warn" : "good";
    text.dataset.level = level;
    icon.dataset.state = { bad: "open", warn: "half_open", good: "closed" }[level];
    say(headline, sentence(refusing.length, worst.length, total, operations));
    say(note, remarks(worst, operations));
    document.title = refusing.length > 0 ? `(${refusing.length} open) rampart` : "rampart";
    name(culprits, worst);
    next.hidden = worst.length === 0;
    if (worst.length > 0) say(next, `${short(worst[0].name)} ${hintOf(known(worst[0].name), worst[0].state)}.`);
    const now = lately(TOTAL);
    const flying = Object.values(state.health.operations).reduce((sum, it) => sum + it.inflight, 0);
    [perSecond(now.calls), percent(now.success), perSecond(now.refused), number(flying)].forEach((it, index) => say(figures[index].value, it));
    figures[1].value.classList.toggle("low", now.success !== null && now.success < 0.9);
    figures[2].value.classList.toggle("low", now.refused > 0);
    chart.draw(samples(TOTAL));
  };
  on("health", judge);
  on("circuits", judge);
  on("alerts", judge);
  let told = null;
  on("events", () => {
    const newest = state.events[0];
    if (!newest || newest.id === told) return;
    const isFirst = told === null;
    told = newest.id;
    // What happened before the page was opened is on it, and is not announced.
    if (newest.event === "transition" && !isFirst) announce(`${short(newest.operation ?? "")} is ${stateWord(newest.metadata.to)}`);
  });
}

/** All that is not as it should be, the worst first: {name, state}. */
function unwell() {
  const states = new Map(Object.entries(state.circuits).map(([name, it]) => [name, it.state]));
  Object.entries(state.health.operations).forEach(([name, it]) => states.set(name, it.circuit_state));
  const all = [...states].map(([name, of]) => ({ name, state: of })).filter((it) => severity(it.state) < 4);
  return all.sort((a, b) => severity(a.state) - severity(b.state) || (a.name < b.name ? -1 : 1));
}

function waiting() {
  return state.alerts?.alerts.filter((it) => it.status === "active" && !it.acknowledged && it.level !== "info").length ?? 0;
}

const are = (count) => (count === 1 ? "1 circuit is" : `${count} circuits are`);

function sentence(refusing, unwellCount, total, operations) {
  if (refusing > 0) return `${are(refusing)} open`;
  if (unwellCount > 0) return `${are(unwellCount)} not quite closed`;
  if (waiting() > 0) return "Alerts to look at";
  if (operations === 0) return "No operation yet";
  return total === 0 ? "No circuit is on" : total === 1 ? "The circuit is closed" : `All ${total} circuits are closed`;
}

function remarks(worst, operations) {
  const parts = [];
  const count = (of) => worst.filter((it) => it.state === of).length;
  if (count("half_open") > 0) parts.push(`${count("half_open")} half-open: probing`);
  if (count("forced_open") + count("forced_closed") > 0) parts.push(`${count("forced_open") + count("forced_closed")} forced by an operator`);
  if (waiting() > 0) parts.push(`${waiting()} ${waiting() === 1 ? "alert" : "alerts"} nobody acknowledged`);
  if (operations === 0) parts.push("An operation appears here with its first call, or once the configuration names it");
  else parts.push(`${operations} ${operations === 1 ? "operation" : "operations"}`);
  return parts.join(" · ");
}

/** One button for each, which shows its row. Kept as long as the names are the same, so that none goes while somebody is on it. */
function name(place, worst) {
  const wanted = worst.slice(0, MOST_NAMED).map((it) => `${it.state}:${it.name}`).join("\n");
  if (place.dataset.shown === wanted) return;
  place.dataset.shown = wanted;
  const buttons = worst.slice(0, MOST_NAMED).map((it) =>
    el("button", { type: "button", on: { click: () => show(it.name) } },
      el("span", { class: "state", data: { state: it.state } }, el("bdi", { class: "name" }, short(it.name))),
      el("span", { class: "unseen" }, ` ${stateWord(it.state)}, show it`)));
  const more = worst.length - MOST_NAMED;
  place.replaceChildren(...buttons, ...(more > 0 ? [`and ${more} more`] : []));
  place.hidden = worst.length === 0;
}
