/* Several runs beside each other: settings that differ, loss curves over each other, samples side by side. */
"use strict";
Studio.compare = (() => {
  const { html, attr, put, patch, icon, t, on, call, chart, dialog, viewer, field, news, number, short, duration, asDate, fileUrl } = Studio;
  const COLOURS = ["--kg-c1", "--kg-c2", "--kg-c3", "--kg-c4"];
  let root,
    ids = null,
    found = null,
    pictures = [], /* of each prompt, one of each run */
    busy = false,
    step = "last";

  const colour = (i) => COLOURS[i % COLOURS.length];
  const dash = (i) => (i < COLOURS.length ? "" : "5 4");
  const line = (i) => html`
    <svg class="ln" viewBox="0 0 18 4" aria-hidden="true">
      <path d="M0 2H18" style="stroke:var(${colour(i)});stroke-width:3" ${attr("stroke-dasharray", dash(i) || null)} />
    </svg>
  `;
  /* All are smoothed alike, as the longest is: else equal losses would be different curves. */
  function curve(run) {
    const longest = Math.max(...found.runs.map(({ metrics }) => metrics.loss?.length ?? 0));
    return chart.smooth((run.metrics.loss ?? []).map(news.asNumber), longest);
  }
  const value = (one) => (one === null || one === "" ? "–" : one === true ? t("field.on") : one === false ? t("field.off") : Studio.store.asText(one));

  function place(element) {
    root = element;
    if (!root.dataset.listening) {
      root.addEventListener("click", press);
      root.addEventListener("change", (event) => {
        if (event.target.name !== "step") return;
        step = event.target.value;
        draw();
      });
      new ResizeObserver(() => found && !root.hidden && drawChart()).observe(root);
    }
    root.dataset.listening = "yes";
    if (found) draw();
  }
  async function show(chosen) {
    const answer = await call("runs_compare", { ids: chosen });
    if (dialog.trouble(answer)) return false;
    [ids, found, step] = [chosen, answer, "last"];
    draw();
    root.querySelector("h2").focus();
    return true;
  }
  /* What still runs is followed: its news come in pieces, as the poller's. */
  async function follow() {
    const live = found?.runs.filter(({ row }) => news.live(row)) ?? [];
    if (!live.length || busy || root.hidden || document.hidden) return;
    busy = true;
    const mine = found;
    for (const run of live) {
      const answer = await call("run", { id: run.row.id, since_event: run.next_event });
      if (answer.error || found !== mine) continue;
      const { metrics } = run;
      Studio.poller.join(metrics, answer.metrics);
      Object.assign(run, answer, { metrics });
    }
    busy = false;
    if (found === mine) redraw();
  }
  const heads = () =>
    found.runs.map(
      ({ row }, i) => html`
        <th scope="col">
          ${line(i)}<button type="button" class="link" data-open="${row.id}">${row.name}</button>
        </th>
      `,
    );
  function lowest(losses = []) {
    return losses.length ? Math.min(...losses).toFixed(4) : "–";
  }
  function facts() {
    const took = ({ row }) => (row.started && row.ended ? duration((asDate(row.ended) - asDate(row.started)) / 1000) : "–");
    const last = (run) => news.lastOf(curve(run));
    return [
      ["compare.state", ({ row }) => html`<span class="st ${row.state}">${row.word}</span>`],
      ["compare.took", took],
      ["compare.steps", (run) => (run.metrics.step?.length ? number(run.metrics.step.at(-1)) : "–")],
      ["compare.validation", (run) => lowest(run.metrics.validation)],
      ["compare.loss", (run) => (last(run) === undefined ? "–" : last(run).toFixed(4))],
      ["run.note", ({ row }) => row.note || "–"],
    ].map(
      ([name, say]) => html`
        <tr class="fact">
          <th scope="row">${t(name)}</th>
          ${found.runs.map((run) => html`<td>${say(run)}</td>`)}
        </tr>
      `,
    );
  }
  function settings() {
    const stageOf = (flag) => found.runs.map(({ row }) => row.stage).find((one) => Studio.data.forms[one]?.fields[flag]);
    return found.differs.map(({ flag, values }) => {
      const stage = stageOf(flag);
      return html`
        <tr data-flag="${flag}">
          <th scope="row">
            ${stage ? field.label(stage, flag) : flag}
            <small class="mono muted">--${flag}</small>
          </th>
          ${values.map((one) => html`<td>${value(one)}</td>`)}
        </tr>
      `;
    });
  }
  const steps = () => [...new Set(found.runs.flatMap((run) => run.samples.map((one) => one.step)))].sort((a, b) => a - b);
  /* One row a prompt, one column a run: its last sample, or that of a step. */
  function samples() {
    const prompts = [...new Set(found.runs.flatMap((run) => run.samples.map((one) => one.prompt)))];
    const at = (run, prompt) =>
      run.samples.findLast((one) => one.prompt === prompt && (step === "last" || one.step === Number(step)));
    pictures = prompts.map((prompt) =>
      found.runs.map((run) => {
        const one = at(run, prompt);
        if (!one) return null;
        const says = [run.row.name, prompt, t("run.step", { step: number(one.step) })].join(t("field.comma"));
        return { src: fileUrl(one.url), says, step: one.step };
      }),
    );
    const cell = (one, row, column) =>
      one
        ? html`
            <button type="button" data-cell="${row},${column}" aria-label="${t("compare.enlarge", { says: one.says })}">
              <img loading="lazy" alt="" src="${one.src}" />
            </button>
            <small class="muted">${t("run.step", { step: number(one.step) })}</small>
          `
        : html`<span class="muted none">${t("compare.no_sample")}</span>`;
    const several = (row) => pictures[row].filter(Boolean).length > 1;
    return html`
      <div class="hd">
        <h2>${t("run.samples")}</h2>
        <span class="sp"></span>
        <select class="in" name="step" aria-label="${t("compare.step")}">
          <option value="last">${t("compare.last")}</option>
          ${steps().map((one) => html`<option value="${one}" ${attr("selected", String(one) === step)}>${t("run.step", { step: number(one) })}</option>`)}
        </select>
      </div>
      <div class="scroll" role="region" tabindex="0" aria-label="${t("run.samples")}">
        <table class="cmp pics">
          <thead><tr><td></td>${found.runs.map(({ row }, i) => html`<th scope="col">${line(i)}${row.name}</th>`)}</tr></thead>
          <tbody>
            ${prompts.map(
              (prompt, row) => html`
                <tr>
                  <th scope="row">
                    ${prompt}
                    ${several(row) ? html`<button type="button" class="btn sm" data-large="${row}">${t("compare.large")}</button>` : ""}
                  </th>
                  ${pictures[row].map((one, column) => html`<td>${cell(one, row, column)}</td>`)}
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>
    `;
  }
  function draw() {
    if (!root?.isConnected || !found) return;
    put(
      root,
      html`
        <div class="top">
          <h2 tabindex="-1">${t("compare.title", { n: found.runs.length })}</h2>
          <span class="sp"></span>
          <button type="button" class="btn sm" data-close-compare>${icon("cross")}${t("close")}</button>
        </div>
        <div class="card" data-compare="loss" hidden>
          <div class="hd">
            <h2>${t("run.loss")}</h2>
            <span class="muted">${t("run.smooth")}</span>
            <span class="sp"></span>
            ${found.runs.map(({ row }, i) => html`<span class="key">${line(i)}${row.name} <b class="num" data-at="${i}"></b></span>`)}
          </div>
          <svg class="ch"></svg>
        </div>
        <div class="card">
          <div class="hd"><h2>${t("compare.settings")}</h2></div>
          <div class="scroll" role="region" tabindex="0" aria-label="${t("compare.settings")}">
            <table class="cmp">
              <thead><tr><td></td>${heads()}</tr></thead>
              <tbody class="facts"></tbody>
              <tbody>${settings()}</tbody>
            </table>
          </div>
          ${found.differs.length ? "" : html`<p class="none muted">${t("compare.same")}</p>`}
        </div>
        <div class="card" data-compare="samples" hidden></div>
      `,
    );
    redraw();
  }
  /* What changes while a run goes on. */
  function redraw() {
    const part = (name) => root.querySelector(`[data-compare=${name}]`);
    patch(root.querySelector("tbody.facts"), facts());
    part("loss").hidden = !found.runs.some((run) => run.metrics.step?.length > 1);
    part("samples").hidden = !steps().length;
    if (steps().length) patch(part("samples"), samples());
    if (!part("loss").hidden) drawChart();
  }
  function drawChart() {
    const svg = root.querySelector("[data-compare=loss] svg.ch");
    if (!svg) return;
    chart(svg, {
      height_px: 260,
      label: t("compare.loss_label", { names: found.runs.map(({ row }) => row.name).join(t("field.comma")) }),
      lines: found.runs.map((run, i) => ({
        name: run.row.name,
        x: run.metrics.step ?? [],
        y: curve(run),
        colour: colour(i),
        width: 2,
        dash: dash(i),
      })),
      read: (values) =>
        root.querySelectorAll("[data-compare=loss] [data-at]").forEach((one) => {
          const now = values?.[one.dataset.at];
          patch(one, Number.isFinite(now) ? short(now) : "");
        }),
    });
  }
  function press(event) {
    const pressed = event.target.closest("button");
    if (!pressed) return;
    const { open, cell, large } = pressed.dataset;
    if ("closeCompare" in pressed.dataset) Studio.runs.stopComparing();
    if (open) Studio.fire("show run", open);
    if (cell) viewer.open(pictures, ...cell.split(",").map(Number));
    if (large) viewer.compare(pictures[large].filter(Boolean));
  }
  function close() {
    ids = found = null;
    put(root, "");
  }
  on("poll", follow);
  on("lang", () => ids && show(ids));
  return { place, show, close, open: () => Boolean(ids) };
})();
