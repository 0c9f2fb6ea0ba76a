// What one has to know first: is anything wrong, and which one is it. All that follows below says more.

import { trafficChart } from "./charts.js";
import { announce, byId, el, say } from "./dom.js";
import { number, percent, perSecond, severity, short, stateWord } from "./format.js";
import { TOTAL, lately, samples } from "./history.js";
import { hintOf, known, names, stateOf } from "./known.js";
import { show } from "./operations.js";
import { on, state } from "./state.js";

/** The most names that the verdict lists. */
const MOST_NAMED = 8;

export function start() {
  const icon = el("span", { class: "state", attrs: { "aria-hidden": "true" } });
  const headline = el("span", { id: "headline" });
  const title = el("h1", { class: "headline" }, icon, headline);
  const note = el("p", { class: "muted", id: "verdict-note" });
  const culprits = el("div", { class: "culprits", attrs: { role: "group", "aria-label": "Circuits that are not closed" } });
  const figures = ["Calls, 1 min", "Success, 1 min", "Refused, 1 min", "In flight"].map((name) => {
    const value = el("dd");
    return { value, nodes: [el("dt", {}, name), value] };
  });
  const list = el("dl", { class: "figures" }, ...figures.map((it) => el("div", {}, ...it.nodes)));
  const next = el("span");
  const text = el("div", { class: "verdict-text" }, title, note, el("div", { class: "line" }, culprits, next), list);
  const chart = trafficChart("Calls a second of all operations", 120);
  const figure = el("div", {}, el("div", { class: "head" }, el("h2", {}, "All calls"), el("span", { class: "muted small" }, "since this page was opened")), chart.node);
  byId("verdict").append(text, figure);

  let began = null;
  const judge = () => {
    if (!state.health) return;
    began ??= Date.parse(state.health.details.timestamp);
    const worst = unwell();
    const refusing = worst.filter((it) => severity(it.state) < 2);
    const all = names();
    const total = all.filter((name) => stateOf(known(name)) !== "none").length;
    const level = refusing.length > 0 ? "bad" : worst.length > 0 || waiting() > 0 || chaotic().length > 0 ? "warn" : "good";
    text.dataset.level = level;
    icon.dataset.state = { bad: "open", warn: "half_open", good: "closed" }[level];
    say(headline, sentence(refusing.length, worst.length, total, all.length));
    say(note, remarks(worst, all.length));
    document.title = state.link.state === "disconnected" ? "(disconnected) rampart" : refusing.length > 0 ? `(${refusing.length} open) rampart` : "rampart";
    listCulprits(culprits, worst);
    say(next, worst.length === 1 ? hintOf(known(worst[0].name), worst[0].state) : "");
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
  on("link", judge);
  let told = null;
  on("events", () => {
    const [newest] = state.events;
    const since = state.events.slice(0, told === null ? undefined : Math.max(0, state.events.indexOf(told)));
    told = newest ?? null;
    // What happened before the page was opened is on it, and is not announced.
    const changed = since.filter((it) => it.event === "transition" && !it.metadata.would_be && Date.parse(it.timestamp) > began);
    if (changed.length > MOST_NAMED) announce(`${changed.length} circuits changed their state`);
    else if (changed.length > 0) announce(changed.reverse().map((it) => `${short(it.operation ?? "")} is ${stateWord(it.metadata.to)}`).join(", "));
  });
}

/** All that is not as it should be, the worst first: {name, state}. */
function unwell() {
  const all = names().map((name) => ({ name, state: stateOf(known(name)) })).filter((it) => severity(it.state) < 4);
  return all.sort((a, b) => severity(a.state) - severity(b.state) || (a.name < b.name ? -1 : 1));
}

function waiting() {
  return state.alerts?.alerts.filter((it) => it.status === "active" && !it.acknowledged && it.level !== "info").length ?? 0;
}

/** Those into whose calls latency and faults are injected on purpose: what is seen of them is not the service's alone. */
function chaotic() {
  return Object.entries(state.health.operations).filter(([, it]) => it.is_chaotic).map(([name]) => name);
}

const are = (count) => (count === 1 ? "1 circuit is" : `${count} circuits are`);

function sentence(refusing, unwellCount, total, operations) {
  if (refusing > 0) return `${are(refusing)} open`;
  if (unwellCount > 0) return `${are(unwellCount)} not quite closed`;
  if (waiting() > 0) return "Alerts to look at";
  if (chaotic().length > 0) return "Chaos is on";
  if (operations === 0) return "No operation yet";
  return total === 0 ? "No circuit is on" : total === 1 ? "The circuit is closed" : `All ${total} circuits are closed`;
}

function remarks(worst, operations) {
  const parts = [];
  const count = (of) => worst.filter((it) => it.state === of).length;
  if (count("half_open") > 0) parts.push(`${count("half_open")} half-open: probing`);
  if (count("forced_open") + count("forced_closed") > 0) parts.push(`${count("forced_open") + count("forced_closed")} forced by an operator`);
  const struck = chaotic();
  if (struck.length > 0) parts.push(`Chaos is on in ${short(struck[0])}${struck.length > 1 ? ` and ${struck.length - 1} more` : ""}: latency and faults may be injected on purpose`);
  if (waiting() > 0) parts.push(`${waiting()} ${waiting() === 1 ? "alert" : "alerts"} nobody acknowledged`);
  if (operations === 0) parts.push("An operation appears here with its first call, or once the configuration names it");
  else parts.push(`${operations} ${operations === 1 ? "operation" : "operations"}`);
  return parts.join(" · ");
}

/** One button for each, which shows its row. Kept as long as the names are the same, so that none goes while somebody is on it. */
function listCulprits(place, worst) {
  const wanted = worst.slice(0, MOST_NAMED).map((it) => `${it.state}:${it.name}`).join("\n");
  if (place.dataset.shown === wanted) return;
  place.dataset.shown = wanted;
  const buttons = worst.slice(0, MOST_NAMED).map((it) =>
    el("button", { type: "button", on: { click: () => show(it.name) } },
      el("span", { class: "state", data: { state: it.state } }, el("bdi", { class: "name" }, short(it.name))),
      el("span", { class: "unseen" }, ` ${stateWord(it.state)}, show it`)));
  const more = worst.length - MOST_NAMED;
  const isOn = place.contains(document.activeElement);
  place.replaceChildren(...buttons, ...(more > 0 ? [`and ${more} more`] : []));
  if (isOn) (buttons[0] ?? byId("operations")).focus();
  place.hidden = worst.length === 0;
}
