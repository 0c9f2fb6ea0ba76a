// How values are worded: numbers with their units, times, names that may hold anything.

const DASH = "–";

/** A number with as many digits as tell something. */
export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return DASH;
  if (value >= 10_000) return new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);
  const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

export const perSecond = (value) => (value === null || value === undefined ? DASH : `${number(value)}/s`);

/** A share, 0 to 1. What is not quite all never reads as 100 %. */
export function percent(share) {
  if (share === null || share === undefined) return DASH;
  if (share === 1 || share === 0) return `${share * 100} %`;
  const shown = Math.min(99.99, Math.max(0.01, share * 100));
  return `${shown.toFixed(shown > 99.9 || shown < 0.1 ? 2 : 1)} %`;
}

export function millis(value) {
  if (value === null || value === undefined) return DASH;
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  if (value > 0 && value < 1) return `${(value * 1000).toFixed(0)} µs`;
  return `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}

/** A size in bytes, in units of a thousand. */
export function bytes(value) {
  const unit = value >= 1e9 ? [1e9, "GB"] : value >= 1e6 ? [1e6, "MB"] : value >= 1e3 ? [1e3, "kB"] : [1, "bytes"];
  return `${number(value / unit[0])} ${unit[1]}`;
}

/** A span of seconds, in its largest units. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  const whole = Math.max(0, Math.round(seconds));
  if (seconds < 10 && seconds > 0) return `${Math.max(0.1, seconds).toFixed(1).replace(/\.0$/, "")} s`;
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min${whole % 60 && whole < 600 ? ` ${whole % 60} s` : ""}`;
  if (whole < 172_800) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

const two = (value) => String(value).padStart(2, "0");

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A point in time as the clock on the wall shows it, with its date if that is another than today's. */
export function clock(moment) {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return DASH;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? time : `${date.getDate()} ${MONTHS[date.getMonth()]} ${time}`;
}

let ahead = 0;

/** Takes note of what the server's clock says. */
export function setServerTime(moment) {
  ahead = Date.parse(moment) - Date.now();
}

/** The server's time in milliseconds, however wrong the clock of this machine is. */
export const serverNow = () => Date.now() + ahead;

/** How long ago something was. */
export function ago(moment) {
  const seconds = (serverNow() - Date.parse(moment)) / 1000;
  return Number.isNaN(seconds) ? DASH : seconds < 1.5 ? "now" : `${span(Math.round(seconds))} ago`;
}

const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** A name with all that is invisible in it made visible, so that no two look the same and none turns the text around it. */
export const visible = (name) => name.replace(INVISIBLE, (it) => `\\u{${it.codePointAt(0).toString(16)}}`);

/** A visible name of at most so many characters, for sentences and titles. */
export function short(name, most = 60) {
  const all = [...visible(name)];
  return all.length > most ? `${all.slice(0, most).join("")}…` : all.join("");
}

const STATES = {
  closed: "closed",
  open: "open",
  half_open: "half-open",
  forced_open: "forced open",
  forced_closed: "forced closed",
  disabled: "disabled",
  metrics_only: "metrics only",
};

export const stateWord = (state) => STATES[state] ?? "no circuit";

/** The worst first; the same for those that are as bad. */
export function severity(state) {
  return { open: 0, forced_open: 1, half_open: 2, forced_closed: 3 }[state] ?? 4;
}

/** A word of the API as one would say it. */
export const words = (name) => visible(String(name)).replaceAll("_", " ");

/** A value of a configuration as its document would say it. */
export const json = (value) => (value === undefined || value === null ? "not set" : JSON.stringify(value));
