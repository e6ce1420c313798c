/* The monitor of one run: phases, figures, charts, samples, saved files, log; what failed and what was skipped. */
"use strict";
Studio.monitor = (() => {
  const { html, put, patch, icon, t, on, call, dialog, chart, results, number, short, duration, bytes, clock, asDate } =
    Studio;
  const rounded = (value) => short(Number(value.toPrecision(3)));
  const LIVE = ["running", "stalled"];
  let root,
    parts = {},
    seen = null;

  const PARTS = [
    "top",
    "failure",
    "phases",
    "facts",
    "charts",
    "log",
    "skipped",
    "samples",
    "saved",
    "tables",
    "command",
  ];
  function place(element) {
    root = element;
    seen = null;
    put(
      root,
      html`
        <p class="none card pad muted">${t("run.none")}</p>
        <div class="inside" hidden>
          <div data-part="top"></div>
          <div data-part="failure"></div>
          <div data-part="phases"></div>
          <div data-part="facts"></div>
          <div class="two">
            <div class="col">
              <div class="card" data-part="charts" hidden>
                <div class="hd">
                  <h2>${t("run.loss")}</h2>
                  <span class="sp"></span>
                  <span class="key">
                    <i class="raw"></i>
                    ${t("run.raw")}
                  </span>
                  <span class="key">
                    <i class="smooth"></i>
                    ${t("run.smooth")}
                  </span>
                </div>
                <svg class="ch" data-chart="loss"></svg>
                <div class="hd"><h2>${t("run.lr")}</h2></div>
                <svg class="ch" data-chart="lr"></svg>
              </div>
              <div class="card" data-part="tables" hidden></div>
              <div class="card" data-part="log">
                <div class="hd">
                  <h2>${t("run.log")}</h2>
                  <span class="sp"></span>
                  <label class="muted">
                    <input type="checkbox" data-follow checked />
                    ${t("run.follow")}
                  </label>
                </div>
                <pre class="log" role="log" tabindex="0" aria-label="${t("run.log")}"></pre>
              </div>
            </div>
            <div class="col">
              <div class="card" data-part="samples" hidden></div>
              <div class="card" data-part="saved" hidden></div>
              <div class="card" data-part="skipped" hidden></div>
              <div class="card" data-part="command"></div>
            </div>
          </div>
        </div>
      `,
    );
    parts = Object.fromEntries(PARTS.map((name) => [name, root.querySelector(`[data-part="${name}"]`)]));
    root.addEventListener("click", press);
    new ResizeObserver(() => seen && drawCharts(seen)).observe(root);
    const watched = Studio.poller.watched();
    if (watched?.last) show(watched);
  }

  function show(run) {
    if (!root?.isConnected) return;
    seen = run;
    root.querySelector(".none").hidden = true;
    root.querySelector(".inside").hidden = false;
    const { last } = run;
    patch(parts.top, top(last.row));
    patch(parts.failure, failure(last));
    patch(parts.phases, phases(last));
    patch(parts.facts, facts(run));
    section("samples", last.samples?.length, () => results.samples(last.samples));
    section("saved", last.saved?.length, () => results.saved(last.saved));
    section("skipped", last.failures?.length || last.notices?.length, () => results.skipped(last));
    section("tables", last.summary && Object.keys(last.summary.tables ?? {}).length, () =>
      results.tables(last.summary.tables),
    );
    patch(
      parts.command,
      html`
        <details>
          <summary>${t("command")}</summary>
          <pre class="cmd" role="region" tabindex="0" aria-label="${t("command")}">
${Studio.rail.commandParts(last.argv?.sh ?? "")}</pre>
        </details>
      `,
    );
    drawCharts(run);
    drawLog(run);
  }
  function section(name, there, draw) {
    parts[name].hidden = !there;
    if (there) patch(parts[name], draw());
  }

  function top(row) {
    const live = LIVE.includes(row.state),
      training = row.stage === "train";
    const ask = (request, sign, tone = "") => html`
      <button type="button" class="btn sm ${tone}" data-request="${request}">
        ${icon(sign)}${t(`run.${request}`)}
      </button>
    `;
    const meta = [
      row.title,
      row.started && t("run.started", { time: clock(row.started) }),
      row.ended && row.started && t("run.took", { time: duration((asDate(row.ended) - asDate(row.started)) / 1000) }),
      row.exit_code != null && t("run.exit", { code: row.exit_code }),
      row.state === "waiting" && row.why,
    ];
    return html`
      <div class="top">
        <h2>${row.name}</h2>
        <span class="st ${row.state}">${row.word}</span>
        <span class="muted meta">${meta.filter(Boolean).join(t("field.comma"))}</span>
        <span class="sp"></span>
        ${live && training ? [ask("sample", "camera"), ask("save", "save"), ask("stop_after_epoch", "flag")] : ""}${
          live
            ? html`
                ${ask("stop", "stop", "danger")}
                <button type="button" class="btn sm quiet" data-more aria-haspopup="menu" aria-label="${t("more")}">
                  ${icon("dots")}
                </button>
              `
            : ""
        }${row.state === "waiting" ? ask("cancel", "cross", "danger") : ""}
        ${
          ["failed", "stopped", "cancelled"].includes(row.state)
            ? html`
                <button type="button" class="btn sm pri" data-request="retry">${t("run.retry")}</button>
              `
            : ""
        }
        ${row.state === "done" ? next(row) : ""}${
          Studio.data.forms[row.stage]
            ? html`
                <button type="button" class="btn sm hide-s" data-settings="${row.stage}">${t("run.settings")}</button>
              `
            : ""
        }
      </div>
    `;
  }
  const NEXT = { caption: "tag", tag: "metadata", metadata: "latents", latents: "train" };
  function next(row) {
    const tab = NEXT[Studio.stage.tabOf(row.stage)];
    return tab
      ? html`
          <button type="button" class="btn sm pri" data-tab="${tab}">${t("run.next", { tab: t(`tab.${tab}`) })}</button>
        `
      : "";
  }
  function failure({ row, error, saved: files }) {
    if (row.state === "stalled")
      return html`
        <div class="stall">
          ${icon("warn")}
          <p>${t("run.stalled")}</p>
        </div>
      `;
    if (!error) return "";
    const kept = (files ?? []).filter((one) => one.kind === "model").length;
    const option = error.option && Studio.data.forms[row.stage]?.fields[error.option];
    return html`
      <div class="fail" role="alert">
        ${icon("warn")}
        <div>
          <h2>${error.sentence}</h2>
          <p>${kept ? t("run.kept", { n: kept }) : t("run.kept_nothing")}</p>
          ${
            option
              ? html`
                  <p>
                    <button type="button" class="btn sm" data-stage="${row.stage}" data-option="${error.option}">
                      ${t("run.go_option", { label: Studio.field.label(row.stage, error.option) })}
                    </button>
                  </p>
                `
              : ""
          }
          ${
            error.tail
              ? html`
                  <h3>${t("run.tail")}</h3>
                  <pre role="region" tabindex="0" aria-label="${t("run.tail")}">${error.tail}</pre>
                `
              : ""
          }
        </div>
      </div>
    `;
  }
  function phases({ phases: all, row }) {
    if (!all?.length) return "";
    return html`
      <div class="card phs">
        ${all.map((phase) => {
          const now = phase.state === "running" && LIVE.includes(row.state),
            counted = phase.total
              ? t("run.of", { done: number(phase.done ?? 0), total: number(phase.total) })
              : phase.done
                ? number(phase.done)
                : "";
          const rate = now && phase.rate_per_s ? t("run.rate", { rate: rounded(phase.rate_per_s) }) : "",
            took = !now && phase.seconds != null ? duration(phase.seconds) : "";
          const mark =
            phase.state === "done"
              ? html`
                  <span class="c-ok">${icon("ok")}</span>
                `
              : phase.state === "failed"
                ? html`
                    <span class="c-err">${icon("warn")}</span>
                  `
                : "";
          return html`
            <div class="ph ${now ? "now" : ""}">
              <div class="t">${mark}${phase.title}</div>
              <div class="d">
                ${[counted, rate, took].filter(Boolean).join(t("field.comma")) || (now ? t("run.working") : "")}
              </div>
              ${
                now && phase.total
                  ? html`
                      <div class="meter"><i style="width:${((phase.done / phase.total) * 100).toFixed(1)}%"></i></div>
                    `
                  : ""
              }
            </div>
          `;
        })}
      </div>
    `;
  }
  const lastOf = (values) => values?.findLast((one) => Number.isFinite(one));
  function facts({ metrics, last: { row } }) {
    const { progress } = row,
      found = [];
    const add = (value, name) =>
      found.push(html`
        <div>
          <b>${value}</b>
          <span>${name}</span>
        </div>
      `);
    if (progress?.total) add(number(progress.done), t("run.fact_of", { total: number(progress.total) }));
    if (progress?.eta_s != null && LIVE.includes(row.state)) {
      const end = new Date(Date.now() + progress.eta_s * 1000).toLocaleTimeString(Studio.page.lang, {
        hour: "2-digit",
        minute: "2-digit",
        hour12: false,
      });
      add(duration(progress.eta_s), t("run.fact_eta", { end }));
    }
    if (metrics.loss?.length) add(chart.smooth(metrics.loss.map(asNumber)).at(-1).toFixed(4), t("run.fact_loss"));
    if (lastOf(metrics.lr) !== undefined) add(short(lastOf(metrics.lr)), t("run.fact_lr"));
    if (progress?.rate_per_s && LIVE.includes(row.state))
      add(
        progress.rate_per_s < 1 ? `${rounded(1 / progress.rate_per_s)} s` : `${rounded(progress.rate_per_s)}/s`,
        t(progress.rate_per_s < 1 ? "run.fact_each" : "run.fact_rate"),
      );
    if (lastOf(metrics.memory_bytes)) add(bytes(lastOf(metrics.memory_bytes)), t("run.fact_memory"));
    if (lastOf(metrics.grad_norm) !== undefined) add(short(lastOf(metrics.grad_norm)), t("run.fact_grad"));
    return found.length
      ? html`
          <div class="card facts">${found}</div>
        `
      : "";
  }
  const asNumber = (value) => (value === null ? NaN : value);
  function drawCharts({ metrics }) {
    const x = metrics.step ?? [];
    parts.charts.hidden = x.length < 2;
    if (x.length < 2) return;
    const loss = metrics.loss.map(asNumber),
      lr = (metrics.lr ?? []).map(asNumber);
    const ends = (metrics.epoch ?? []).flatMap((epoch, i, all) => (i && epoch !== all[i - 1] ? [x[i]] : []));
    const few = ends.length > 40 ? [] : ends;
    chart(parts.charts.querySelector("[data-chart=loss]"), {
      x,
      marks: few,
      height_px: 236,
      label: t("run.loss_label", { loss: short(lastOf(loss) ?? 0) }),
      lines: [
        { name: t("run.raw"), y: loss, colour: "--kg-raw", width: 1 },
        { name: t("run.smooth"), y: chart.smooth(loss), colour: "--kg-c1", width: 2 },
      ],
    });
    chart(parts.charts.querySelector("[data-chart=lr]"), {
      x,
      height_px: 96,
      label: t("run.lr"),
      lines: [{ name: t("run.lr"), y: lr, colour: "--kg-c2", width: 1.8 }],
    });
  }
  function drawLog({ log }) {
    const place = parts.log.querySelector("pre");
    if (place.textContent !== log) place.textContent = log;
    if (parts.log.querySelector("[data-follow]").checked) place.scrollTop = place.scrollHeight;
  }
  const id = () => seen.id;
  async function request(name) {
    if (name === "stop") {
      Studio.fire("stop run", id());
      return;
    }
    if (name === "kill" && !(await dialog.confirm(t("run.kill"), t("run.kill_ask"), t("run.kill")))) return;
    const answer = await call("run_request", { id: id(), request: name });
    if (dialog.trouble(answer)) return;
    dialog.say(t(`said.${name}`));
    if (name === "retry" && answer.run_id) Studio.fire("show run", answer.run_id);
    Studio.poller.tick();
    Studio.runs.refresh();
  }
  /* Opens the stage's form with the values of this run; one click takes them back. */
  async function openSettings(stage) {
    const { store } = Studio,
      fields = store.fields(stage),
      before = { ...store.typed(stage) },
      given = store.given(stage).values;
    const differs = ([flag, value]) =>
      flag in fields && store.asText(value) !== store.asText(given[flag] ?? store.plain(fields[flag]));
    const values = Object.fromEntries(Object.entries(seen.last.values ?? {}).filter(differs));
    const tab = Studio.stage.tabOf(stage),
      { name } = seen.last.row;
    await Studio.tabs.open(tab);
    if (tab !== "metadata") Studio.stage.choose(tab, stage);
    if (!Object.keys(seen.last.values ?? {}).length) return;
    store.load(stage, { name: store.state.presets[stage], values });
    const undo = () => store.load(stage, { name: store.state.presets[stage], values: before });
    dialog.say(t("said.settings", { name }), { action: { label: t("undo"), pick: undo } });
  }
  function press(event) {
    const pressed = event.target.closest("button");
    if (!pressed) return;
    const { request: name, sample, says, settings, tab, option, stage } = pressed.dataset;
    if (name) request(name);
    if (sample) results.enlarge(sample, says);
    if (tab) Studio.tabs.open(tab);
    if (option) Studio.search.go({ stage, flag: option });
    if (settings) openSettings(settings);
    if ("more" in pressed.dataset)
      dialog.menu(pressed, [
        { label: t("run.kill"), note: t("run.kill_note"), danger: true, pick: () => request("kill") },
      ]);
  }
  on("run", show);
  on("run chosen", (chosen) => {
    if (!root?.isConnected || (chosen && seen?.id === chosen)) return;
    if (!chosen) {
      root.querySelector(".none").hidden = false;
      root.querySelector(".inside").hidden = true;
    }
  });
  return { place };
})();
