// A line of a few pixels for each row: calls a second, and those of them that failed. The large charts are in charts.js.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [96, 20];
/** How many seconds the line shows. */
const SECONDS = 120;

/** A sparkline and what draws it anew from samples. It says nothing that the row does not say in numbers. */
export function sparkline() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("aria-hidden", "true");
  const lines = ["ok", "failed"].map((name) => {
    const line = document.createElementNS(SVG, "path");
    line.setAttribute("class", name);
    svg.append(line);
    return line;
  });
  const draw = (samples) => {
    const newest = samples.at(-1)?.at ?? 0;
    const last = samples.filter((it) => newest - it.at <= SECONDS);
    const total = (it) => (it.rates.ok ?? 0) + (it.rates.failed ?? 0) + (it.rates.refused ?? 0);
    const bad = (it) => (it.rates.failed ?? 0) + (it.rates.refused ?? 0);
    const most = Math.max(1e-9, ...last.map(total));
    lines[0].setAttribute("d", path(last, total, most));
    const anyBad = last.some((it) => bad(it) > 0);
    lines[1].setAttribute("d", anyBad ? path(last, bad, most) : "");
  };
  return { node: svg, draw };
}

/** The newest stands at the right edge; where nothing is known there is no line. */
function path(samples, value, most) {
  let d = "";
  let pen = "M";
  const newest = samples.at(-1)?.at;
  samples.forEach((it) => {
    if (it.rates.ok === null) {
      pen = "M";
      return;
    }
    const x = WIDTH - 1 - ((newest - it.at) * (WIDTH - 2)) / SECONDS;
    const y = HEIGHT - 2 - (value(it) / most) * (HEIGHT - 4);
    d += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  });
  return d;
}
