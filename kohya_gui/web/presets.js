/* The browser of presets: find, look at, load, copy, edit, delete, take along; and keep the form's values as one. */
"use strict";
Studio.presets = (() => {
  const { html, attr, put, icon, t, call, store, field, dialog, data, page, fire, importing, difference, keeping } = Studio;
  const lists = {}; /* stage -> {builtin, mine} as last loaded */
  const drafts = {}; /* stage -> what was imported and is not kept yet */

  async function load(stage) {
    const answer = await call("presets", { stage });
    if (!answer.error) lists[stage] = answer;
    return (lists[stage] ??= { builtin: [], mine: [] });
  }
  /* Our own presets have their words in every language; the English name tells them apart. */
  const shownName = (preset) => preset[page.lang]?.name ?? preset.name;
  const shownDescription = (preset) => preset[page.lang]?.description ?? preset.description;
  const all = (stage) => [...(drafts[stage] ?? []), ...(lists[stage]?.builtin ?? []), ...(lists[stage]?.mine ?? [])];
  const copyName = (preset) => t("preset.copy_of", { name: shownName(preset).slice(0, 50) });
  const idOf = (preset) => `${preset.draft ? "draft" : "kept"}:${preset.name}`;
  const kept = (stage, name) => all(stage).find((one) => !one.draft && one.name === name);

  /* The stages of the open tab; none on Project and Runs. */
  const stages = () => data.tabs[page.tab] ?? [];
  const stage = () => (page.tab === "metadata" ? stages()[0] : Studio.stage.current(page.tab));

  function open() {
    const body = html`
      <div class="pre-top">
        <select class="in" name="stage" aria-label="${t("preset.stage")}">
          ${Object.keys(data.forms).map(
            (one) => html`
              <option value="${one}" ${attr("selected", one === stage())}>${t(`stage.${one}`)}</option>
            `,
          )}
        </select>
        <input class="in" type="search" placeholder="${t("preset.search")}" aria-label="${t("preset.search")}" />
        <button type="button" class="btn" data-step="import">${icon("plus")}${t("preset.import")}</button>
      </div>
      <div class="pre">
        <div class="pre-list"></div>
        <div class="pre-one"></div>
      </div>
      <form class="pre-save">
        <h3>${t("preset.keep")}</h3>
        <div class="row">
          <input
            class="in"
            name="name"
            maxlength="60"
            required
            placeholder="${t("preset.name")}"
            aria-label="${t("preset.name")}"
          />
          <input
            class="in"
            name="description"
            maxlength="200"
            placeholder="${t("preset.description")}"
            aria-label="${t("preset.description")}"
          />
          <select class="in" name="scope" aria-label="${t("preset.scope")}">
            <option value="changed">${t("preset.scope_changed")}</option>
            <option value="all">${t("preset.scope_all")}</option>
          </select>
          <button class="btn">${icon("save")}${t("preset.save")}</button>
        </div>
      </form>
    `;
    dialog.open({ title: t("preset.title"), body, wide: true, ready: begin });
  }
  async function begin(box, close) {
    box.classList.add("presets");
    const list = box.querySelector(".pre-list"),
      one = box.querySelector(".pre-one"),
      search = box.querySelector("[type=search]");
    let at = stage(),
      shown = `kept:${store.state.presets[at]}`;
    const preset = () => all(at).find((each) => idOf(each) === shown);
    const draw = async (fresh) => {
      if (fresh) await load(at);
      const found = all(at).filter((each) => matches(at, each, search.value));
      if (!found.some((each) => idOf(each) === shown)) shown = found.length ? idOf(found[0]) : "";
      put(list, [damaged(at), ...groups(found, shown, lists[at].mine.length)]);
      put(one, preset() ? details(at, preset()) : message(t("preset.none")));
      difference.count(one);
    };
    const show = async (next, fresh) => {
      shown = next;
      await draw(fresh);
      if (fresh) fire("preset", at);
    };
    /* After a change on the server: shows what it made. */
    const changed = async (change) => {
      const made = await change;
      if (!made) return;
      search.value = "";
      await show(`kept:${made.name}`, true);
    };
    const steps = {
      apply: () => apply(at, preset(), difference.chosen(one), close),
      all: (pressed) => difference.choose(one, pressed.dataset.all === "yes"),
      copy: () => changed(keeping.edit(at, preset(), copyName(preset()), shownDescription(preset()))),
      edit: () => changed(keeping.edit(at, preset(), preset().name, preset().description)),
      keep_draft: () => changed(keeping.keep(at, preset(), () => delete drafts[at])),
      update: () => changed(keeping.save(at, preset(), lists[at].mine)),
      remove: () => changed(keeping.remove(at, preset())),
      export: () => keeping.takeAlong(at, preset()),
      import: async () => {
        const report = await importing.open(at);
        if (!report) return;
        at = report.stage;
        box.querySelector("[name=stage]").value = at;
        search.value = "";
        drafts[at] = [draftOf(report)];
        await show(idOf(drafts[at][0]), true);
        one.scrollIntoView({ block: "nearest" });
      },
    };
    box.addEventListener("click", (event) => {
      const pressed = event.target.closest("button");
      if (!pressed) return;
      if (pressed.dataset.id) show(pressed.dataset.id);
      steps[pressed.dataset.step]?.(pressed);
    });
    box.addEventListener("change", (event) => {
      if (event.target.name === "stage") {
        at = event.target.value;
        show(`kept:${store.state.presets[at]}`, true);
      }
      difference.count(one);
    });
    search.addEventListener("input", () => draw());
    box.querySelector(".pre-save").addEventListener("submit", (event) => {
      event.preventDefault();
      const { name, description, scope } = event.target.elements;
      const wanted = { name: name.value.trim(), description: description.value.trim(), scope: scope.value };
      changed(keeping.save(at, wanted, lists[at].mine));
    });
    await draw(true);
  }
  const message = (text) => html`
    <p class="muted">${text}</p>
  `;

  /* Every word must stand in a preset's name, its description, or what it sets. */
  function matches(at, preset, text) {
    const sets = Object.entries(preset.values).map(([flag, value]) => `${flag} ${label(at, flag)} ${say(value)}`);
    const words = [preset.name, shownName(preset), shownDescription(preset), ...sets].join(" ").toLowerCase();
    return text
      .toLowerCase()
      .split(/\s+/)
      .every((word) => words.includes(word));
  }
  const label = (at, flag) => (flag in store.fields(at) ? field.label(at, flag) : flag);
  const { say } = difference;

  function groups(found, shown, haveMine) {
    const kinds = [
      ["preset.imported", found.filter((one) => one.draft)],
      ["preset.builtin", found.filter((one) => one.builtin)],
      ["preset.mine", found.filter((one) => !one.builtin && !one.draft)],
    ];
    return kinds
      .filter(([kind, presets]) => presets.length || (kind === "preset.mine" && !haveMine))
      .map(
        ([kind, presets]) => html`
          <h3>${t(kind)}</h3>
          ${presets.length ? presets.map((one) => item(one, shown)) : message(t("preset.none"))}
        `,
      );
  }
  /* A word on files that are there and cannot be read. */
  const damaged = (at) =>
    lists[at].damaged?.length
      ? html`
          <p class="c-warn">${t("preset.damaged", { files: lists[at].damaged.join(", ") })}</p>
        `
      : "";
  const item = (preset, shown) => html`
    <button type="button" class="pre-item" aria-pressed="${idOf(preset) === shown}" data-id="${idOf(preset)}">
      <b>${shownName(preset)}</b>
      <small>${shownDescription(preset)}</small>
    </button>
  `;

  function details(at, preset) {
    const sets = Object.entries(preset.values);
    const tool = (step, sign, danger) => html`
      <button type="button" class="btn sm ${danger ? "danger" : ""}" data-step="${step}">
        ${sign && icon(sign)}${t(`preset.${step}`)}
      </button>
    `;
    const tools = preset.draft
      ? tool("keep_draft", "save")
      : [
          preset.builtin ? tool("copy", "copy") : [tool("edit", "list"), tool("update", "save")],
          tool("export", "down"),
          preset.builtin ? "" : tool("remove", "cross", true),
        ];
    return html`
      <h2>${shownName(preset)}</h2>
      <p class="muted">${shownDescription(preset)}</p>
      <div class="tools">
        ${
          preset.builtin &&
          html`
            <span class="chip">${t("preset.read_only")}</span>
          `
        }
        ${
          preset.scope === "all" &&
          html`
            <span class="chip">${t("preset.scope_all")}</span>
          `
        }
        <span class="sp"></span>
        ${tools}
      </div>
      ${
        preset.unknown?.length
          ? html`
              <p class="c-warn">${t("preset.unknown", { flags: preset.unknown.join(", ") })}</p>
            `
          : ""
      }
      ${preset.report ? importing.report(preset.report) : ""}
      <details class="sets">
        <summary>${t("preset.sets", { n: sets.length })}</summary>
        <dl>
          ${sets.map(
            ([flag, value]) => html`
              <dt>${label(at, flag)} <small class="mono muted">${flag}</small></dt>
              <dd>${say(value)}</dd>
            `,
          )}
        </dl>
      </details>
      ${difference.draw(at, preset)}
    `;
  }

  async function apply(at, preset, flags, close) {
    const before = { name: store.state.presets[at], values: { ...store.typed(at) } };
    store.apply(at, preset, flags);
    close();
    const tab = Studio.stage.tabOf(at);
    if (tab !== page.tab) await Studio.tabs.open(tab);
    if (tab !== "metadata") Studio.stage.choose(tab, at);
    const undo = { label: t("undo"), pick: () => store.load(at, before) };
    dialog.say(t("said.preset", { name: shownName(preset) }), { action: undo });
  }
  const draftOf = (report) => ({
    name: report.name || t(`import.source_${report.source}`),
    description: report.description || t(`import.source_${report.source}`),
    values: report.values,
    draft: true,
    report,
  });

  /* What the header says: the preset of the open stage and how many values differ from it. */
  async function state() {
    if (!stages().length) return null;
    const at = stage(),
      name = store.state.presets[at];
    if (name && !lists[at]) await load(at);
    const preset = name && kept(at, name);
    return { name: preset ? shownName(preset) : null, changed: store.differences(at, preset || { values: {} }).length };
  }
  return { open, state };
})();
