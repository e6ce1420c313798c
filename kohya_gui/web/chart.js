/* Small line charts in SVG: ticks, epochs, a cursor that reads the values. */
"use strict";
Studio.chart = (() => {
  const { short, number, t } = Studio;
  const LEFT = 52,
    RIGHT = 10,
    TOP = 8,
    BOTTOM = 22;

  /* Round numbers between two ends, about `n` of them. */
  function ticks(low, high, n) {
    const raw = (high - low) / n,
      power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].find((one) => one * power >= raw) * power,
      found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++)
      found.push(Number((k * step).toPrecision(12)));
    return found;
  }
  /* Exponential mean over about a twentieth of the values (at most 33), corrected for its start. */
  function smooth(values) {
    const keep = Math.min(0.97, 1 - 1 / Math.max(2, values.length / 20));
    let sum = 0,
      weight = 0;
    return values.map((one) => {
      if (!Number.isFinite(one)) return weight ? sum / weight : NaN;
      sum = keep * sum + (1 - keep) * one;
      weight = keep * weight + 1 - keep;
      return sum / weight;
    });
  }
  /* Ends of the scale: the odd outlier does not flatten the curve. */
  function span(lines) {
    const all = lines.flatMap((line) => line.y.filter(Number.isFinite)).sort((a, b) => a - b);
    if (!all.length) return null;
    let low = all[Math.floor(all.length * 0.005)],
      high = all[Math.min(all.length - 1, Math.ceil(all.length * 0.995))];
    if (high === low) {
      low -= Math.abs(low) * 0.5 || 0.5;
      high += Math.abs(high) * 0.5 || 0.5;
    }
    const pad = (high - low) * 0.08;
    return [all[0] >= 0 ? Math.max(0, low - pad) : low - pad, high + pad];
  }

  /* lines: {name, y, colour (a CSS variable), width}; x: steps; marks: steps where an epoch ends. */
  function chart(svg, { x, lines, marks = [], height_px = 200, label }) {
    const ends = x.length ? span(lines) : null,
      width = svg.clientWidth || 600;
    svg.setAttribute("viewBox", `0 0 ${width} ${height_px}`);
    svg.style.height = `${height_px}px`;
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
    if (!ends) {
      svg.innerHTML = "";
      return;
    }
    const [low, high] = ends,
      first = x[0],
      last = x[x.length - 1];
    const X = (value) => LEFT + ((value - first) / (last - first || 1)) * (width - LEFT - RIGHT);
    const Y = (value) =>
      TOP + (1 - (Math.min(high, Math.max(low, value)) - low) / (high - low)) * (height_px - TOP - BOTTOM);
    const path = ({ y }) => {
      let text = "",
        pen = false;
      y.forEach((value, i) => {
        if (!Number.isFinite(value)) {
          pen = false;
          return;
        }
        text += `${pen ? "L" : "M"}${X(x[i]).toFixed(1)} ${Y(value).toFixed(1)}`;
        pen = true;
      });
      return text;
    };
    const steps = last > first ? ticks(first, last, Math.min(5, last - first)).filter(Number.isInteger) : [first];
    svg.innerHTML = [
      ...ticks(low, high, height_px < 140 ? 2 : 4).map(
        (one) =>
          `<line class="grid" x1="${LEFT}" x2="${width - RIGHT}" y1="${Y(one)}" y2="${Y(one)}"/><text x="${LEFT - 7}" y="${Y(one) + 4}" text-anchor="end">${short(one)}</text>`,
      ),
      ...steps.map(
        (one) =>
          `<text x="${X(one)}" y="${height_px - 4}" text-anchor="${X(one) > width - 24 ? "end" : "middle"}">${number(one)}</text>`,
      ),
      ...marks.map(
        (one) =>
          `<line class="grid" stroke-dasharray="3 3" x1="${X(one)}" x2="${X(one)}" y1="${TOP}" y2="${height_px - BOTTOM}"/>`,
      ),
      ...lines.map((line) => `<path d="${path(line)}" style="stroke:var(${line.colour});stroke-width:${line.width}"/>`),
      `<line class="cursor" y1="${TOP}" y2="${height_px - BOTTOM}" visibility="hidden"/><text class="reading"
        y="${TOP + 10}"></text>`,
    ].join("");
    read(svg, { x, lines, X, width });
  }
  function read(svg, { x, lines, X, width }) {
    const cursor = svg.querySelector(".cursor"),
      reading = svg.querySelector(".reading");
    svg.onmousemove = (event) => {
      const at = event.clientX - svg.getBoundingClientRect().left;
      let i = x.findIndex((one) => X(one) >= at);
      if (i < 0) i = x.length - 1;
      const right = X(x[i]) > width / 2;
      cursor.setAttribute("x1", X(x[i]));
      cursor.setAttribute("x2", X(x[i]));
      cursor.setAttribute("visibility", "visible");
      reading.textContent = `${t("run.step", { step: number(x[i]) })}: ${lines.map((line) => `${line.name} ${Number.isFinite(line.y[i]) ? short(line.y[i]) : "–"}`).join(", ")}`;
      reading.setAttribute("x", X(x[i]) + (right ? -6 : 6));
      reading.setAttribute("text-anchor", right ? "end" : "start");
    };
    svg.onmouseleave = () => {
      cursor.setAttribute("visibility", "hidden");
      reading.textContent = "";
    };
  }
  return Object.assign(chart, { smooth, ticks, span });
})();
