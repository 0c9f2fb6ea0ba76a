// What an operator does to a circuit: reset it, force it open, force it closed. Each asks first, and says what it will do.

import { Refused, path, post } from "./api.js";
import { confirm } from "./confirm.js";
import { look } from "./connection.js";
import { announce, button, el, field, select } from "./dom.js";
import { clock, serverNow, short, span, stateWord, visible } from "./format.js";
import { state } from "./state.js";

/** Seconds, in words; the empty one is for good. */
export const DURATIONS = [["300", "5 minutes"], ["900", "15 minutes"], ["3600", "1 hour"], ["14400", "4 hours"], ["86400", "24 hours"]];

/** An error as the page shows it: what is wrong, where, and what would be right. */
export function problem(error) {
  if (!(error instanceof Refused)) return el("p", { class: "problem", attrs: { role: "alert" } }, el("strong", {}, "No answer. "), "The server cannot be reached; nothing is known to have changed.");
  const { violations = [], validation_errors: messages = [], retry_after_seconds: wait, available_breakers: known } = error.context;
  const lines = violations.length > 0 ? violations.map(violation) : messages.map((it) => el("li", {}, visible(String(it))));
  const more = [wait ? ` Try again in ${span(wait)}.` : "", known ? ` There are: ${known.slice(0, 10).map((it) => short(it)).join(", ")}.` : ""].join("");
  return el("div", { class: "problem", attrs: { role: "alert" } }, el("p", {}, el("strong", {}, visible(error.message)), `.${more}`), lines.length > 0 ? el("ul", {}, ...lines) : null);
}

/** One thing that is wrong with a document: its field, and the value and the range that its message names. */
export function violation({ path: where, message, suggestion }) {
  return el("li", {}, el("code", {}, visible(where || "the document")), ": ", el("span", { class: "text" }, visible(message)), suggestion ? el("span", { class: "muted" }, ` ${visible(suggestion)}`) : null);
}

/** A button for one command, and what came of it in `said`. */
function command(name, word, text, kind, said, ask) {
  const press = button(text, async () => {
    const query = await ask();
    if (query === null) return;
    said.replaceChildren();
    try {
      const done = await post(path("circuit-breakers", name, word), query);
      const until = done.expires_at ? ` until ${clock(done.expires_at)}` : "";
      const told = `${short(name)} is ${stateWord(done.new_state)}${until} (it was ${stateWord(done.previous_state)}).`;
      said.replaceChildren(el("p", { class: "done" }, told));
      announce(told);
      look();
    } catch (error) {
      said.replaceChildren(problem(error));
    }
  }, kind);
  press.setAttribute("aria-label", `${text.replace("…", "")} ${short(name)}`);
  press.dataset.command = word;
  return press;
}

/** Closes a circuit. */
export function resetButton(name, said) {
  return command(name, "reset", "Reset…", "main", said, async () => {
    const { threshold } = state.circuits[name] ?? {};
    const again = threshold ? ` If what is behind it still fails, it opens again, after ${threshold} failures in a row or as its rules say.` : "";
    const body = [el("p", {}, `The circuit closes at once with an empty window, and every call is admitted again, whether or not an operator forced its state.${again}`)];
    return (await confirm({ title: `Reset the circuit of ${short(name)}?`, body, yes: "Reset" })) ? {} : null;
  });
}

function forced(name, word, text, title, says, said) {
  return command(name, word, text, "danger", said, async () => {
    const lasting = select([...DURATIONS, ["", "until somebody resets it"]], { value: "900" });
    const end = el("p", { class: "muted" });
    const tell = () => (end.textContent = lasting.value ? `After that, at ${clock(serverNow() + lasting.value * 1000)}, the circuit is reset by itself.` : "Nothing ends this by itself.");
    lasting.addEventListener("change", tell);
    tell();
    const body = [el("p", {}, says), field("For how long", lasting), end];
    const is = await confirm({ title: `${title} ${short(name)}?`, body, yes: text.replace("…", ""), danger: true });
    return is ? (lasting.value ? { ttl_seconds: lasting.value } : {}) : null;
  });
}

export const forceOpenButton = (name, said) =>
  forced(name, "force-open", "Force open…", "Refuse every call of", "Every call is refused at once, and none reaches the service behind. Callers get what they get from an open circuit: a refusal, or their fallback.", said);

export const forceCloseButton = (name, said) =>
  forced(name, "force-close", "Force closed…", "Admit every call of", "Every call is admitted, whatever fails: the circuit protects neither the callers nor the service behind.", said);
