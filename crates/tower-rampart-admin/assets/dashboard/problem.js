// What went wrong, as the page shows it: where, and what would be right.

import { Refused } from "./api.js";
import { code, el } from "./dom.js";
import { short, span, visible } from "./format.js";

/** An error of a request. */
export function problem(error) {
  if (!(error instanceof Refused)) return el("p", { class: "problem", attrs: { role: "alert" } }, el("strong", {}, "No answer. "), "The server cannot be reached; nothing is known to have changed.");
  const { violations = [], validation_errors: messages = [], retry_after_seconds: wait, available_breakers: known } = error.context;
  const lines = violations.length > 0 ? violations.map(violation) : messages.map((it) => el("li", {}, visible(String(it))));
  const more = [wait ? ` Try again in ${span(wait)}.` : "", known ? ` There are: ${known.slice(0, 10).map((it) => short(it)).join(", ")}.` : ""].join("");
  return el("div", { class: "problem", attrs: { role: "alert" } }, el("p", {}, el("strong", {}, visible(error.message)), `.${more}`), lines.length > 0 ? el("ul", {}, ...lines) : null);
}

/** One thing that is wrong with a document: its field, and the value and the range that its message names. */
export function violation({ path: where, message, suggestion }) {
  return el("li", {}, code(visible(where || "the document")), ": ", el("span", { class: "text" }, visible(message)), suggestion ? el("span", { class: "muted" }, ` ${visible(suggestion)}`) : null);
}
