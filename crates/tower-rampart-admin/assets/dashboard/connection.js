// Keeps what is known up to date: asks for the numbers every few seconds, follows the events, and says plainly when neither is to be had.

import { Refused, get, hasKey } from "./api.js";
import { follow } from "./events.js";
import { setServerTime } from "./format.js";
import * as history from "./history.js";
import { state, tell } from "./state.js";

/** Milliseconds between two looks; more, where an answer is large or nobody looks. */
const EVERY = 2000;
const EVERY_LARGE = 5000;
const EVERY_HIDDEN = 15_000;
const LARGE = 200;
/** The longest wait before another try. */
const MOST_WAIT = 8000;
const MOST_EVENTS = 500;

let timer;
let looking = false;
let again = false;
/** Whether the next look asks for all there is. */
let full = false;
let rounds = 0;
let failures = 0;
let streaming = false;
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

export function stop() {
  stopped.abort();
  clearTimeout(timer);
}

/** Looks at once: something happened, or somebody wants to know. */
export function look() {
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
  const all = full;
  looking = true;
  again = false;
  full = false;
  try {
    if (!hasKey() && failures === 0 && rounds === 0) await askWhetherKeyless();
    const health = await get("health/detailed");
    if (signal.aborted) return;
    if (rounds === 0) listen(signal);
    take(health);
    failures = 0;
    state.link.told = Date.now();
    state.link.next = null;
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
    link("disconnected");
  } finally {
    looking = false;
  }
  if (signal.aborted) return;
  const wait = again && failures === 0 ? 100 : pause();
  state.link.next = failures > 0 ? Date.now() + wait : null;
  timer = setTimeout(refresh, wait);
}

/** Whoever may look is told more by `/health` than that it answers. */
async function askWhetherKeyless() {
  const health = await get("health");
  if (!health.details) throw new Refused(401, { error: "A key is needed" });
}

function pause() {
  if (failures > 0) return Math.min(MOST_WAIT, 500 * 2 ** Math.min(failures, 6)) * (0.75 + Math.random() / 4);
  if (document.hidden) return EVERY_HIDDEN;
  return Object.keys(state.health.operations).length > LARGE ? EVERY_LARGE : EVERY;
}

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
  if (state.config?.etag !== etag || state.config?.overrides.length !== overrides) parts.push(configuration());
  await Promise.all(parts);
}

/** Asks for the configuration and for who changed it. */
export async function configuration() {
  const [config, audit] = await Promise.all([get("config"), get("config/audit", { limit: 50 })]);
  state.config = config;
  state.audit = audit.entries;
  tell("config");
}

async function listen(signal) {
  for (let tries = 0; !signal.aborted; tries += 1) {
    try {
      await follow(hear, () => {
        tries = 0;
        streaming = true;
        if (state.link.state !== "disconnected" && state.health) link("live");
      }, signal);
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return;
    }
    if (signal.aborted) return;
    // Its end is the first that one hears of a server that goes.
    if (streaming) look();
    streaming = false;
    const wait = Math.min(MOST_WAIT, 400 * 2 ** Math.min(tries, 5)) * (0.75 + Math.random() / 4);
    await new Promise((resume) => setTimeout(resume, wait));
  }
}

function hear({ event, data }) {
  state.events.unshift({ event, ...data });
  if (state.events.length > MOST_EVENTS) state.events.length = MOST_EVENTS;
  if (event === "transition" && state.health?.operations[data.operation]) {
    // The next look says the same, with all numbers; the word need not wait for it.
    if (!data.metadata.would_be) state.health.operations[data.operation].circuit_state = data.metadata.to;
    tell("health");
  }
  tell("events");
  if (event !== "rejected") soon();
}

let nudge;

/** Looks in a moment: events come in swarms. */
function soon() {
  clearTimeout(nudge);
  nudge = setTimeout(look, 150);
}
