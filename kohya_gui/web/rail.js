/* Beside a form: Start, Queue, facts, checks and the command; and the stage's run while there is one. */
"use strict";
Studio.rail = (() => {
  const { html, attr, put, patch, icon, t, on, call, store, form, field, dialog, debounce, editing } = Studio;
  const rails = {};
  const FINDINGS = { error: ["c-err", "warn"], warning: ["c-warn", "warn"], fine: ["c-ok", "ok"] };

  function draw(root, stage) {
    rails[stage] = {
      root,
      answer: rails[stage]?.answer ?? null,
      shell: /Win/.test(navigator.platform) ? "cmd" : "sh",
      confirm: false,
      active: null,
    };
    put(
      root,
      html`
        <div class="card pad">
          <div class="hint" hidden>
            <p>${t("no_project_hint")}</p>
            <button type="button" class="btn sm" data-do="project">${t("no_project_make")}</button>
          </div>
          <div class="edited" role="status" hidden></div>
          <div class="folder" hidden></div>
          <div class="acts">
            <button class="btn pri" data-do="start"></button>
            <button class="btn" data-do="queue"></button>
          </div>
          <div class="now" hidden></div>
          <dl class="kv"></dl>
        </div>
        <div class="card pad checks">
          <h2>${t("checks")}</h2>
          <ul class="finds" aria-live="polite"></ul>
        </div>
        <div class="card pad">
          <div class="cmdhd">
            <h2>${t("command")}</h2>
            <button class="btn sm quiet" data-shell="sh">sh</button>
            <button class="btn sm quiet" data-shell="cmd">cmd</button>
            <button class="btn sm" data-do="copy">${icon("copy")}${t("copy")}</button>
          </div>
          <pre class="cmd" role="region" tabindex="0" aria-label="${t("command")}${t("field.comma")}${t(`stage.${stage}`)}"></pre>
        </div>
      `,
    );
    update(stage);
    ask(stage);
  }

  function update(stage) {
    const rail = rails[stage];
    if (!rail?.root.isConnected) return;
    const { root, answer } = rail,
      bad = form.errors(stage);
    const edited = editing.of(stage);
    const blocked = bad.length || (answer?.findings ?? []).filter((one) => one.level === "error").length;
    const start = root.querySelector("[data-do=start]");
    start.classList.toggle("blocked", Boolean(bad.length));
    patch(
      start,
      bad.length
        ? html`
            ${icon("warn")}${t(bad.length > 1 ? "fix_many" : "fix_one", { n: bad.length })}
          `
        : html`
            ${edited ? icon("save") : icon("play")}${t(startWord(stage, rail.confirm, edited))}
          `,
    );
    patch(root.querySelector("[data-do=queue]"), t(edited ? "edit.leave" : "queue"));
    root.querySelector(".edited").hidden = !edited;
    patch(root.querySelector(".edited"), edited ? t(edited.chained ? "edit.chained" : "edit.now", edited) : "");
    patch(root.querySelector(".finds"), findings(stage, bad, answer?.findings ?? []));
    patch(
      root.querySelector(".kv"),
      (answer?.facts ?? []).map(
        ([name, value]) => html`
          <dt>${name}</dt>
          <dd>${value}</dd>
        `,
      ),
    );
    root.querySelector(".checks").hidden = !(answer?.findings?.length || bad.length);
    root
      .querySelectorAll("[data-shell]")
      .forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.shell === rail.shell)));
    const command = root.querySelector("pre.cmd");
    command.classList.toggle("draft", Boolean(blocked));
    patch(command, commandParts(answer?.command?.[rail.shell] || (blocked ? t("command_later") : "")));
    root.querySelector(".hint").hidden = store.state.project !== null;
    drawFolders(stage, root.querySelector(".folder"));
    drawNow(rail);
  }
  const startWord = (stage, confirm, edited) =>
    edited ? (confirm ? "edit.save_anyway" : "edit.save") : confirm ? "start_anyway" : `start.${stage}`;
  /* A project of several folders: the stage runs once for each. */
  function drawFolders(stage, place) {
    const folders = store.state.project?.pictures ?? [],
      at = store.state.folders[stage] ?? 0;
    place.hidden = editing.of(stage) || folders.length < 2 || !Studio.data.per_folder.includes(stage);
    if (!place.hidden)
      patch(
        place,
        html`
          <label>
            <span>${t("folder_of", { n: at + 1, all: folders.length })}</span>
            <select class="in">
              ${folders.map(
                (path, i) => html`
                  <option value="${i}" ${attr("selected", i === at)}>${path}</option>
                `,
              )}
            </select>
          </label>
        `,
      );
  }
  /* Breaks lines before flags only; the text itself stays as it is. */
  // prettier-ignore
  const commandParts = (text) => text.split(/(?<= )(?=--)/).map((part) => html`<span>${part}</span>`);
  function findings(stage, bad, found) {
    // prettier-ignore
    const link = (flag) => html`<a href="#" data-go="${flag}">${field.label(stage, flag)}</a>: `;
    const mine = bad.map(({ flag, error }) => ({ level: "error", field: flag, text: error }));
    const flags = new Set(mine.map((one) => one.field));
    return [...mine, ...found.filter((one) => !(one.level === "error" && flags.has(one.field)))].map(
      ({ level, field: flag, text }) => {
        const [tone, sign] = FINDINGS[level] ?? FINDINGS.fine;
        return html`
          <li>
            <span class="${tone}">
              ${icon(sign)}
              <span class="sr">${t(`level.${level}`)}</span>
            </span>
            <span>${flag && flag in store.fields(stage) && level !== "fine" ? link(flag) : ""}${text}</span>
          </li>
        `;
      },
    );
  }
  function drawNow({ root, active }) {
    const now = root.querySelector(".now");
    now.hidden = !active;
    if (!active) return;
    const share = active.progress?.total ? (active.progress.done / active.progress.total) * 100 : 0;
    patch(
      now,
      html`
        <div class="st ${active.state}">${active.word}</div>
        <div class="meter"><i style="width:${share.toFixed(1)}%"></i></div>
        <div class="acts">
          <button class="btn sm" data-open="${active.id}">${t("open")}</button>
          <button class="btn sm danger" data-stop="${active.id}">${icon("stop")}${t("stop")}</button>
        </div>
      `,
    );
  }

  const ask = debounce(async (stage) => {
    const asked = JSON.stringify(store.values(stage));
    const replaces = editing.of(stage)?.id ?? null;
    const answer = await call("check", { stage, values: store.values(stage), project: store.state.project, replaces });
    if (answer.error || asked !== JSON.stringify(store.values(stage)) || !rails[stage]) return;
    rails[stage].answer = answer;
    form.answered(stage, answer.fields, answer.findings);
    update(stage);
  }, 250);

  async function send(stage, name) {
    const rail = rails[stage],
      [first] = form.errors(stage);
    if (first) {
      form.insist(stage);
      form.jump(stage, first.flag);
      return;
    }
    Studio.plainHttp.askToNotify();
    const edited = editing.of(stage),
      values = store.values(stage),
      project = store.state.project,
      { confirm } = rail;
    const answer = edited
      ? await call("run_replace", { id: edited.id, values, project: project?.name ?? null, confirm })
      : await call(name, { stage, values, project, confirm });
    if (answer.field && answer.field in store.fields(stage)) form.jump(stage, answer.field);
    if (dialog.trouble(answer)) return;
    if (answer.findings) {
      refused(stage, answer.findings);
      return;
    }
    rail.confirm = false;
    if (edited) {
      editing.saved(stage);
      return;
    }
    Studio.fire("started", answer.run_id);
    const said = name === "start" && !answer.waits ? "said.started" : "said.queued";
    dialog.say(t(Studio.poller.paused() ? "said.queued_paused" : said, { what: t(`stage.${stage}`) }), {
      action: { label: t("open"), pick: () => Studio.fire("show run", answer.run_id) },
    });
    update(stage);
  }
  function refused(stage, found) {
    const rail = rails[stage],
      wrong = found.filter((one) => one.level === "error");
    rail.answer = { ...(rail.answer ?? { facts: [], fields: {} }), findings: found };
    rail.confirm = !wrong.length;
    form.insist(stage);
    form.answered(stage, rail.answer.fields, found);
    dialog.say((wrong[0] ?? found.find((one) => one.level === "warning") ?? { text: t("said.refused") }).text, {
      trouble: Boolean(wrong.length),
      warning: !wrong.length,
    });
    const first = wrong.find((one) => one.field in store.fields(stage));
    if (first) form.jump(stage, first.field);
  }
  async function copy(stage) {
    const command = rails[stage].root.querySelector("pre.cmd");
    await Studio.plainHttp.copy(command);
  }

  function place(root, stage) {
    draw(root, stage);
    const actions = {
      start: () => send(stage, "start"),
      queue: () => (editing.of(stage) ? editing.leave(stage) : send(stage, "queue")),
      copy: () => copy(stage),
      project: () => Studio.tabs.open("project"),
    };
    root.addEventListener(
      "change",
      (event) => event.target.closest(".folder") && store.chooseFolder(stage, Number(event.target.value)),
    );
    root.addEventListener("click", (event) => {
      const pressed = event.target.closest("button, a");
      if (!pressed) return;
      const { do: action, go, shell, open, stop } = pressed.dataset;
      if (action) actions[action]();
      if (go) {
        event.preventDefault();
        form.jump(stage, go);
      }
      if (shell) {
        rails[stage].shell = shell;
        update(stage);
      }
      if (open) Studio.fire("show run", open);
      if (stop) Studio.fire("stop run", stop);
    });
  }
  on("run ended", () => Object.keys(rails).forEach((stage) => ask(stage)));
  on("typed", ({ stage }) => {
    if (rails[stage]) {
      rails[stage].confirm = false;
      update(stage);
      ask(stage);
    }
  });
  on("loaded", ({ stage }) => {
    if (rails[stage]) {
      update(stage);
      ask(stage);
    }
  });
  on("form", ({ stage }) => update(stage));
  on("editing", (stage) => {
    if (rails[stage]) {
      rails[stage].confirm = false;
      update(stage);
      ask(stage);
    }
  });
  on("poll", ({ active }) => {
    for (const [stage, rail] of Object.entries(rails)) {
      rail.active = active?.stage === stage ? active : null;
      if (rail.root.isConnected) drawNow(rail);
    }
  });
  return { place, commandParts };
})();
