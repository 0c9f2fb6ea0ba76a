// What is known of each name: an operation, a circuit without one, or both. Read from state.js; how it looks is row.js's business.

import { clock, serverNow, severity, span } from "./format.js";
import { own, state } from "./state.js";

/** The operation that stands for all those for which the registry has no room. Before it is needed there is nothing to see of it. */
const OTHERS = "other";

export const known = (name) => ({ operation: own(state.health?.operations, name), circuit: own(state.circuits, name) });

export const stateOf = ({ operation, circuit }) => (operation ? operation.circuit_state : circuit?.state) ?? "none";

/** Whether nobody ever called it: 1 or 0. */
export const isIdle = ({ operation }) => Number(operation !== undefined && operation.total_calls + operation.rejected_calls === 0);

/** All names, in no order. */
export function names() {
  const all = new Set([...Object.keys(state.health.operations), ...Object.keys(state.circuits)]);
  const others = known(OTHERS);
  if (isIdle(others) && severity(stateOf(others)) === 4) all.delete(OTHERS);
  return [...all];
}

/** What comes next, where that is known. */
export function hintOf({ operation, circuit }, of) {
  if (of === "closed" && operation?.by_key.includes("circuit_breaker")) return "keys have circuits of their own";
  if (of === "open") {
    const wait = circuit?.retry_after_seconds;
    return wait ? `refuses all calls; probes in ${span(wait)}` : "refuses all calls; the next one is a probe";
  }
  if (of === "half_open") return "lets single calls pass to probe";
  if (of === "forced_open" || of === "forced_closed") {
    const what = of === "forced_open" ? "refuses all calls" : "admits all calls";
    if (!circuit?.forced_until) return `${what} until somebody resets it`;
    return `${what} until ${clock(circuit.forced_until)}, in ${span((Date.parse(circuit.forced_until) - serverNow()) / 1000)}`;
  }
  return "";
}
