/* Presets of the open tab's stage: what each would change, load, delete; and keeping the present values as a new one. */
"use strict";
Studio.presets = (() => {
  const { html, attr, put, icon, t, call, store, field, dialog, data, page, fire } = Studio;
  const lists = {}; /* stage -> {builtin, mine} as last loaded */

  async function load(stage) {
    const answer = await call("presets", { stage });
    if (!answer.error) lists[stage] = answer;
    return lists[stage] ?? { builtin: [], mine: [] };
  }
  /* Our own presets have their words in every language; the English name tells them apart. */
  const shownName = (preset) => preset[page.lang]?.name ?? preset.name;
  const shownDescription = (preset) => preset[page.lang]?.description ?? preset.description;
  const named = (stage, name) =>
    [...(lists[stage]?.builtin ?? []), ...(lists[stage]?.mine ?? [])].find((one) => one.name === name);

  /* The stages of the open tab; none on Project and Runs. */
  const stages = () => data.tabs[page.tab] ?? [];
  const stage = () => (page.tab === "metadata" ? stages()[0] : Studio.stage.current(page.tab));

  function open() {
    const body = html`
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
          <button class="btn">${icon("save")}${t("preset.save")}</button>
        </div>
      </form>
    `;
    dialog.open({ title: t("preset.title", { stage: t(`tab.${page.tab}`) }), body, wide: true, ready: begin });
  }
  async function begin(box, close) {
    let at = stage(),
      shown = store.state.presets[at];
    const draw = async (fresh) => {
      if (fresh) await load(at);
      if (!named(at, shown)) shown = [...lists[at].builtin, ...lists[at].mine][0]?.name;
      put(
        box.querySelector(".pre-list"),
        html`
          ${stages().length > 1 && page.tab === "metadata" ? switcher(at) : ""}${group(t("preset.builtin"), lists[at].builtin, shown)}
          ${group(t("preset.mine"), lists[at].mine, shown)}
        `,
      );
      put(
        box.querySelector(".pre-one"),
        shown
          ? details(at, named(at, shown))
          : html`
              <p class="muted">${t("preset.none")}</p>
            `,
      );
    };
    box.addEventListener("change", (event) => {
      if (event.target.name === "stage") {
        at = event.target.value;
        draw(true);
      }
    });
    box.addEventListener("click", async (event) => {
      const pressed = event.target.closest("button");
      if (pressed?.dataset.name) {
        shown = pressed.dataset.name;
        draw();
      }
      if (pressed && "apply" in pressed.dataset) {
        store.load(at, named(at, shown));
        close();
        dialog.say(t("said.preset", { name: shownName(named(at, shown)) }));
      }
      if (pressed && "remove" in pressed.dataset) remove(at, shown, draw);
    });
    box.querySelector("form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const name = event.target.elements.name.value.trim(),
        description = event.target.elements.description.value.trim();
      const known = lists[at].mine.some((one) => one.name === name);
      if (known && !(await dialog.confirm(t("preset.replace"), t("preset.replace_ask", { name }), t("preset.replace"))))
        return;
      if (dialog.trouble(await call("preset_save", { stage: at, name, description, values: store.typed(at) }))) return;
      store.state.presets[at] = name;
      shown = name;
      await draw(true);
      fire("preset", at);
      dialog.say(t("said.preset_saved", { name }));
    });
    await draw(true);
  }
  async function remove(at, name, draw) {
    if (!(await dialog.confirm(t("preset.delete"), t("preset.delete_ask", { name }), t("preset.delete")))) return;
    if (!dialog.trouble(await call("preset_delete", { stage: at, name }))) draw(true);
  }
  const switcher = (at) => html`
    <select class="in" name="stage" aria-label="${t("preset.stage")}">
      ${stages().map(
        (one) => html`
          <option value="${one}" ${attr("selected", one === at)}>${t(`stage.${one}`)}</option>
        `,
      )}
    </select>
  `;
  const group = (title, presets, shown) => html`
    <h3>${title}</h3>
    ${
      presets.length
        ? presets.map(
            (one) => html`
              <button type="button" class="pre-item" aria-pressed="${one.name === shown}" data-name="${one.name}">
                ${shownName(one)}
              </button>
            `,
          )
        : html`
            <p class="muted">${t("preset.none")}</p>
          `
    }
  `;

  /* What loading would change: each flag from what it is to what it becomes; what the preset does not name is reset. */
  function details(at, preset) {
    const after = (flag) => preset.values[flag] ?? store.given(at).values[flag] ?? store.plain(store.fields(at)[flag]);
    const flags = store
      .differences(at, preset.values)
      .filter((flag) => store.asText(store.value(at, flag)) !== store.asText(after(flag)));
    const say = (value) =>
      value === true ? t("field.on") : value === false ? t("field.off") : store.asText(value) || t("field.empty");
    return html`
      <h2>${shownName(preset)}</h2>
      <p class="muted">${shownDescription(preset)}</p>
      <div class="diff" role="region" tabindex="0" aria-label="${t("preset.changes")}"><dl>
        ${flags.map(
          (flag) => html`
            <dt>
              ${field.label(at, flag)}${
                flag in preset.values
                  ? ""
                  : html`
                      <small class="muted">${t("preset.resets")}</small>
                    `
              }
            </dt>
            <dd>
              <span class="muted">${say(store.value(at, flag))}</span>
              →
              <b>${say(after(flag))}</b>
            </dd>
          `,
        )}
      </dl></div>
      ${
        flags.length
          ? ""
          : html`
              <p class="c-ok">${icon("ok")} ${t("preset.same")}</p>
            `
      }
      <div class="acts">
        ${
          preset.builtin
            ? ""
            : html`
                <button type="button" class="btn danger" data-remove>${t("preset.delete")}</button>
              `
        }
        <span class="sp"></span>
        <button type="button" class="btn pri" data-apply>${t("preset.load")}</button>
      </div>
    `;
  }

  /* What the header says: the preset of the open stage and how many values differ from it. */
  async function state() {
    if (!stages().length) return null;
    const at = stage(),
      name = store.state.presets[at];
    if (name && !lists[at]) await load(at);
    const preset = name && named(at, name);
    return { name: preset ? shownName(preset) : null, changed: store.differences(at, preset?.values ?? {}).length };
  }
  return { open, state };
})();
