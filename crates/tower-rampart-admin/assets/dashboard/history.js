// What the counters were, so that one can tell what happened lately. The API counts from the start; a rate is the difference of two looks.

/** How many seconds of samples are kept. */
const KEPT = 360;
/** A longer silence than this many seconds is a gap in the line. */
const GAP = 15;

const all = new Map();
/** Under this name stands the sum of all operations. */
export const TOTAL = Symbol("total");

function push(name, at, counts) {
  const samples = all.get(name) ?? [];
  const last = samples.at(-1);
  // Counters that fell were reset: what was before does not count.
  const fell = last && ["ok", "failed", "refused"].some((it) => counts[it] < last[it]);
  if (fell) samples.length = 0;
  const before = fell ? undefined : last;
  const passed = before ? at - before.at : 0;
  if (before && passed <= 0) return;
  const rate = (of) => (before ? (counts[of] - before[of]) / passed : null);
  if (passed > GAP) samples.push({ isGap: true, at: at - passed / 2, rates: { ok: null, failed: null, refused: null } });
  samples.push({ ...counts, at, rates: { ok: rate("ok"), failed: rate("failed"), refused: rate("refused") } });
  samples.splice(0, samples.findIndex((it) => at - it.at <= KEPT));
  all.set(name, samples);
}

/** Takes note of the operations as /health/detailed tells them, at a time in seconds. */
export function note(operations, at) {
  const total = { ok: 0, failed: 0, refused: 0, answered: 0, millis: 0 };
  for (const [name, it] of Object.entries(operations)) {
    const counts = {
      ok: it.successful_calls,
      failed: it.failed_calls,
      refused: it.rejected_calls,
      answered: it.answered_calls,
      millis: it.answered_calls * it.mean_ms,
    };
    push(name, at, counts);
    Object.keys(total).forEach((key) => (total[key] += counts[key]));
  }
  push(TOTAL, at, total);
  for (const name of all.keys()) if (name !== TOTAL && !Object.hasOwn(operations, name)) all.delete(name);
}

export const samples = (name) => all.get(name) ?? [];

/** What happened in the last `seconds`: rates a second, the share of successes (null without calls) and the mean latency. */
export function lately(name, seconds = 60) {
  const own = samples(name).filter((it) => !it.isGap);
  const last = own.at(-1);
  if (own.length < 2) return { calls: null, refused: null, success: null, mean: null };
  const first = own.find((it) => last.at - it.at <= seconds) ?? own[0];
  const base = first === last ? own.at(-2) : first;
  const passed = last.at - base.at;
  const [ok, failed, refused] = ["ok", "failed", "refused"].map((it) => last[it] - base[it]);
  const answered = last.answered - base.answered;
  return {
    calls: (ok + failed) / passed,
    refused: refused / passed,
    success: ok + failed > 0 ? ok / (ok + failed) : null,
    mean: answered > 0 ? Math.max(0, last.millis - base.millis) / answered : null,
  };
}
