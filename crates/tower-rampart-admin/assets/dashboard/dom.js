// Elements, made from text and never from markup. How values are worded is in format.js.

/**
 * An element. `props` are properties, except `class`, `data` (data-*), `attrs` (attributes) and `on` (listeners); children are nodes or texts.
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "class") node.className = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "attrs") Object.entries(value).forEach(([key, text]) => node.setAttribute(key, text));
    else if (name === "on") Object.entries(value).forEach(([event, heard]) => node.addEventListener(event, heard));
    else node[name] = value;
  }
  node.append(...children.filter((it) => it !== null && it !== undefined));
  return node;
}

/** The element of this id, which index.html has. */
export const byId = (id) => document.getElementById(id);

/** Says another text, if it is another: what did not change is not announced and not laid out again. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute, or takes it away. */
export function mark(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** A button that does something; while it is doing that, it cannot be pressed again. It is not disabled meanwhile, which would take the focus from it. */
export function button(text, act, kind = "") {
  const node = el("button", { type: "button", class: kind }, text);
  node.addEventListener("click", async () => {
    if (node.ariaBusy === "true") return;
    node.ariaBusy = "true";
    try {
      await act(node);
    } finally {
      node.ariaBusy = null;
    }
  });
  return node;
}

/** A path such as `retry.max_attempts` in code, which may break where its parts end. */
export function code(text, kind = "") {
  const parts = text.split(/(?<=[._])/).flatMap((it) => [it, el("wbr")]);
  return el("code", { class: kind }, ...parts.slice(0, -1));
}

let names = 0;

/** An id that no other element has. */
export const fresh = (prefix) => `${prefix}-${++names}`;

/** A field with its label above it. */
export function field(label, input) {
  return el("label", { class: "field" }, el("span", { class: "small muted" }, label), input);
}

/** A select of [value, text] pairs. */
export function select(pairs, { value: chosen, ...props } = {}) {
  const node = el("select", props, ...pairs.map(([value, text]) => el("option", { value }, text)));
  if (chosen !== undefined) node.value = chosen;
  return node;
}

/** Tells those who hear the page instead of seeing it. */
export function announce(text) {
  byId("announcer").textContent = text;
}
