// Keeps what is known up to date: asks for the numbers every few seconds, follows the events, and says plainly when neither is to be had.

import { Refused, get, hasKey } from "./api.js";
import { follow } from "./events.js";
import { serverNow, setServerTime } from "./format.js";
import * as history from "./history.js";
import { known } from "./known.js";
import { state, tell, tellSoon } from "./state.js";

/** Milliseconds between two looks; more, where an answer is large. A page that nobody sees does not look: the events alone keep its title true. */
const EVERY = 2000;
const EVERY_LARGE = 5000;
const LARGE = 200;
/** The least milliseconds between two looks that events ask for: a storm of them must not use up what the API lets a caller ask. */
const LEAST = 1000;
/** The first and the longest wait before another try. */
const [FIRST_WAIT, MOST_WAIT] = [500, 8000];
/** The most that is kept of what happened, and as much again of refused calls. */
const MOST_EVENTS = 300;

let timer;
let looking = false;
let lookedAt = -LEAST;
let again = false;
/** Whether the next look asks for all there is. */
let full = false;
let rounds = 0;
let failures = 0;
let streaming = false;
/** How many reloads were heard of, and how many of them what is known of the configuration goes by. */
let [reloads, configured] = [0, 0];
let stopped = new AbortController();
let refused = () => {};

/** Begins, with whatever key there is. `onRefused` is called if the server wants another one. */
export function start(onRefused) {
  refused = onRefused;
  stopped = new AbortController();
  rounds = 0;
  failures = 0;
  link("connecting");
  look();
}

function stop() {
  stopped.abort();
  clearTimeout(timer);
}

/** Looks at once: something happened, or somebody wants to know. */
export function look() {
  if (stopped.signal.aborted) return;
  full = true;
  if (looking) {
    again = true;
    return;
  }
  clearTimeout(timer);
  refresh();
}

function link(next) {
  const since = state.link.state === next ? state.link.since : Date.now();
  state.link = { ...state.link, state: next, since };
  tell("link");
}

async function refresh() {
  const { signal } = stopped;
  let wait;
  const all = full;
  looking = true;
  lookedAt = performance.now();
  again = false;
  full = false;
  try {
    if (!hasKey() && failures === 0 && rounds === 0) await askWhetherKeyless();
    const health = await get("health/detailed");
    if (signal.aborted) return;
    if (rounds === 0) listen(signal);
    take(health);
    failures = 0;
    Object.assign(state.link, { told: Date.now(), next: null, why: null });
    link(streaming ? "live" : rounds > 2 ? "partly" : "connecting");
    rounds += 1;
    await lesser(health, all);
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof Refused && [401, 403].includes(error.status)) {
      stop();
      refused(error);
      return;
    }
    failures += 1;
    state.link.why = error instanceof Refused ? error.message : null;
    wait = Math.max(backoff(failures), 1000 * (error.context?.retry_after_seconds ?? 0));
    link("disconnected");
  } finally {
    looking = false;
  }
  if (signal.aborted) return;
  if (wait === undefined && document.hidden) return;
  wait ??= again ? 100 : pause();
  state.link.next = failures > 0 ? Date.now() + wait : null;
  timer = setTimeout(refresh, wait);
}

/** Milliseconds before another try: twice as long each time, and anywhere in half of that, so that not all pages come back at once. */
const backoff = (tries) => Math.min(MOST_WAIT, FIRST_WAIT * 2 ** Math.min(tries, 10)) * (0.5 + Math.random() / 2);

/** Whoever may look is told more by `/health` than that it answers. */
async function askWhetherKeyless() {
  const health = await get("health");
  if (!health.details) throw new Refused(401, { error: "A key is needed" });
}

const pause = () => (Object.keys(state.health.operations).length > LARGE ? EVERY_LARGE : EVERY);

function take(health) {
  const { timestamp } = health.details;
  setServerTime(timestamp);
  history.note(health.operations, Date.parse(timestamp) / 1000);
  state.health = health;
  if (state.caller?.name !== health.caller.name || state.caller?.role !== health.caller.role) {
    state.caller = health.caller;
    tell("caller");
  }
  tell("health");
}

/** What need not be asked for each time. */
async function lesser(health, all) {
  const parts = [];
  if (all || rounds % 2 === 1) {
    parts.push(get("circuit-breakers").then((it) => ((state.circuits = it.circuit_breakers), tell("circuits"))));
    parts.push(get("monitoring/alerts", { max_alerts: 100 }).then((it) => ((state.alerts = it), tell("alerts"))));
  }
  const { etag, overrides } = health.configuration;
  // A document for a time that was given more time is told apart by its reload alone.
  const isOther = configured !== reloads || state.config?.etag !== etag || state.config?.overrides.length !== overrides;
  if (isOther) parts.push(configuration());
  if (isOther || all) parts.push(get("config/audit", { limit: 50 }).then((it) => ((state.audit = it.entries), tell("audit"))));
  await Promise.all(parts);
}

/** Asks for the configuration. */
export async function configuration() {
  const heard = reloads;
  state.config = await get("config");
  configured = heard;
  tell("config");
}

async function listen(signal) {
  for (let tries = 0; !signal.aborted; tries += 1) {
    try {
      await follow(hear, () => {
        tries = 0;
        streaming = true;
        if (state.link.state === "disconnected") look();
        else if (state.health) link("live");
      }, signal);
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return;
    }
    if (signal.aborted) return;
    // Its end is the first that one hears of a server that goes.
    if (streaming) setTimeout(() => !signal.aborted && look(), FIRST_WAIT * Math.random());
    streaming = false;
    await new Promise((resume) => setTimeout(resume, backoff(tries)));
  }
}

function hear({ event, data }) {
  const ring = event === "rejected" ? state.refusals : state.events;
  ring.unshift({ event, timestamp: new Date(serverNow()).toISOString(), ...data });
  if (ring.length > MOST_EVENTS) ring.length = MOST_EVENTS;
  tellSoon("events");
  if (event === "rejected") return;
  // Among what was missed there may be one.
  if (event === "reloaded" || event === "lagged") reloads += 1;
  if (event === "transition" && !data.metadata.would_be) {
    // The next look says the same, with all numbers; the word need not wait for it.
    const { operation, circuit } = known(data.operation);
    if (operation) operation.circuit_state = data.metadata.to;
    if (circuit) circuit.state = data.metadata.to;
    tellSoon("health");
  }
  soon();
}

let nudge = null;

/** Looks in a moment: events come in swarms. */
function soon() {
  if (nudge !== null || document.hidden) return;
  const after = () => {
    nudge = null;
    look();
  };
  nudge = setTimeout(after, Math.max(150, lookedAt + LEAST - performance.now()));
}
