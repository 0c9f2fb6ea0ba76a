// Asks for a key where one is needed. What is typed goes into the header of requests and nowhere else; api.js keeps it.

import { forgetKey, hasKey, isKey, useKey } from "./api.js";
import { byId, el, field } from "./dom.js";
import { visible } from "./format.js";
import { on, state, tell } from "./state.js";

export function start(begin) {
  const place = byId("entrance");
  const input = el("input", { type: "password", id: "key", autocomplete: "off", spellcheck: false });
  const keep = el("input", { type: "checkbox" });
  const said = el("p", { id: "key-said", class: "problem", hidden: true, attrs: { role: "alert" } });
  const enter = el("button", { type: "submit", class: "main", id: "enter" }, "Look");
  input.setAttribute("aria-describedby", "key-said");
  const use = () => {
    const typed = input.value.trim();
    if (!isKey(typed)) {
      said.hidden = false;
      said.textContent = typed === "" ? "Type a key first." : "This is no key: keys are made of visible ASCII characters alone, without spaces. Nothing was sent.";
      input.select();
      return;
    }
    useKey(typed, keep.checked);
    input.value = "";
    place.hidden = true;
    begin();
  };
  const submit = (event) => {
    // Nothing is ever submitted to anywhere: a key must not stand in a URL.
    event.preventDefault();
    use();
  };
  place.append(el("form", { class: "panel stack", on: { submit } },
    el("h2", {}, "This server wants a key"),
    el("p", { class: "muted" }, "One of the keys of the management API. A key that may read shows all there is; one that may write can also reset circuits and change the configuration."),
    field("Key", input), el("label", {}, keep, "Keep it until this tab is closed"), said, el("div", { class: "line" }, enter)));

  byId("forget").addEventListener("click", () => {
    forgetKey();
    // All that was shown goes with the page.
    location.reload();
  });
  on("caller", () => {
    if (!state.caller) return;
    byId("main").hidden = false;
    byId("caller").textContent = `${visible(state.caller.name)} · ${state.caller.role === "write" ? "may write" : "may only read"}`;
    byId("forget").hidden = !hasKey();
  });

  /** The server wants another key, or none of this caller's. */
  return (refused) => {
    const had = hasKey();
    forgetKey();
    state.caller = null;
    tell("caller");
    byId("main").hidden = true;
    byId("caller").textContent = "";
    byId("forget").hidden = true;
    byId("link").dataset.link = "connecting";
    byId("link").textContent = "No key";
    place.hidden = false;
    said.hidden = !had && refused.status === 401;
    said.textContent = had && refused.status === 401 ? "This key is not known to the server. Nothing is shown without one that is." : visible(refused.message);
    input.focus();
  };
}
