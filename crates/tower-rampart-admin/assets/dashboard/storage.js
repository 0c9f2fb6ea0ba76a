// What the browser keeps for this page, where it lets it: one that forbids that has a page that forgets, and no worse.

/** `kind` is "local" or "session". */
function attempt(kind, act) {
  try {
    return act(globalThis[`${kind}Storage`]);
  } catch {
    return null;
  }
}

export const recall = (kind, name) => attempt(kind, (it) => it.getItem(name));
export const keep = (kind, name, text) => attempt(kind, (it) => it.setItem(name, text));
export const forget = (kind, name) => attempt(kind, (it) => it.removeItem(name));
