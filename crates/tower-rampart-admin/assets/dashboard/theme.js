// Light, dark, or as the system is.

import { byId } from "./dom.js";
import { tell } from "./state.js";
import { keep, recall } from "./storage.js";

const KEPT = "rampart-theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };

function apply(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = byId("theme");
  button.textContent = `Theme: ${theme}`;
  button.setAttribute("aria-label", `Theme: ${theme}. Change to ${NEXT[theme]}.`);
  tell("theme");
}

export function start() {
  let theme = recall("local", KEPT);
  if (!(theme in NEXT)) theme = "auto";
  apply(theme);
  byId("theme").addEventListener("click", () => {
    theme = NEXT[theme];
    keep("local", KEPT, theme);
    apply(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => tell("theme"));
}

/** What a colour of theme.css is at present, for what is drawn and not styled. */
export function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
