/* Presets on the server: kept, renamed, copied, deleted, and taken along as files. Each resolves to what is there then. */
"use strict";
Studio.keeping = (() => {
  const { html, t, call, store, dialog } = Studio;

  /* Keeps the form's values; of a name that is there already, only when that is wanted. */
  async function save(at, { name, description, scope }, mine) {
    const known = mine.some((one) => one.name === name);
    if (known && !(await dialog.confirm(t("preset.replace"), t("preset.replace_ask", { name }), t("preset.replace"))))
      return null;
    const values = scope === "all" ? store.values(at) : store.typed(at);
    const answer = await call("preset_save", { stage: at, name, description, values, all: scope === "all" });
    if (dialog.trouble(answer)) return null;
    store.state.presets[at] = name;
    dialog.say(t("said.preset_saved", { name }));
    return answer.preset;
  }
  /* Another name and description; one of ours is copied. */
  const edit = (at, preset, name, description) =>
    ask(preset.builtin ? t("preset.copy") : t("preset.edit"), name, description, async (typed) => {
      const change = { stage: at, name: preset.name, new_name: typed.name, description: typed.description };
      const answer = await call("preset_edit", change);
      const wasOpen = !answer.error && !preset.builtin && store.state.presets[at] === preset.name;
      if (wasOpen) store.state.presets[at] = answer.preset.name;
      return answer;
    });
  /* What was imported becomes a preset. */
  const keep = (at, draft, done) =>
    ask(t("preset.keep_draft"), draft.name, draft.description, async ({ name, description }) => {
      const answer = await call("preset_save", { stage: at, name, description, values: draft.values });
      if (!answer.error) done();
      return answer;
    });
  async function remove(at, { name }) {
    if (!(await dialog.confirm(t("preset.remove"), t("preset.delete_ask", { name }), t("preset.remove")))) return null;
    return dialog.trouble(await call("preset_delete", { stage: at, name })) ? null : { name: "" };
  }

  /* Asks for a name and a description until the server takes them; resolves to the preset, or null. */
  function ask(title, name, description, send) {
    const body = html`
      <form class="ask">
        <label>
          <span>${t("preset.name")}</span>
          <input class="in" name="name" maxlength="60" required value="${name}" />
        </label>
        <label>
          <span>${t("preset.description")}</span>
          <input class="in" name="description" maxlength="200" value="${description}" />
        </label>
        <div class="err" role="alert"></div>
        <div class="acts">
          <button type="button" class="btn" data-close>${t("cancel")}</button>
          <button class="btn pri">${t("preset.save")}</button>
        </div>
      </form>
    `;
    const ready = (box, close) =>
      box.querySelector("form").addEventListener("submit", async (event) => {
        event.preventDefault();
        const typed = event.target.elements;
        const answer = await send({ name: typed.name.value.trim(), description: typed.description.value.trim() });
        if (answer.error) box.querySelector(".err").textContent = answer.error;
        else close(answer.preset);
      });
    return dialog.open({ title, body, ready });
  }
  async function takeAlong(at, { name }) {
    const answer = await call("preset_export", { stage: at, name });
    if (dialog.trouble(answer)) return;
    Studio.download(answer.file_name, answer.text);
  }
  return { save, edit, keep, remove, takeAlong };
})();
