// Another configuration: checked, compared, applied for a time or to stay. There only for those who may write.

import { Refused, ask } from "./api.js";
import { DURATIONS } from "./breakers.js";
import { confirm } from "./confirm.js";
import { configuration, look } from "./connection.js";
import { changes } from "./diff.js";
import { announce, button, byId, el, field, fresh, select } from "./dom.js";
import { clock, visible } from "./format.js";
import { problem, violation } from "./problem.js";
import { forWriters, state } from "./state.js";

let form = null;

export function start() {
  const place = byId("change");
  forWriters(place, () => {
    form = build();
    return form.node;
  });
  // The panel itself goes with what is in it.
  new MutationObserver(() => (place.hidden = !place.hasChildNodes())).observe(place, { childList: true });
  place.hidden = !place.hasChildNodes();
}

/** Brings a patch into the form, for somebody to complete. */
export function edit(patch) {
  form?.fill("patch", patch);
}

/** The document in force, as far as it says anything beside its preset. */
const present = () => ({ preset: state.config.preset_name, ...state.config.custom_overrides });

function build() {
  const group = fresh("kind");
  const radio = (value, text, checked) => el("label", {}, el("input", { type: "radio", name: group, value, checked }), text);
  const kinds = el("fieldset", {}, el("legend", { class: "unseen" }, "What the text is"), radio("patch", "A patch: only what shall differ", true), radio("document", "A whole document", false));
  const text = el("textarea", { rows: 6, spellcheck: false, autocomplete: "off", placeholder: '{ "operation_overrides": { "checkout": { "retry_attempts": 2 } } }', id: "change-text" });
  const lasting = select([["", "to stay"], ...DURATIONS]);
  const said = el("div", { class: "stack", attrs: { "aria-live": "polite" }, id: "change-said" });
  const kind = () => kinds.querySelector("input:checked").value;
  /** What was compared last: only that can be applied. */
  let compared = null;

  const request = (asked, query, etag) => {
    const isPatch = asked.kind === "patch";
    const headers = { "content-type": isPatch ? "application/merge-patch+json" : "application/json", ...(etag ? { "if-match": `"${etag}"` } : {}) };
    return ask(isPatch ? "PATCH" : "PUT", "config", { query, headers, body: asked.text });
  };
  const attempt = async (act) => {
    try {
      said.replaceChildren(...(await act()));
    } catch (error) {
      const isOld = error instanceof Refused && error.status === 412;
      said.replaceChildren(problem(error), ...(isOld ? [el("p", {}, "Somebody changed the configuration since your dry run. Do the dry run again to see what your change does now.")] : []));
      if (isOld) forget();
    }
  };
  const validate = button("Validate", () => attempt(async () => {
    if (!isJson(text.value)) return [notJson()];
    const result = await ask("POST", "config/validate", { headers: { "content-type": "application/json" }, body: `{"configuration": ${text.value}}` });
    const warnings = result.warnings.map((it) => el("li", {}, `Warning: ${visible(it)}`));
    if (result.is_valid) return [el("div", { class: "done" }, el("p", {}, "The document is valid. Nothing was changed."), el("ul", {}, ...warnings))];
    return [el("div", { class: "problem" }, el("p", {}, el("strong", {}, "The document is not valid:")), el("ul", {}, ...result.violations.map(violation), ...warnings))];
  }));
  const compare = button("Dry run", () => attempt(async () => {
    forget();
    const asked = { text: text.value, kind: kind() };
    if (!isJson(asked.text)) return [notJson()];
    const result = await request(asked, { dry_run: "true" });
    if (asked.text !== text.value || asked.kind !== kind()) {
      return [el("p", { class: "problem" }, "The text was changed during its dry run. Do the dry run again to see what it does now.")];
    }
    compared = { ...asked, etag: result.etag, diff: result.diff };
    offer();
    const what = result.diff.length === 0 ? "Dry run: calls would meet nothing different." : `Dry run: ${result.diff.length} ${result.diff.length === 1 ? "value" : "values"} would differ. Nothing was changed.`;
    announce(what);
    return [el("p", {}, el("strong", {}, what)), changes(result.diff)];
  }), "main");
  const apply = button("Apply…", async () => {
    if (!compared) return;
    const asked = compared;
    const ttl = lasting.value;
    const long = lasting.selectedOptions[0].textContent;
    const when = ttl ? `It runs for ${long}; then the present configuration comes back by itself.` : "It stays until somebody changes it again.";
    const body = [el("p", {}, `Every call that begins from now on meets this. ${when}`), changes(asked.diff)];
    if (!(await confirm({ title: "Apply this change?", body, yes: "Apply", danger: true }))) return;
    const before = present();
    await attempt(async () => {
      const result = await request(asked, ttl ? { ttl_seconds: ttl } : {}, asked.etag);
      forget();
      look();
      configuration();
      announce("Applied");
      const until = result.expires_at ? ` until ${clock(result.expires_at)}; it can be reverted below` : "";
      const dropped = result.dropped_overrides.map((it) => el("p", { class: "problem" }, `An override was dropped: ${visible(it.reason)}`));
      const back = ttl ? [] : [button("Bring the document of before into the form", () => fill("document", before))];
      return [el("div", { class: "done" }, el("p", {}, `Applied${until}.`), changes(result.diff)), ...dropped, ...back];
    });
    offer();
  });
  const offer = () => {
    apply.disabled = compared === null || compared.diff.length === 0 || compared.text !== text.value || compared.kind !== kind();
  };
  const forget = () => {
    compared = null;
    offer();
  };
  const changed = () => {
    // The rules of whole documents say nothing about a patch: its dry run does.
    validate.hidden = kind() === "patch";
    offer();
  };
  const fill = (which, value) => {
    kinds.querySelector(`[value="${which}"]`).checked = true;
    text.value = JSON.stringify(value, null, 2);
    said.replaceChildren();
    changed();
    text.focus();
    text.scrollIntoView({ block: "center" });
  };
  text.addEventListener("input", changed);
  kinds.addEventListener("change", changed);
  changed();
  const node = el("div", { class: "stack" },
    el("div", { class: "head" }, el("h2", { id: "change-title" }, "Change"), button("Load the present document", () => fill("document", present()), "quiet")),
    kinds, field("JSON", text),
    el("div", { class: "line ends" }, validate, compare, field("Applies", lasting), apply, el("span", { class: "muted small" }, "A change is applied after its dry run.")), said);
  return { node, fill };
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const notJson = () => el("p", { class: "problem" }, el("strong", {}, "This is no JSON. "), "It needs an object, such as {\"retry_attempts\": 2}.");
