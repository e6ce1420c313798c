/* Beside a form: Start, Queue, facts, checks and the command; and the stage's run while there is one. */
"use strict";
Studio.rail = (() => {
  const { html, attr, put, patch, icon, t, on, once, call, store, form, dialog, debounce, editing, findings, summary } =
    Studio;
  const rails = {};
  /* Pictures that are still being looked at are asked for again after this long. */
  const AGAIN_MS = 800;

  function draw(root, stage) {
    rails[stage] = {
      root,
      answer: rails[stage]?.answer ?? null,
      shell: /Win/.test(navigator.platform) ? "cmd" : "sh",
      read: rails[stage]?.read ?? [] /* the warnings that were asked about, until something changes */,
      active: null,
      known: null /* the question that `answer` answers */,
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
          <div class="figures"></div>
        </div>
        <div class="card pad checks">
          <h2>${t("checks")}</h2>
          <ul class="finds" tabindex="-1" aria-live="polite"></ul>
        </div>
        <div class="card pad">
          <div class="cmdhd">
            <h2>${t("command")}</h2>
            <button class="btn sm quiet" data-shell="sh">sh</button>
            <button class="btn sm quiet" data-shell="cmd">cmd</button>
            <button class="btn sm" data-do="copy">${icon("copy")}${t("copy")}</button>
            <button class="btn sm" data-do="script" aria-label="${t("script")}" title="${t("script")}">${icon("save")}${t("script_short")}</button>
          </div>
          <pre class="cmd" role="region" tabindex="0" aria-label="${t("command")}${t("field.comma")}${t(`stage.${stage}`)}"></pre>
        </div>
      `,
    );
    const list = root.querySelector(".finds");
    findings.attend(list, stage);
    update(stage);
    ask(stage);
  }

  function update(stage) {
    const rail = rails[stage];
    if (!rail?.root.isConnected) return;
    const { root, answer } = rail,
      found = all(stage, answer?.findings ?? []);
    const edited = editing.of(stage);
    const blocked = found.filter((one) => one.level === "error").length;
    const start = root.querySelector("[data-do=start]");
    start.classList.toggle("blocked", Boolean(blocked));
    patch(
      start,
      blocked
        ? html`
            ${icon("warn")}${t(blocked > 1 ? "fix_many" : "fix_one", { n: blocked })}
          `
        : html`
            ${edited ? icon("save") : icon("play")}${t(startWord(stage, wasRead(rail, found), edited))}
          `,
    );
    patch(root.querySelector("[data-do=queue]"), t(edited ? "edit.leave" : "queue"));
    root.querySelector(".edited").hidden = !edited;
    patch(root.querySelector(".edited"), edited ? t(edited.chained ? "edit.chained" : "edit.now", edited) : "");
    findings.draw(root.querySelector(".finds"), found, stage);
    summary.draw(root.querySelector(".figures"), answer?.facts ?? []);
    root.querySelector(".checks").hidden = !found.length;
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
    edited ? (confirm ? "edit.save_anyway" : "edit.save") : confirm ? "start_anyway" : `start.${Studio.data.tabOf[stage]}`;
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
  /* Breaks lines before flags only, and never within one; the text itself stays as it is. */
  const commandParts = (text) =>
    text.split(/(?<= )(?=--)/).map((part) => {
      const [, flag, rest] = part.match(/^(--[\w-]+|)(.*)$/s);
      // prettier-ignore
      return html`<span><b>${flag}</b>${rest}</span>`;
    });
  /* What the form itself finds wrong comes first, with the fixes that the server knows of. */
  function all(stage, found) {
    const wrong = (flag) => found.find((one) => one.level === "error" && one.field === flag);
    const mine = form.errors(stage).map(({ flag, error }) => ({
      level: "error",
      field: flag,
      text: error,
      fixes: wrong(flag)?.fixes ?? [],
    }));
    const flags = new Set(mine.map((one) => one.field));
    return [...mine, ...found.filter((one) => !(one.level === "error" && flags.has(one.field)))];
  }
  /* Whether there are warnings, all of which were asked about already. */
  function wasRead(rail, found) {
    const warnings = found.filter((one) => one.level === "warning");
    return warnings.length > 0 && warnings.every((one) => rail.read.includes(one.text));
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

  const editedRun = (stage) => editing.of(stage)?.id ?? null;
  const question = (stage) =>
    JSON.stringify([Studio.page.lang, store.state.project?.name, editedRun(stage), store.values(stage)]);
  /* Whether the server answered. */
  async function askNow(stage) {
    /* Another stage stands there now: it asks when it is drawn again. */
    if (!rails[stage]?.root.isConnected) return false;
    const asked = question(stage),
      replaces = editedRun(stage);
    const { root } = rails[stage],
      slow = setTimeout(() => root.classList.add("asking"), 300);
    root.setAttribute("aria-busy", "true");
    const answer = await call("check", { stage, values: store.values(stage), project: store.state.project, replaces });
    clearTimeout(slow);
    root.classList.remove("asking");
    /* Of a lost server the run bar tells; an older question's answer is not wanted any more. */
    root.setAttribute("aria-busy", String(!answer.lost && (answer.pending || asked !== question(stage))));
    if (answer.lost) return false;
    if (asked !== question(stage)) return true;
    rails[stage].answer = answer.error ? unchecked(answer.error) : answer;
    rails[stage].known = asked;
    form.answered(stage, rails[stage].answer.fields, rails[stage].answer.findings);
    update(stage);
    if (answer.pending && rails[stage].root.isConnected) setTimeout(() => ask(stage), AGAIN_MS);
    return true;
  }
  /* Waits for what the server says of the present values: what it said of others counts for no press of a button. */
  async function settled(stage) {
    while (rails[stage].known !== question(stage) && (await askNow(stage)));
  }
  /* The first field with something wrong, which is marked and shown; nothing where there is none. */
  async function firstWrong(stage) {
    await settled(stage);
    const [first] = form.errors(stage);
    if (!first) return null;
    form.insist(stage);
    form.jump(stage, first.flag);
    return first;
  }
  const askSoon = debounce(askNow, 250);
  function ask(stage) {
    rails[stage].root.setAttribute("aria-busy", "true");
    askSoon(stage);
  }

  /* Nothing of the last answer stands any more where the question failed. */
  const unchecked = (sentence) => ({
    fields: {},
    facts: [],
    findings: [{ level: "error", field: null, text: t("not_checked", { sentence }) }],
  });

  async function send(stage, name) {
    if (await firstWrong(stage)) return;
    const rail = rails[stage],
      edited = editing.of(stage),
      values = store.values(stage),
      project = store.state.project,
      confirm = rail.read;
    const answer = edited
      ? await call("run_replace", { id: edited.id, values, project: project?.name ?? null, confirm })
      : await call(name, { stage, values, project, confirm });
    if (answer.field && answer.field in store.fields(stage)) form.jump(stage, answer.field);
    if (dialog.trouble(answer)) return;
    if (answer.findings) {
      refused(stage, answer.findings);
      return;
    }
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
    const warnings = found.filter((one) => one.level === "warning"),
      unread = warnings.find((one) => !rail.read.includes(one.text));
    rail.read = warnings.map((one) => one.text);
    form.insist(stage);
    form.answered(stage, rail.answer.fields, found);
    dialog.say((wrong[0] ?? unread ?? warnings[0] ?? { text: t("said.refused") }).text, {
      trouble: Boolean(wrong.length),
      warning: !wrong.length,
    });
    const first = wrong.find((one) => one.field in store.fields(stage));
    if (first) form.jump(stage, first.field);
  }
  /* Real steps of the training with other settings, as a run of its own. */
  async function fit(stage) {
    const wrong = await firstWrong(stage);
    if (wrong) {
      dialog.say(t("said.fit_wrong", { field: Studio.field.label(stage, wrong.flag), error: wrong.error }), {
        trouble: true,
      });
      return;
    }
    const answer = await call("fit", { stage, values: store.values(stage), project: store.state.project });
    if (dialog.trouble(answer)) return;
    if (answer.findings) {
      refused(stage, answer.findings);
      return;
    }
    Studio.fire("started", answer.run_id);
    dialog.say(t(answer.waits ? "said.fit_queued" : "said.fit_started"), {
      action: { label: t("open"), pick: () => Studio.fire("show run", answer.run_id) },
    });
  }
  async function copy(stage) {
    await settled(stage);
    const command = rails[stage].root.querySelector("pre.cmd");
    const isWhole = !form.errors(stage).length;
    await Studio.plainHttp.copy(command, isWhole);
  }

  /* The command as a file, which the browser keeps. */
  async function saveScript(stage) {
    const { shell } = rails[stage];
    if (await firstWrong(stage)) {
      dialog.say(t("script_wrong"), { trouble: true });
      return;
    }
    const asked = { stage, values: store.values(stage), project: store.state.project, shell };
    const answer = await call("command_script", asked);
    if (dialog.trouble(answer)) return;
    Studio.download(answer.file_name, answer.text);
    dialog.say(t(`said.script_${shell}`, { name: answer.file_name }));
  }

  function place(root, stage) {
    draw(root, stage);
    summary.attend(root.querySelector(".figures"));
    const actions = {
      start: () => send(stage, "start"),
      queue: () => (editing.of(stage) ? editing.leave(stage) : send(stage, "queue")),
      fit: () => fit(stage),
      copy: () => copy(stage),
      script: () => saveScript(stage),
      project: () => Studio.tabs.open("project"),
    };
    root.addEventListener(
      "change",
      (event) => event.target.closest(".folder") && store.chooseFolder(stage, Number(event.target.value)),
    );
    root.addEventListener("click", (event) => {
      const pressed = event.target.closest("button, a");
      if (!pressed) return;
      const { do: action, shell, open, stop } = pressed.dataset;
      if (action) once(event, `${action} ${stage}`, actions[action]);
      if (shell) {
        rails[stage].shell = shell;
        update(stage);
      }
      if (open) Studio.fire("show run", open);
      if (stop) Studio.fire("stop run", stop);
    });
  }
  /* What the server has said is said again, in the other language. */
  on("fit", fit);
  on("lang", () => Object.keys(rails).forEach(askNow));
  /* What was asked while the server was away is asked again. */
  let away = false;
  on("server", (there) => {
    if (there && away) Object.keys(rails).forEach((stage) => ask(stage));
    away = !there;
  });
  on("run ended", () => Object.keys(rails).forEach((stage) => ask(stage)));
  /* Another form: what was read of the last one counts no more. */
  function changed(stage) {
    if (!rails[stage]) return;
    rails[stage].read = [];
    update(stage);
    ask(stage);
  }
  on("typed", ({ stage }) => changed(stage));
  on("loaded", ({ stage }) => changed(stage));
  on("editing", changed);
  /* What was found there is then worth being offered again. */
  on("path finished", ({ stage }) => rails[stage] && ask(stage));
  on("form", ({ stage }) => update(stage));
  on("poll", ({ active }) => {
    for (const [stage, rail] of Object.entries(rails)) {
      rail.active = active?.stage === stage ? active : null;
      if (rail.root.isConnected) drawNow(rail);
    }
  });
  return { place, commandParts };
})();
