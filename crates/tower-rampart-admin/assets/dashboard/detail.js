// What there is to know of one operation, and what can be done about it: below its row, while that is open.

import { ask, get, path } from "./api.js";
import { forceCloseButton, forceOpenButton, resetButton } from "./breakers.js";
import { edit } from "./change.js";
import { trafficChart } from "./charts.js";
import { el, button, say } from "./dom.js";
import { ago, clock, millis, number, percent, span, words } from "./format.js";
import { lately, samples } from "./history.js";
import { keysOf } from "./keys.js";
import { known } from "./known.js";
import { problem } from "./problem.js";
import { stageFacts } from "./stages.js";
import { mayWrite, state } from "./state.js";

/** How often the counts of one operation are asked for, in milliseconds; more seldom if more than a few are open. */
const EVERY = 4000;
const FEW = 3;
let opened = 0;

/** What such a judgement does not know. */
const byKey = (stages) => (stages.length === 0 ? "" : ` Whether the ${stages.map(words).join(" and the ")} would, depends on its key.`);

/** What is shown of an operation. Whoever takes it off the page says `close`. */
export function detail(name) {
  opened += 1;
  const chart = trafficChart("Calls a second of this operation", 160);
  const facts = el("dl", { class: "facts" });
  const said = el("div", { attrs: { "aria-live": "polite" } });
  const failed = el("div", { attrs: { "aria-live": "polite" } });
  const actions = el("div", { class: "line" });
  const judged = el("p", { class: "muted" });
  const values = new Map();
  const keys = keysOf(name);
  let asked = 0;
  let askedIn = null;
  let metrics = null;

  // The buttons go only when there is another reason for them: not while somebody is on one.
  let offered = "";
  const offer = () => {
    const { operation, circuit } = known(name);
    const [commands, change] = [mayWrite() && circuit !== undefined, mayWrite() && operation !== undefined];
    const wants = `${commands} ${change}`;
    if (wants === offered) return;
    offered = wants;
    actions.replaceChildren(
      ...(commands ? [resetButton(name, said), forceOpenButton(name, said), forceCloseButton(name, said)] : []),
      ...(change ? [button("Change its configuration…", () => edit({ operation_overrides: { [name]: {} } }))] : []));
  };
  const fact = (label, value) => {
    if (value === null) {
      values.get(label)?.forEach((it) => it.remove());
      values.delete(label);
      return;
    }
    if (!values.has(label)) {
      values.set(label, [el("dt", {}, label), el("dd", { class: "text" })]);
      facts.append(...values.get(label));
    }
    say(values.get(label)[1], value);
  };
  const fetchMetrics = async () => {
    const { operation } = known(name);
    const isOld = Date.now() - asked >= EVERY * Math.max(1, opened / FEW);
    if (!operation || (!isOld && operation.circuit_state === askedIn)) return;
    asked = Date.now();
    askedIn = operation.circuit_state;
    try {
      // One that is called like another route is asked for by an escaped letter.
      const segment = ["prometheus", "reset"].includes(name) ? `%${name.charCodeAt(0).toString(16)}${name.slice(1)}` : path(name);
      const [counts, check] = await Promise.all([ask("GET", `metrics/${segment}`), get(path("preflight", name))]);
      metrics = counts.metrics;
      say(judged, check.passed ? `A call would be admitted now.${byKey(check.by_key)}` : `A call would be refused now, by ${check.refusals.map((it) => words(it.stage)).join(" and ")}${check.retry_after ? `; worth another try in ${span(check.retry_after)}` : ""}.${byKey(check.by_key)}`);
      failed.replaceChildren();
    } catch (error) {
      failed.replaceChildren(problem(error));
      return;
    }
    draw();
  };
  const listed = (all) => {
    const some = Object.entries(all).filter(([, count]) => count > 0);
    return some.length > 0 ? some.map(([what, count]) => `${words(what)} ${number(count)}`).join(", ") : "none";
  };
  const draw = () => {
    const { operation, circuit } = known(name);
    const marks = state.events
      .filter((it) => it.event === "transition" && it.operation === name && !it.metadata.would_be)
      .map((it) => ({ at: Date.parse(it.timestamp) / 1000, bad: ["open", "forced_open"].includes(it.metadata.to) }));
    chart.draw(samples(name), marks);
    if (circuit) {
      fact("Failures in a row", `${number(circuit.failure_count)}, opens at ${number(circuit.threshold)}`);
      fact("Recovery timeout", span(circuit.recovery_timeout));
      fact("Opened", circuit.metrics.circuit_breaker_opens === 1 ? "once" : `${number(circuit.metrics.circuit_breaker_opens)} times`);
      fact("Last failure", circuit.last_failure ? `${clock(circuit.last_failure)} (${ago(circuit.last_failure)})` : "none");
    }
    if (operation) {
      fact("Success since start", operation.total_calls > 0 ? percent(operation.success_rate) : "no call yet");
      fact("Mean latency, last minute", millis(lately(name).mean));
      fact("Health", percent(operation.health_score));
    }
    if (metrics) {
      fact("Calls since start", `${number(metrics.total_calls)} admitted, ${number(metrics.rejected_calls)} refused, ${number(metrics.abandoned_calls)} abandoned`);
      fact("Last success", metrics.last_success ? `${clock(metrics.last_success)} (${ago(metrics.last_success)})` : "none");
      fact("Refused by", listed(metrics.rejections));
      fact("Answers", listed(metrics.classes));
      fact("Timeouts", listed(metrics.timeouts));
      fact("Retries", `${number(metrics.retry_attempts)} attempts beyond the first; gave up: ${listed(metrics.retry_stops)}`);
      fact("Answered by a fallback", number(metrics.fallbacks));
      if (metrics.chaos) fact("Chaos", `${metrics.chaos.enabled ? "on" : "off"}; injected ${number(metrics.chaos.faults)} faults, ${number(metrics.chaos.latencies)} times latency`);
      fact("Slowest", millis(metrics.latency.max_ms));
      stageFacts(metrics).forEach(([label, value]) => fact(label, value));
      keys.update(metrics.stages.by_key);
    }
  };
  const node = el("div", { class: "stack" },
    el("div", { class: "detail-grid" }, el("div", { class: "stack" }, chart.node, judged, actions), facts), failed, said, keys.node);
  const update = () => {
    offer();
    draw();
    fetchMetrics();
  };
  const close = () => {
    opened -= 1;
    chart.close();
  };
  return { node, update, close };
}
