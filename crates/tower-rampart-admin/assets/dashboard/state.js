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
  /** {state: connecting | live | partly | disconnected, since, told, next} */
  link: { state: "connecting" },
};

const heard = new Map();

/** Calls `hear` whenever the topic changes, and at once. */
export function on(topic, hear) {
  if (!heard.has(topic)) heard.set(topic, new Set());
  heard.get(topic).add(hear);
  hear();
}

/** Says that a topic changed. */
export function tell(topic) {
  heard.get(topic)?.forEach((hear) => hear());
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
