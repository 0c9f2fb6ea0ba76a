// One operation as a row of the table. Its cells are made once and only say other texts, so that nothing moves under whoever is on them.

import { resetButton } from "./breakers.js";
import { detail } from "./detail.js";
import { el, fresh, mark, say } from "./dom.js";
import { millis, number, percent, perSecond, severity, stateWord, visible } from "./format.js";
import { lately, samples } from "./history.js";
import { hintOf, isIdle, known, stateOf } from "./known.js";
import { sparkline } from "./spark.js";
import { mayWrite } from "./state.js";

export const COLUMNS = [
  ["Operation", "who"],
  ["State", "is"],
  ["Calls", "number", "Calls that were admitted and ended, a second, in the last minute; the line shows two minutes, dashed what failed or was refused"],
  ["Success", "number", "Of the calls that were admitted and ended in the last minute, or without one since the counters began"],
  ["p50", "number", "Latency that half of the answered calls do not exceed, since the counters began"],
  ["p95", "number", "Latency that 95 % of the answered calls do not exceed, since the counters began"],
  ["p99", "number", "Latency that 99 % of the answered calls do not exceed, since the counters began"],
  ["In flight", "number", "Calls that have not ended, and how many there may be"],
  ["Rate left", "number", "Calls that the rate limit would admit now"],
  ["Attempts", "number", "Retry amplification: attempts that reached the service behind, for each call that did"],
  ["", "act"],
];

/** A row, with the row below it that says more once it is opened. */
export function makeRow(name) {
  const id = fresh("detail");
  const toggle = el("button", { type: "button", class: "toggle", attrs: { "aria-expanded": "false", "aria-controls": id } }, el("bdi", { class: "name" }, visible(name)));
  toggle.title = visible(name);
  const hint = el("small", { class: "hint" });
  const word = el("span", { class: "state" });
  const spark = sparkline();
  const calls = el("span");
  const [success, p50, p95, p99, rate, amplification] = Array.from({ length: 6 }, () => el("span"));
  const flight = [el("span"), el("small")];
  const act = el("td", { class: "act" });
  const said = el("div", { attrs: { "aria-live": "polite" } });
  const cells = [[toggle, hint, said], [word], [el("span", { class: "traffic" }, spark.node, calls)], [success], [p50], [p95], [p99], flight, [rate], [amplification]];
  const row = el("tr", { class: "row" },
    ...cells.map((nodes, index) => {
      const [label, kind] = COLUMNS[index];
      const data = index > 0 ? { label } : {};
      return el("td", { class: label === "Calls" ? `${kind} wide` : kind, data, attrs: { role: "cell" } }, ...nodes);
    }), act);
  row.setAttribute("role", "row");
  act.setAttribute("role", "cell");
  const below = el("tr", { class: "detail", id, hidden: true });
  let more = null;

  const update = () => {
    const it = known(name);
    const of = stateOf(it);
    mark(row, "data-state", of);
    row.toggleAttribute("data-idle", isIdle(it) === 1);
    mark(word, "data-state", of);
    say(word, stateWord(of));
    say(hint, hintOf(it, of));
    const now = lately(name);
    const { operation } = it;
    say(calls, operation ? perSecond(now.calls) : "–");
    spark.draw(samples(name));
    const share = now.success ?? (operation?.total_calls ? operation.success_rate : null);
    say(success, percent(share));
    success.classList.toggle("low", share !== null && share < 0.9);
    const answered = operation?.answered_calls > 0;
    [[p50, "p50_ms"], [p95, "p95_ms"], [p99, "p99_ms"]].forEach(([node, field]) => say(node, answered ? millis(operation[field]) : "–"));
    say(flight[0], operation ? `${number(operation.inflight)}${operation.max_inflight ? ` / ${number(operation.max_inflight)}` : ""}` : "–");
    say(flight[1], operation?.queue_depth ? `${number(operation.queue_depth)} waiting` : "");
    const left = operation?.rate_remaining ?? null;
    say(rate, left === null ? "no limit" : number(Math.floor(left)));
    rate.parentNode.toggleAttribute("data-without", left === null);
    rate.classList.toggle("low", left !== null && left < 1);
    say(amplification, answered ? `${operation.amplification.toFixed(2)} ×` : "–");
    amplification.classList.toggle("low", operation?.amplification >= 1.5);
    offer(of);
    more?.update();
  };
  // The button goes only when the state does: not while somebody is on it.
  let offered = null;
  const offer = (of) => {
    const wants = mayWrite() && severity(of) < 4;
    if (wants === offered) return;
    offered = wants;
    // Whoever pressed it is still on this row.
    if (act.contains(document.activeElement)) toggle.focus();
    act.replaceChildren(...(wants ? [resetButton(name, said)] : []));
  };
  const open = (is) => {
    toggle.setAttribute("aria-expanded", String(is));
    below.hidden = !is;
    if (is && !more) {
      more = detail(name);
      below.append(el("td", { colSpan: COLUMNS.length }, more.node));
      more.update();
    } else if (!is) {
      more?.close();
      more = null;
      below.replaceChildren();
    }
  };
  toggle.addEventListener("click", () => open(below.hidden));
  return { name, row, below, update, open, toggle };
}
