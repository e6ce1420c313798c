/* The monitor of one run: how it goes, charts, what it left, its log; and what can be asked of it. */
"use strict";
Studio.monitor = (() => {
  const { html, put, patch, t, on, once, call, dialog, chart, results, news, actions, samples, machine, prompts, notify, number, short } =
    Studio;
  let root,
    parts = {},
    seen = null;

  const MAX_MARKS = 40;
  const PARTS = [
    "top",
    "failure",
    "phases",
    "facts",
    "machine",
    "charts",
    "rates",
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
          <div data-part="machine"></div>
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
                  <span class="key" data-validation hidden>
                    <i style="background:var(--kg-c2)"></i>
                    ${t("run.validation")}
                  </span>
                </div>
                <svg class="ch" data-chart="loss"></svg>
                <div class="hd">
                  <h2>${t("run.lr")}</h2>
                  <span class="sp"></span>
                  <span data-part="rates"></span>
                </div>
                <svg class="ch" data-chart="lr"></svg>
                <div data-norm hidden>
                  <div class="hd"><h2>${t("run.norm")}</h2></div>
                  <svg class="ch" data-chart="norm"></svg>
                </div>
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
    samples.place(parts.samples);
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
    patch(parts.machine, machine.draw(last));
    samples.show(run.id, last.samples);
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
      norm = (metrics.grad_norm ?? []).map(news.asNumber);
    const marks = (metrics.epoch ?? []).flatMap((epoch, i, all) =>
      i && epoch !== all[i - 1] ? [{ step: x[i], name: t("run.epoch", { n: number(epoch) }) }] : [],
    );
    chart(parts.charts.querySelector("[data-chart=loss]"), {
      x,
      marks: marks.length > MAX_MARKS ? [] : marks,
      height_px: 236,
      label: t("run.loss_label", { loss: short(news.lastOf(loss) ?? 0) }),
      lines: [
        { name: t("run.raw"), y: loss, colour: "--kg-raw", width: 1 },
        { name: t("run.smooth"), y: chart.smooth(loss), colour: "--kg-c1", width: 2 },
        ...validation(metrics),
      ],
    });
    const shown = rates(metrics);
    chart(parts.charts.querySelector("[data-chart=lr]"), {
      x,
      height_px: 96,
      label: t("run.lr"),
      lines: shown,
    });
    patch(parts.rates, shown.length > 1 ? shown.map(key) : "");
    const known = norm.some(Number.isFinite);
    parts.charts.querySelector("[data-norm]").hidden = !known;
    if (known)
      chart(parts.charts.querySelector("[data-chart=norm]"), {
        x,
        height_px: 96,
        label: t("run.norm"),
        lines: [{ name: t("run.norm"), y: norm, colour: "--kg-c3", width: 1.4 }],
      });
  }
  /* The loss of the pictures that are held out, where there are such. */
  function validation({ validation_step: x = [], validation: y = [] }) {
    parts.charts.querySelector("[data-validation]").hidden = !x.length;
    return x.length ? [{ name: t("run.validation"), x, y, colour: "--kg-c2", width: 2, dash: "6 3" }] : [];
  }
  const key = ({ name, colour }) => html`<span class="key"><i style="background:var(${colour})"></i>${name}</span>`;
  /* One line for each rate; a single one where all parts learn alike. */
  function rates(metrics) {
    const parts = Object.keys(metrics).filter((name) => name.startsWith("lr/")),
      colours = ["--kg-c2", "--kg-c4", "--kg-c1", "--kg-c3"];
    const alike = parts.every((name) => metrics[name].every((rate, i) => rate === metrics[parts[0]][i]));
    const named = alike ? [["lr", t("run.lr")]] : parts.map((name) => [name, name.slice(3).replace(/_/g, " ")]);
    return named.map(([name, label], i) => ({
      name: label,
      y: (metrics[name] ?? []).map(news.asNumber),
      colour: colours[i % colours.length],
      width: 1.8,
    }));
  }
  const id = () => seen.id;
  async function request(name) {
    if (name === "stop") {
      Studio.fire("stop run", id());
      return;
    }
    if (name === "kill" && !(await dialog.confirm(t("run.kill"), t("run.kill_ask"), t("run.kill")))) return;
    if (name === "sample" && !seen.last.has_prompts) {
      prompts.write(id(), true);
      return;
    }
    const answer = await call("run_request", { id: id(), request: name });
    if (dialog.trouble(answer)) return;
    dialog.say(t(`said.${name}`));
    Studio.poller.tick();
    Studio.runs.refresh();
  }
  async function saveElsewhere(id) {
    const chosen = await Studio.browse({ path: seen.last.values?.output_dir, kind: "folder", title: t("pause.elsewhere") });
    if (!chosen || dialog.trouble(await call("run_save_elsewhere", { id, folder: chosen }))) return;
    dialog.say(t("said.save_elsewhere", { folder: chosen }));
    Studio.poller.tick();
  }
  /* Opens the settings with what a way to go on changes, at the option that names where from. */
  async function goOn({ row }, { changes, flag }) {
    await Studio.editing.take(row, changes);
    Studio.search.go({ stage: row.stage, flag });
  }
  function askWay(button) {
    const run = seen.last;
    const items = run.ways_on.map((way) => ({
      label: t(`run.way.${way.name}`),
      note: t(`run.way.${way.name}_note`),
      pick: () => goOn(run, way),
    }));
    dialog.menu(button, items);
  }
  function menu(button) {
    const { row } = seen.last,
      own = { label: `${t("prompts.title")}…`, note: t("prompts.note"), pick: () => prompts.write(row.id, false) },
      tell = { label: t("notify.ask"), note: t(`notify.${notify.state()}`), pick: notify.ask },
      kill = { label: t("run.kill"), note: t("run.kill_note"), danger: true, pick: () => request("kill") };
    const live = news.live(row) ? [row.stage in Studio.data.trainers && own, tell, kill].filter(Boolean) : [];
    dialog.menu(button, [...actions.items(row), ...live]);
  }
  /* Opens the settings with what may help, at the first thing that it changes. */
  async function tryWith(remedy) {
    const { row, failure } = seen.last,
      { changes } = failure.remedies[remedy];
    await Studio.editing.take(row, changes);
    Studio.search.go({ stage: row.stage, flag: Object.keys(changes)[0] });
  }
  function toLog() {
    parts.log.scrollIntoView({ block: "start" });
    parts.log.querySelector("pre").focus();
  }
  function press(event) {
    const pressed = event.target.closest("button");
    if (!pressed) return;
    const { request: name, act, to, ways, tab, option, stage, remedy, tail } = pressed.dataset;
    if (name) once(event, `${name} ${id()}`, () => request(name));
    if (act) once(event, `${act} ${id()}`, () => actions.perform(act, seen.last.row, to));
    if (remedy) tryWith(remedy);
    if (tail === "copy") Studio.plainHttp.copy(parts.failure.querySelector("pre"));
    if (tail === "log") toLog();
    if (tab) Studio.tabs.open(tab);
    if (option) Studio.search.go({ stage, flag: option });
    if ("elsewhere" in pressed.dataset) saveElsewhere(id());
    if (ways !== undefined) askWay(pressed);
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
