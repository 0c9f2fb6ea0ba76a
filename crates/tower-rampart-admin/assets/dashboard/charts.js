// The large charts, drawn by uPlot: calls a second by how they ended, and when a circuit changed its state. One is drawn for what is looked at, never for all.

import uPlot from "./uPlot.esm.js";
import { el, say } from "./dom.js";
import { clock, number, perSecond } from "./format.js";
import { on } from "./state.js";
import { colour } from "./theme.js";

/** The least time that the axis spans, in seconds. */
const NARROWEST = 180;
/** What is drawn: its name, its colour, its dashes. parts.css draws the same before the names. */
const SERIES = [["ok", "succeeded", "accent", []], ["failed", "failed", "bad", [6, 3]], ["refused", "refused", "warn", [2, 3]]];

/** A chart with its legend. `label` says what it shows to those who do not see it, `height` is in pixels. Whoever takes it off the page says `close`. */
export function trafficChart(label, height) {
  const place = el("div", { class: "chart", attrs: { role: "img" } });
  const values = SERIES.map(() => el("strong"));
  const when = el("span", { class: "muted" });
  const legend = el("div", { class: "legend small", attrs: { "aria-hidden": "true" } },
    ...SERIES.map(([name, word], index) => el("span", { class: "key", data: { series: name } }, `${word} `, values[index])), when);
  let data = [[], ...SERIES.map(() => [])];
  let marks = [];
  let chart = null;

  /** Tells the values at a place, or the newest where nobody points. */
  const read = (index) => {
    const at = index ?? data[0].length - 1;
    values.forEach((node, series) => say(node, perSecond(data[series + 1][at])));
    say(when, index === null || index === undefined || data[0].length === 0 ? "now" : clock(data[0][at] * 1000));
  };
  const build = () => {
    chart?.destroy();
    chart = null;
    if (place.clientWidth > 0) chart = new uPlot(options(place.clientWidth, height, () => marks, read), data, place);
  };
  const draw = (samples, transitions = []) => {
    data = [samples.map((it) => it.at), ...SERIES.map(([name]) => samples.map((it) => it.rates[name]))];
    marks = transitions;
    if (chart) chart.setData(data);
    else build();
    read(chart?.cursor.idx);
    place.setAttribute("aria-label", `${label}: now ${SERIES.map(([, word], index) => `${values[index].textContent} ${word}`).join(", ")}`);
  };
  const width = new ResizeObserver(() => {
    if (chart && place.clientWidth > 0) chart.setSize({ width: place.clientWidth, height });
    else build();
  });
  width.observe(place);
  const still = on("theme", () => place.isConnected && build());
  const close = () => {
    width.disconnect();
    still();
    chart?.destroy();
    chart = null;
  };
  return { node: el("div", {}, place, legend), draw, close };
}

function options(width, height, marks, read) {
  const [text, line, bad] = ["muted", "line", "bad"].map(colour);
  const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 }, font: "11px system-ui, sans-serif" };
  return {
    width,
    height,
    padding: [8, 4, 0, 0],
    cursor: { y: false, points: { size: 6 }, drag: { x: false } },
    legend: { show: false },
    // The newest is at the right edge, and there is always room for as much time.
    scales: { x: { time: true, range: (_, from, to) => [Math.min(from ?? 0, (to ?? 0) - NARROWEST), to ?? 0] }, y: { range: (_, __, most) => [0, Math.max(1, (most ?? 0) * 1.1)] } },
    axes: [
      { ...axis, size: 26, space: 60, incrs: [60, 120, 300, 600, 1800], values: "{HH}:{mm}" },
      { ...axis, size: 42, values: (_, all) => all.map((it) => number(it)) },
    ],
    series: [{}, ...SERIES.map(([, label, name, dash]) => ({ label, stroke: colour(name), width: 2, dash, points: { show: false } }))],
    hooks: {
      setCursor: [(chart) => read(chart.cursor.idx)],
      draw: [(chart) => marks().forEach((it) => drawMark(chart, it, it.bad ? bad : text))],
    },
  };
}

/** A line where a circuit changed its state, with a flag for those that opened. */
function drawMark(chart, { at, bad }, stroke) {
  const x = Math.round(chart.valToPos(at, "x", true));
  const { left, top, width, height } = chart.bbox;
  if (x < left || x > left + width) return;
  const { ctx } = chart;
  ctx.save();
  ctx.strokeStyle = stroke;
  ctx.fillStyle = stroke;
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash(bad ? [] : [3, 3]);
  ctx.beginPath();
  ctx.moveTo(x, top);
  ctx.lineTo(x, top + height);
  ctx.stroke();
  if (bad) ctx.fillRect(x, top, 7 * devicePixelRatio, 7 * devicePixelRatio);
  ctx.restore();
}
