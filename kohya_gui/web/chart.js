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
  /* Exponential mean over about a twentieth of `length` (at most 33 values), corrected for its start. */
  function smooth(values, length = values.length) {
    const keep = Math.min(0.97, 1 - 1 / Math.max(2, length / 20));
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

  /* lines: {name, y, colour (a CSS variable), width, dash}; x: steps, of all lines or of each; marks: {step, name}
     where an epoch begins; read(values): takes what stands at the cursor, instead of writing it into the chart. */
  function chart(svg, { x, lines: given, marks = [], height_px = 200, label, read: take }) {
    const lines = given.map((line) => ({ x, ...line })).filter((line) => line.x.length || take),
      ends = span(lines),
      width = svg.clientWidth || 600;
    svg.setAttribute("viewBox", `0 0 ${width} ${height_px}`);
    svg.style.height = `${height_px}px`;
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
    if (!ends) {
      svg.innerHTML = "";
      return;
    }
    const drawn = lines.filter((line) => line.x.length),
      [low, high] = ends,
      first = Math.min(...drawn.map((line) => line.x[0])),
      last = Math.max(...drawn.map((line) => line.x.at(-1)));
    const X = (value) => LEFT + ((value - first) / (last - first || 1)) * (width - LEFT - RIGHT);
    const Y = (value) =>
      TOP + (1 - (Math.min(high, Math.max(low, value)) - low) / (high - low)) * (height_px - TOP - BOTTOM);
    const path = ({ x, y }) => {
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
      ...marks.map(({ step }, i) => {
        const at = X(step),
          room = (marks[i + 1] ? X(marks[i + 1].step) : width - RIGHT) - at;
        const label = room > 56 ? `<text class="mark" data-i="${i}" x="${at + 4}" y="${TOP + 9}"></text>` : "";
        return `<line class="grid" stroke-dasharray="3 3" x1="${at}" x2="${at}" y1="${TOP}" y2="${height_px - BOTTOM}"/>${label}`;
      }),
      ...drawn.map(
        (line) =>
          `<path d="${path(line)}" style="stroke:var(${line.colour});stroke-width:${line.width}" stroke-dasharray="${line.dash || "none"}"/>`,
      ),
      `<line class="cursor" y1="${TOP}" y2="${height_px - BOTTOM}" visibility="hidden"/><text class="reading"
        y="${TOP + 10}"></text>`,
    ].join("");
    svg.querySelectorAll(".mark").forEach((one) => (one.textContent = marks[one.dataset.i].name));
    read(svg, { lines, X, width, take });
  }
  /* The first place of a line at or behind a point; its last, where the line ends before. */
  const placeAt = (x, X, at) => {
    const i = x.findIndex((one) => X(one) >= at);
    return i < 0 ? x.length - 1 : i;
  };
  function read(svg, { lines, X, width, take }) {
    const cursor = svg.querySelector(".cursor"),
      reading = svg.querySelector(".reading");
    svg.onmousemove = (event) => {
      const at = event.clientX - svg.getBoundingClientRect().left;
      const longest = lines.reduce((one, two) => (two.x.at(-1) > one.x.at(-1) ? two : one)).x;
      const step = longest[placeAt(longest, X, at)],
        right = X(step) > width / 2,
        values = lines.map((line) => (line.x.at(-1) < step ? NaN : line.y[placeAt(line.x, X, X(step))]));
      cursor.setAttribute("x1", X(step));
      cursor.setAttribute("x2", X(step));
      cursor.setAttribute("visibility", "visible");
      take?.(values);
      reading.textContent = t("run.step", { step: number(step) });
      if (!take)
        reading.textContent += `: ${lines.map((line, i) => `${line.name} ${Number.isFinite(values[i]) ? short(values[i]) : "–"}`).join(", ")}`;
      reading.setAttribute("x", X(step) + (right ? -6 : 6));
      reading.setAttribute("text-anchor", right ? "end" : "start");
    };
    svg.onmouseleave = () => {
      cursor.setAttribute("visibility", "hidden");
      reading.textContent = "";
      take?.(null);
    };
  }
  return Object.assign(chart, { smooth, ticks, span });
})();
