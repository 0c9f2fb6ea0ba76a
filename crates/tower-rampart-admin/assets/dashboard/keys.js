// The keys of an operation whose stages keep their state by key: who calls most, who is refused, whose circuit is open, and the reset of one. Keys are other people's
// data, and may be credentials: they become text and nothing else, and where the API does not tell them a name stands for them.

import { get, path, post } from "./api.js";
import { confirm } from "./confirm.js";
import { look as lookAtAll } from "./connection.js";
import { announce, button, el, field, mark, say, select } from "./dom.js";
import { number, severity, short, span, stateWord, visible, words } from "./format.js";
import { problem } from "./problem.js";
import { mayWrite } from "./state.js";

/** How often they are asked for, in milliseconds: for two of the orders the server looks at all of them. */
const EVERY = 8000;
const MOST = 20;

const ORDERS = [["calls", "most calls first"], ["refusals", "most refused first"], ["refusing", "only those that refuse now"]];
const NOTHING = { calls: "No key was seen yet.", refusals: "No key was refused.", refusing: "No key refuses calls now." };

/** The keys of one operation. `update` is told the stages that go by key, none of them for nothing to be there. */
export function keysOf(name) {
  const order = select(ORDERS);
  const stages = el("div", { class: "stack" });
  const failed = el("div", { attrs: { "aria-live": "polite" } });
  const said = el("div", { attrs: { "aria-live": "polite" } });
  const head = el("div", { class: "line" }, el("h3", {}, "Keys"), field("Show", order));
  const node = el("section", { class: "stack keys", hidden: true, attrs: { "aria-label": `Keys of ${short(name)}` } }, head, stages, failed, said);
  const lists = new Map();
  let asked = 0;

  const look = async () => {
    asked = Date.now();
    const wanted = order.value;
    try {
      const all = await get(path("keys", name), { order: wanted, limit: MOST });
      if (wanted !== order.value) return;
      show(all);
      failed.replaceChildren();
    } catch (error) {
      failed.replaceChildren(problem(error));
    }
  };
  const show = (all) => {
    const there = new Set(all.stages.map((it) => it.stage));
    for (const [stage, list] of lists) {
      if (there.has(stage)) continue;
      list.node.remove();
      lists.delete(stage);
    }
    for (const it of all.stages) {
      if (!lists.has(it.stage)) {
        lists.set(it.stage, stageList(name, it.stage, said, look));
        stages.append(lists.get(it.stage).node);
      }
      lists.get(it.stage).update(it, all.order);
    }
  };
  order.addEventListener("change", look);
  const update = (byKey) => {
    node.hidden = byKey.length === 0;
    if (!node.hidden && Date.now() - asked >= EVERY) look();
  };
  return { node, update };
}

/** The keys of one stage. Who stands where is told anew each time; a row that stays is the same element, so that nobody loses what they are on. */
function stageList(name, stage, said, look) {
  const about = el("p", { class: "muted small" });
  const empty = el("p", { class: "muted" });
  const rows = el("ul", { class: "key-rows", attrs: { "aria-label": `Keys of the ${words(stage)}` } });
  const node = el("div", { class: "stack" }, el("h4", {}, words(stage)), about, rows, empty);
  const known = new Map();

  const update = (it, order) => {
    const rest = [
      it.refusing > 0 ? `${number(it.refusing)} ${it.refusing === 1 ? "refuses" : "refuse"} calls now` : "",
      it.overflowed > 0 ? `${number(it.overflowed)} calls had no place and shared one state` : "",
      it.is_hidden ? "the keys may be credentials and are not shown: a name stands for each" : "",
    ];
    say(about, [`${number(it.keys)} of ${number(it.max_keys)} keys${it.per_key ? ` by ${visible(it.per_key)}` : ""}`, ...rest].filter(Boolean).join("; "));
    empty.hidden = it.top.length > 0;
    say(empty, NOTHING[order]);
    const wanted = new Set(it.top.map((key) => key.id));
    for (const [id, row] of known) {
      if (wanted.has(id)) continue;
      row.node.remove();
      known.delete(id);
    }
    const focused = document.activeElement;
    it.top.forEach((key, index) => {
      if (!known.has(key.id)) known.set(key.id, keyRow(name, key, said, look));
      const row = known.get(key.id);
      if (rows.children[index] !== row.node) rows.insertBefore(row.node, rows.children[index] ?? null);
      row.update(key);
    });
    if (focused && focused !== document.activeElement && rows.contains(focused)) focused.focus({ preventScroll: true });
  };
  return { node, update };
}

/** What a key is called here. */
const called = (it) => (it.key === null ? (it.has_key ? it.id : "calls without a key") : it.key);

function keyRow(name, first, said, look) {
  const text = called(first);
  const label = el("bdi", { class: first.key === null ? "key-name muted" : "key-name", title: visible(text) }, short(text, 80));
  const counts = el("span", { class: "small" });
  const how = el("span");
  const act = el("span", { class: "act" });
  const node = el("li", {}, label, counts, how, act);
  let offered = false;

  const update = (it) => {
    const calls = it.calls === null ? "" : `${it.calls_error > 0 ? "about " : ""}${number(it.calls)} ${it.calls === 1 ? "call" : "calls"}`;
    const refused = it.refused === null ? "" : `${number(it.refused)} refused`;
    say(counts, [calls, refused].filter(Boolean).join(", "));
    const circuit = it.state?.circuit_breaker;
    how.className = circuit ? "state" : "small";
    mark(how, "data-state", circuit ? circuit.state : null);
    say(how, stood(it.state));
    const wants = mayWrite() && circuit !== undefined && severity(circuit.state) < 4;
    if (wants === offered) return;
    offered = wants;
    act.replaceChildren(...(wants ? [resetButton(name, it, said, look)] : []));
  };
  return { node, update };
}

function stood(state) {
  if (state === null) return "at rest";
  const { circuit_breaker: circuit, rate_limit: rate, concurrency } = state;
  if (circuit) return `${stateWord(circuit.state)}${circuit.retry_after_seconds ? `, probes in ${span(circuit.retry_after_seconds)}` : ""}`;
  if (rate) return `${number(Math.floor(rate.remaining))} left`;
  return `${number(concurrency.inflight)} of ${number(concurrency.max_inflight)} in flight${concurrency.queued > 0 ? `, ${number(concurrency.queued)} waiting` : ""}`;
}

function resetButton(name, it, said, look) {
  const text = short(called(it), 40);
  const press = button("Reset…", async () => {
    const body = [el("p", {}, "Its circuit closes at once with an empty window, and its calls are admitted again. The circuits of all other keys stay as they are.")];
    if (!(await confirm({ title: `Reset the circuit of the key ${text}?`, body, yes: "Reset" }))) return;
    said.replaceChildren();
    try {
      const answer = await post(path("keys", name, it.id, "reset"));
      const told = `The circuit of ${text} is ${stateWord(answer.new_state)} (it was ${stateWord(answer.previous_state)}).`;
      said.replaceChildren(el("p", { class: "done" }, told));
      announce(told);
      // The audit has it too.
      lookAtAll();
      await look();
    } catch (error) {
      said.replaceChildren(problem(error));
    }
  });
  press.setAttribute("aria-label", `Reset the circuit of the key ${text}`);
  return press;
}
