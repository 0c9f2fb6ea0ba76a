// How the stages stand that not every operation has, as facts of its detail: what is off has none. What they count is in the answer of /metrics/{name}.

import { bytes, millis, number, percent, words } from "./format.js";

const concurrency = (it) => {
  const waiting = it.queued > 0 ? `, ${number(it.queued)} waiting` : "";
  const base = it.base_latency_ms === null ? "" : `, goes by ${millis(it.base_latency_ms)}`;
  return `${number(it.inflight)} of ${number(it.max_inflight)} in flight${waiting}${it.algorithm ? `; moved by ${words(it.algorithm)}${base}` : ""}`;
};

const cache = (it) => {
  const asked = it.hits + it.misses;
  const beside = [[it.stale, "stale"], [it.coalesced, "shared with another call"]].filter(([count]) => count > 0);
  const rest = beside.map(([count, what]) => `, ${number(count)} ${what}`).join("");
  const size = it.bytes > 0 ? `, ${bytes(it.bytes)}` : "";
  return `${asked > 0 ? `hits ${percent(it.hit_rate)} of ${number(asked)}` : "nothing asked yet"}${rest}; keeps ${number(it.entries)} ${it.entries === 1 ? "answer" : "answers"}${size}`;
};

const throttle = (it) =>
  `${it.share > 0 ? `refuses ${percent(it.share)} of the calls now` : "refuses nothing now"}; of ${number(it.requests)} lately ${number(it.accepts)} were taken on`;

/** The most important class first, as the API names them. */
const CLASSES = ["critical_plus", "critical", "sheddable_plus", "sheddable"];

const priority = (all) =>
  CLASSES.filter((it) => all[it]).map((it) => `${words(it)} up to ${percent(all[it].share)}, ${number(all[it].shed)} shed`).join("; ");

const shadow = (stages, refused, queued) =>
  stages.map((it) => {
    const waits = queued[it] > 0 ? `, let ${number(queued[it])} wait` : "";
    return `${words(it)} would have refused ${number(refused[it] ?? 0)}${waits}`;
  }).join("; ");

const hedges = (it) => {
  const after = it.delay_ms === null ? "" : `; the next begins after ${millis(it.delay_ms)}`;
  return `${number(it.begun)} begun, ${number(it.won)} won${it.unpaid > 0 ? `, ${number(it.unpaid)} not paid for` : ""}${after}`;
};

/** Labels and texts; null instead of a text: there is no such stage. */
export function stageFacts({ stages, hedges: copies, would_refuse: refused, would_queue: queued }) {
  const of = (it, tell) => (it === null ? null : tell(it));
  return [
    ["Concurrency limit", of(stages.concurrency, concurrency)],
    ["Cache", of(stages.cache, cache)],
    ["Throttle", of(stages.throttle, throttle)],
    ["Classes may fill the limit", of(stages.priority, priority)],
    ["Hedges", copies.begun > 0 || copies.delay_ms !== null ? hedges(copies) : null],
    ["In shadow", stages.shadow.length > 0 ? shadow(stages.shadow, refused, queued) : null],
    ["Kept by key", stages.by_key.length > 0 ? `${stages.by_key.map(words).join(", ")}; what is said of them here is that of keys without a place` : null],
  ];
}
