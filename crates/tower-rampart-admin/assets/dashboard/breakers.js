// What an operator does to a circuit: reset it, force it open, force it closed. Each asks first, and says what it will do.

import { path, post } from "./api.js";
import { confirm } from "./confirm.js";
import { look } from "./connection.js";
import { announce, button, el, field, select } from "./dom.js";
import { clock, serverNow, short, stateWord } from "./format.js";
import { problem } from "./problem.js";
import { own, state } from "./state.js";

/** Seconds, in words; the empty one is for good. */
export const DURATIONS = [["300", "5 minutes"], ["900", "15 minutes"], ["3600", "1 hour"], ["14400", "4 hours"], ["86400", "24 hours"]];

/** For how many milliseconds the page says what a command did; who wants to know later finds it in the audit. */
const SHOWN = 60_000;

/** A button for one command, and what came of it in `said`. */
function command(name, word, text, kind, said, ask) {
  const press = button(text, async () => {
    const query = await ask();
    if (query === null) return;
    said.replaceChildren();
    try {
      const answer = await post(path("circuit-breakers", name, word), query);
      const until = answer.expires_at ? ` until ${clock(answer.expires_at)}` : "";
      const told = `${short(name)} is ${stateWord(answer.new_state)}${until} (it was ${stateWord(answer.previous_state)}).`;
      const done = el("p", { class: "done" }, told);
      said.replaceChildren(done);
      setTimeout(() => done.remove(), SHOWN);
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
  return command(name, "reset", "Reset…", "", said, async () => {
    const { threshold } = own(state.circuits, name) ?? {};
    const again = threshold ? ` If what is behind it still fails, it opens again, after ${threshold} failures in a row or as its rules say.` : "";
    const body = [el("p", {}, `The circuit closes at once with an empty window, and every call is admitted again, whether or not an operator forced its state.${again}`)];
    return (await confirm({ title: `Reset the circuit of ${short(name)}?`, body, yes: "Reset" })) ? {} : null;
  });
}

function forced(name, word, text, title, says, said) {
  return command(name, word, text, "", said, async () => {
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
