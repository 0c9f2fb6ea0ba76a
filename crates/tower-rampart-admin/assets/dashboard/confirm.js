// A question before something is done, within the page: what will happen, and the way back. Gives true if it shall.

import { el, fresh } from "./dom.js";

/**
 * Asks. `title` is the question, `body` are nodes or texts that say what will happen, `yes` is what is done, `danger` whether it hurts.
 * The way back has the focus: a key that is pressed twice does nothing.
 */
export function confirm({ title, body, yes, danger = false }) {
  const id = fresh("dialog");
  const { promise, resolve } = Promise.withResolvers();
  const back = el("button", { type: "button" }, "Cancel");
  const go = el("button", { type: "button", class: danger ? "danger" : "main" }, yes);
  const dialog = el(
    "dialog",
    { attrs: { "aria-labelledby": id } },
    el("h2", { id }, title),
    el("div", { class: "stack" }, ...body),
    el("div", { class: "line" }, back, go),
  );
  let answer = false;
  back.addEventListener("click", () => dialog.close());
  go.addEventListener("click", () => {
    answer = true;
    dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    resolve(answer);
  });
  document.body.append(dialog);
  dialog.showModal();
  back.focus();
  return promise;
}
