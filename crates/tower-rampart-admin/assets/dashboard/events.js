// What happens, as it happens: server-sent events read by fetch, because an EventSource sends no key. What comes of them is timeline.js's business.

import { read, send } from "./api.js";

/** A server that has nothing to tell says that every 15 seconds: after this many milliseconds of silence it is gone. */
const SILENCE = 40_000;
/** How many events of the past are asked for. */
const LATEST = 300;

let last = null;

/** Reads one stream to its end. `hear` gets each event as {event, data}; `begun` is called once it flows. */
export async function follow(hear, begun, aborted) {
  const quiet = new AbortController();
  let timer;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => quiet.abort(), SILENCE);
  };
  alive();
  try {
    const response = await send("GET", "monitoring/events", {
      query: last === null ? { latest: LATEST } : {},
      headers: { accept: "text/event-stream", ...(last === null ? {} : { "last-event-id": last }) },
      signal: AbortSignal.any([quiet.signal, aborted]),
    });
    if (!response.ok) await read(response);
    begun();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      text += value;
      const messages = text.split("\n\n");
      text = messages.pop();
      messages.forEach((message) => heed(message, hear));
    }
  } finally {
    clearTimeout(timer);
    quiet.abort();
  }
}

function heed(message, hear) {
  const fields = {};
  for (const line of message.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const [name, value] = [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
    fields[name] = name in fields ? `${fields[name]}\n${value}` : value;
  }
  if (fields.id !== undefined) last = fields.id;
  if (fields.data === undefined) return;
  try {
    hear({ event: fields.event ?? "message", data: JSON.parse(fields.data) });
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
}
