// The large charts, drawn by uPlot: calls a second by how they ended, and when a circuit changed its state. One is drawn for what is looked at, never for all.

import uPlot from "./uPlot.esm.js";
import { el } from "./dom.js";
import { number, perSecond } from "./format.js";
import { on } from "./state.js";
import { colour } from "./theme.js";

const HEIGHT = 150;
/** The least time that the axis spans, in seconds. */
const NARROWEST = 180;

/** A chart in a figure of its own. `label` says what it shows to those who do not see it. */
export function trafficChart(label) {
  const place = el("div", { class: "chart", attrs: { role: "img" } });
  let data = [[], [], [], []];
  let marks = [];
  let chart = null;

  const build = () => {
    chart?.destroy();
    chart = null;
    if (place.clientWidth > 0) chart = new uPlot(options(place.clientWidth, () => marks), data, place);
  };
  const draw = (samples, transitions = []) => {
    data = [
      samples.map((it) => it.at),
      ...["ok", "failed", "refused"].map((name) => samples.map((it) => it.rates[name])),
    ];
    marks = transitions;
    const rates = samples.at(-1)?.rates;
    const now = rates ? `now ${perSecond(rates.ok)} succeeded, ${perSecond(rates.failed)} failed, ${perSecond(rates.refused)} refused` : "no data yet";
    place.setAttribute("aria-label", `${label}: ${now}`);
    if (chart) chart.setData(data);
    else build();
    // uPlot commits what it was given in a microtask, and empties the legend then.
    setTimeout(newest);
  };
  // Where nobody points at a time, the legend tells the newest values.
  const newest = () => {
    if (chart && chart.cursor.left < 0 && data[0].length > 0) chart.setLegend({ idx: data[0].length - 1 });
  };
  place.addEventListener("mouseleave", newest);
  new ResizeObserver(() => {
    if (chart && place.clientWidth > 0) chart.setSize({ width: place.clientWidth, height: HEIGHT });
    else build();
  }).observe(place);
  on("theme", () => place.isConnected && build());
  return { node: place, draw };
}

function options(width, marks) {
  const [text, line, good, bad, warn] = ["muted", "line", "accent", "bad", "warn"].map(colour);
  const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 }, font: "11px system-ui, sans-serif" };
  const rate = (label, stroke, dash) => ({ label, stroke, width: 2, dash, points: { show: false }, value: (_, it) => perSecond(it) });
  return {
    width,
    height: HEIGHT,
    padding: [8, 4, 0, 0],
    cursor: { y: false, points: { size: 6 } },
    // The newest is at the right edge, and there is always room for as much time.
    scales: { x: { time: true, range: (_, from, to) => [Math.min(from ?? 0, (to ?? 0) - NARROWEST), to ?? 0] }, y: { range: (_, __, most) => [0, Math.max(1, (most ?? 0) * 1.1)] } },
    axes: [
      { ...axis, size: 26, space: 60, incrs: [60, 120, 300, 600, 1800], values: "{HH}:{mm}" },
      { ...axis, size: 42, values: (_, all) => all.map((it) => number(it)) },
    ],
    series: [{}, rate("succeeded", good), rate("failed", bad, [6, 3]), rate("refused", warn, [2, 3])],
    hooks: { draw: [(chart) => marks().forEach((it) => drawMark(chart, it, it.bad ? bad : text))] },
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
