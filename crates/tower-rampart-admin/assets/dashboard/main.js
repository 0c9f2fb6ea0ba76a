// The beginning: puts the parts together and says how the connection is. Each part is a file of its own.

import * as access from "./access.js";
import * as alerts from "./alerts.js";
import * as audit from "./audit.js";
import * as change from "./change.js";
import * as configuration from "./configuration.js";
import * as connection from "./connection.js";
import { byId, button, el, say } from "./dom.js";
import { clock, span, visible } from "./format.js";
import * as operations from "./operations.js";
import { on, state } from "./state.js";
import * as summary from "./summary.js";
import * as theme from "./theme.js";
import * as timeline from "./timeline.js";

theme.start();
summary.start();
alerts.start();
operations.start();
timeline.start();
audit.start();
change.start();
configuration.start();
const refused = access.start(() => connection.start(refused));
connection.start(refused);

// Whoever comes back to the tab sees the present, not what was when it was left.
document.addEventListener("visibilitychange", () => !document.hidden && connection.look());

const WORDS = { connecting: "Connecting…", live: "Live", partly: "Numbers live, events are late", disconnected: "Disconnected" };

const what = el("span");
const banner = byId("banner");
// Only the first sentence is read out: the seconds are for the eye.
const seconds = el("span", { attrs: { "aria-hidden": "true" } });
banner.append(el("span", {}, el("strong", {}, "Disconnected"), what), seconds, button("Try now", () => connection.look()));

function drawLink() {
  const { state: how, since, told, next, why } = state.link;
  const pill = byId("link");
  pill.dataset.link = how;
  say(pill, how === "live" && state.health ? `Live · ${clock(state.health.details.timestamp)}` : WORDS[how]);
  const isAway = how === "disconnected";
  banner.hidden = !isAway;
  byId("main").toggleAttribute("data-stale", isAway);
  if (!isAway) return;
  say(what, ` since ${clock(since)}${why ? `: ${visible(why)}` : ""}. ${told ? `What is shown is from ${clock(told)} and may be stale.` : "Nothing is known yet."}`);
  say(seconds, `${span((Date.now() - since) / 1000)} ago${next ? `; next try in ${span(Math.max(0, (next - Date.now()) / 1000))}` : "; trying"}`);
}

on("link", drawLink);
on("health", drawLink);
setInterval(() => state.link.state === "disconnected" && drawLink(), 1000);

on("health", () => {
  if (!state.health) return;
  say(byId("version"), `rampart ${state.health.version}, running for ${span(state.health.uptime_seconds)}`);
});
byId("zone").textContent = `Times are those of this machine (${Intl.DateTimeFormat().resolvedOptions().timeZone}); a title shows UTC.`;
