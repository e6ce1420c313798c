/* The monitor of one run: how it goes, charts, what it left, its log; and what can be asked of it. */
"use strict";
Studio.monitor = (() => {
  const { html, put, patch, t, on, call, dialog, chart, results, news, actions, short } = Studio;
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
    Studio.log.place(parts.log);
    if (!root.dataset.listening) root.addEventListener("click", press);
    root.dataset.listening = "yes";
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
    patch(parts.top, news.top(last));
    patch(parts.failure, news.failure(last));
    patch(parts.phases, news.phases(last));
    patch(parts.facts, news.facts(run));
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
    Studio.log.show(run);
  }
  function section(name, there, draw) {
    parts[name].hidden = !there;
    if (there) patch(parts[name], draw());
  }

  function drawCharts({ metrics }) {
    const x = metrics.step ?? [];
    parts.charts.hidden = x.length < 2;
    if (x.length < 2) return;
    const loss = metrics.loss.map(news.asNumber),
      lr = (metrics.lr ?? []).map(news.asNumber);
    const ends = (metrics.epoch ?? []).flatMap((epoch, i, all) => (i && epoch !== all[i - 1] ? [x[i]] : []));
    const few = ends.length > 40 ? [] : ends;
    chart(parts.charts.querySelector("[data-chart=loss]"), {
      x,
      marks: few,
      height_px: 236,
      label: t("run.loss_label", { loss: short(news.lastOf(loss) ?? 0) }),
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
    Studio.poller.tick();
    Studio.runs.refresh();
  }
  async function goOn(resume) {
    await Studio.editing.take(seen.last.row, { resume, resume_from_huggingface: false });
    Studio.search.go({ stage: "train", flag: "resume" });
  }
  function menu(button) {
    const { row } = seen.last,
      kill = { label: t("run.kill"), note: t("run.kill_note"), danger: true, pick: () => request("kill") };
    dialog.menu(button, [...actions.items(row), ...(news.live(row) ? [kill] : [])]);
  }
  function press(event) {
    const pressed = event.target.closest("button");
    if (!pressed) return;
    const { request: name, act, to, sample, says, resume, tab, option, stage } = pressed.dataset;
    if (name) request(name);
    if (act) actions.perform(act, seen.last.row, to);
    if (sample) results.enlarge(sample, says);
    if (tab) Studio.tabs.open(tab);
    if (option) Studio.search.go({ stage, flag: option });
    if (resume) goOn(resume);
    if ("more" in pressed.dataset) menu(pressed);
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
