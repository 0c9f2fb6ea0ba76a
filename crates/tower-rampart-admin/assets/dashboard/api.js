// Requests to the management API that this page came from, wherever it is nested. The key is kept here and nowhere else; who asks for it is access.js.

import { forget, keep, recall } from "./storage.js";

/** This file is `…/dashboard/assets/api.js`, and the API begins at `…/`. */
const BASE = new URL("../../", import.meta.url);
const KEPT = "rampart-key";

/** Whether a text can be a key: no other stands in a header as it was typed, and the server has no other. */
export const isKey = (text) => /^[\x21-\x7e]+$/.test(text);

const kept = recall("session", KEPT);
let key = kept !== null && isKey(kept) ? kept : null;

export const hasKey = () => key !== null;

/** Uses a key from now on; `stays`: until this tab is closed, or else until the page is. */
export function useKey(text, stays) {
  key = text;
  if (stays) keep("session", KEPT, text);
  else forget("session", KEPT);
}

export function forgetKey() {
  key = null;
  forget("session", KEPT);
}

/** What the API refused, in its own words. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error ?? `The server answered with status ${status}`);
    this.status = status;
    this.context = body?.context ?? {};
  }
}

/** A path of segments that may hold anything. */
export const path = (...segments) => segments.map(encodeURIComponent).join("/");

/** Sends a request and gives the response, whatever it says. */
export function send(method, where, { query = {}, headers = {}, body, signal } = {}) {
  const url = new URL(where, BASE);
  Object.entries(query).forEach(([name, value]) => url.searchParams.set(name, value));
  const all = { accept: "application/json", ...headers };
  if (key !== null) all.authorization = `Bearer ${key}`;
  return fetch(url, { method, headers: all, body, signal, cache: "no-store", credentials: "omit", redirect: "error" });
}

/** Sends a request and gives the JSON of its answer. Throws `Refused` if it is none, anything else if nobody answers in time. */
export async function ask(method, where, { timeout = 8000, ...rest } = {}) {
  const response = await send(method, where, { signal: AbortSignal.timeout(timeout), ...rest });
  return read(response);
}

/** The JSON of an answer. */
export async function read(response) {
  const text = await response.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = null;
  }
  if (!response.ok) throw new Refused(response.status, body);
  return body;
}

export const get = (where, query) => ask("GET", where, { query });
export const post = (where, query) => ask("POST", where, { query });
