// The configuration that runs, where each value came from, and what lies over it for a time. What may take its place is change.js, who changed it audit.js.

import { ask, path } from "./api.js";
import { confirm } from "./confirm.js";
import { look } from "./connection.js";
import { changes } from "./diff.js";
import { announce, button, byId, code, el, field, say, select } from "./dom.js";
import { clock, json, short, visible } from "./format.js";
import { problem } from "./problem.js";
import { mayWrite, on, own, state } from "./state.js";

export function start() {
  const tag = el("span", { class: "muted small" });
  const scope = el("select");
  const filter = el("input", { type: "search", placeholder: "part of a field", autocomplete: "off", spellcheck: false });
  const values = el("tbody");
  const overrides = el("div", { class: "stack" });
  const defaults = el("input", { type: "checkbox" });
  const empty = el("p", { class: "muted" });
  const said = el("div", { attrs: { "aria-live": "polite" } });
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...["Field", "Value", "From"].map((it) => el("th", { attrs: { scope: "col" } }, it)))), values);
  byId("configuration").append(
    el("div", { class: "head" }, el("h2", { id: "configuration-title" }, "Configuration"), tag),
    said, overrides,
    el("div", { class: "head" }, field("Of", scope), field("Filter", filter), el("label", { class: "small" }, defaults, "defaults too")),
    el("div", { class: "region tall", tabIndex: 0, attrs: { role: "region", "aria-label": "Configuration values" } }, table, empty));

  const drawValues = () => {
    const { config } = state;
    if (!config) return;
    const of = scope.value;
    const [document, from] = of === "" ? [config.configuration, config.provenance.base] : [own(config.operations, of), own(config.provenance.operations, of)];
    const wanted = filter.value.trim().toLowerCase();
    const all = flat(document ?? {}).map(([key, value]) => ({ key, value, from: source(from ?? {}, key) }));
    const fits = all.filter((it) => it.key.toLowerCase().includes(wanted));
    const shown = fits.filter((it) => defaults.checked || it.from !== "default");
    values.replaceChildren(...shown.map((it) =>
      el("tr", {}, el("td", {}, code(visible(it.key))), el("td", { class: "value" }, el("code", {}, visible(json(it.value)))), el("td", { class: "muted small from-where" }, visible(it.from)))));
    const kept = fits.length - shown.length;
    empty.hidden = shown.length > 0 && kept === 0;
    say(empty, kept > 0 ? `${kept} more ${kept === 1 ? "has its" : "have their"} default.` : "No field fits the filter. Empty it to see all.");
  };
  on("config", () => {
    const { config } = state;
    if (!config) return;
    say(byId("preset"), `preset ${visible(config.preset_name)}`);
    say(tag, `tag ${config.etag.slice(0, 12)}`);
    const chosen = scope.value;
    const names = Object.keys(config.operations);
    scope.replaceChildren(...select([["", "all others"], ...names.map((it) => [it, short(it)])]).children);
    scope.value = names.includes(chosen) ? chosen : "";
    drawValues();
    drawOverrides(overrides, said);
  });
  on("caller", () => drawOverrides(overrides, said));
  scope.addEventListener("change", drawValues);
  filter.addEventListener("input", drawValues);
  defaults.addEventListener("change", drawValues);
}

/** Each value of a document by its path. Lists are values. */
function flat(document, prefix = "") {
  return Object.entries(document).flatMap(([key, value]) => {
    const path = prefix ? `${prefix}.${key}` : key;
    const isObject = value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length > 0;
    return isObject ? flat(value, path) : [[path, value]];
  });
}

/** Where a value came from: what is said of its own path, or of what it lies in. */
function source(provenance, key) {
  for (let path = key; path; path = path.includes(".") ? path.slice(0, path.lastIndexOf(".")) : "") {
    const from = own(provenance, path);
    if (from !== undefined) return from;
  }
  return "";
}

function drawOverrides(place, said) {
  const all = state.config?.overrides ?? [];
  place.replaceChildren(...all.map((it) => {
    const what = it.operation === null ? "Another document is in force" : `${short(it.operation)} is overridden`;
    const ends = it.expires_in_seconds === null ? "until it is reverted" : `until ${clock(Date.parse(state.config.timestamp) + it.expires_in_seconds * 1000)}`;
    const node = el("div", { class: "override" },
      el("div", { class: "text" }, el("strong", {}, what), ` ${ends}, by ${visible(it.by.who)} since ${clock(it.since)}. `, el("code", {}, short(JSON.stringify(it.fields), 200))));
    if (mayWrite()) node.append(revertButton(it, said));
    return node;
  }));
}

function revertButton(it, said) {
  return button("Revert…", async () => {
    const body = [el("p", {}, it.operation === null ? "The document of before is in force again at once, for all operations." : `${short(it.operation)} runs again as the document says, at once.`)];
    if (!(await confirm({ title: "Take this override back?", body, yes: "Revert", danger: true }))) return;
    said.replaceChildren();
    try {
      const done = await ask("DELETE", path("config", "overrides", it.id));
      said.replaceChildren(el("div", { class: "done" }, el("p", {}, "Reverted. This changed:"), changes(done.diff)));
      announce("Reverted");
      look();
    } catch (error) {
      said.replaceChildren(problem(error));
    }
  });
}
