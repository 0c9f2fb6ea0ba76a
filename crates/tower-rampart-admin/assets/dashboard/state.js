// What is known, and who wants to hear when it changes. There is one of it; who fills it is connection.js.

export const state = {
  /** Who asks: {name, role}. */
  caller: null,
  /** The answer of /health/detailed. */
  health: null,
  /** The circuits by name, from /circuit-breakers. */
  circuits: {},
  /** The answer of /monitoring/alerts. */
  alerts: null,
  /** The answer of /config. */
  config: null,
  /** The entries of /config/audit. */
  audit: null,
  /** What happened, newest first. */
  events: [],
  /** Calls that were refused, newest first: many come at once, and must drive nothing else out. */
  refusals: [],
  /** {state: connecting | live | partly | disconnected, since, told, next, why} */
  link: { state: "connecting" },
};

/** What an object that came as JSON holds under a name of anybody's choice: what it inherits is none of it. */
export const own = (all, name) => (all && Object.hasOwn(all, name) ? all[name] : undefined);

const heard = new Map();

/** One that cannot show what changed keeps nobody else from it, and says so on the console. */
function tellOne(hear) {
  try {
    hear();
  } catch (error) {
    reportError(error);
  }
}

/** Calls `hear` whenever the topic changes, and at once. Gives what ends that. */
export function on(topic, hear) {
  if (!heard.has(topic)) heard.set(topic, new Set());
  heard.get(topic).add(hear);
  tellOne(hear);
  return () => heard.get(topic).delete(hear);
}

/** Says that a topic changed. */
export function tell(topic) {
  heard.get(topic)?.forEach(tellOne);
}

const due = new Set();

/** Says so in a moment: what changes a hundred times meanwhile is said once. */
export function tellSoon(...topics) {
  if (due.size === 0) {
    setTimeout(() => {
      const all = [...due];
      due.clear();
      all.forEach(tell);
    }, 30);
  }
  topics.forEach((topic) => due.add(topic));
}

export const mayWrite = () => state.caller?.role === "write";

/** Keeps in `place` what `build` makes for those who may write; for all others there is nothing there, not even hidden. */
export function forWriters(place, build) {
  let built = false;
  on("caller", () => {
    if (mayWrite() && !built) place.append(build());
    else if (!mayWrite() && built) place.replaceChildren();
    built = mayWrite();
  });
}
