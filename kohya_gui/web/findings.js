/* What stands against a start, or for it: a list whose rows lead to their fields, and whose buttons mend what they can. */
"use strict";
Studio.findings = (() => {
  const { html, patch, icon, t, call, store, field, form, dialog, fire } = Studio;
  const SIGNS = { error: ["c-err", "warn"], warning: ["c-warn", "warn"], note: ["muted", "info"], fine: ["c-ok", "ok"] };
  const drawn = new WeakMap(); /* list -> the findings in it */

  const stageOf = (finding, stage) => finding.stage || stage;
  function row(finding, at, stage) {
    const [tone, sign] = SIGNS[finding.level] ?? SIGNS.fine;
    const of = stageOf(finding, stage),
      leads = finding.field && finding.level !== "fine" && finding.field in store.fields(of);
    // prettier-ignore
    const link = leads ? html`<a href="#" data-go="${at}">${field.label(of, finding.field)}</a>: ` : "";
    return html`
      <li class="${finding.level}">
        <span class="${tone}">
          ${icon(sign)}
          <span class="sr">${t(`level.${finding.level}`)}</span>
        </span>
        <div class="says">
          <span>${link}${finding.text}</span>
          ${
            finding.fixes?.length
              ? html`
                  <div class="fixes">
                    ${finding.fixes.map(
                      (fix, i) => html`
                        <button type="button" class="btn sm" data-fix="${at}.${i}">${fix.label}</button>
                      `,
                    )}
                  </div>
                `
              : ""
          }
        </div>
      </li>
    `;
  }
  /* Draws findings into a list; `stage`: whose they are, where they do not say so themselves. */
  function draw(list, found, stage) {
    drawn.set(list, found);
    patch(
      list,
      found.map((one, at) => row(one, at, stage)),
    );
  }

  /* Puts values into a form: empty ones stay empty, null takes what the project gives, else the default. */
  function put(stage, values) {
    const typed = store.typed(stage),
      before = Object.fromEntries(Object.keys(values).map((flag) => [flag, typed[flag] ?? null]));
    for (const [flag, value] of Object.entries(values)) {
      if (value === null) store.reset(stage, flag);
      else store.set(stage, flag, typeof value === "boolean" ? value : store.asText(value));
    }
    fire("loaded", { stage });
    return () => put(stage, before);
  }
  let note; /* the last one: an older one would only cover the list */
  function say(sentence, undo) {
    note?.remove();
    note = dialog.say(sentence, { action: { label: t("undo"), pick: undo } });
  }
  const sayMended = (label, undo) => say(t("said.mended", { what: label }), undo);
  async function browse(stage, { facts: { flag } }) {
    const kind = store.fields(stage)[flag].path;
    const chosen = await Studio.browse({ path: store.value(stage, flag), kind, title: field.label(stage, flag) });
    if (chosen !== null) put(stage, { [flag]: chosen });
    return chosen !== null;
  }
  /* In the Dataset tab they are seen, and what is missing is written at once. */
  const show = (_stage, { facts: { folders, pictures } }) => fire("show dataset", { paths: folders, query: { only: pictures } });
  async function open(_stage, { label, facts: { stage, values } }) {
    const tab = Studio.stage.tabOf(stage);
    await Studio.tabs.open(tab);
    if (tab !== "metadata") Studio.stage.choose(tab, stage);
    if (Object.keys(values).length) sayMended(label, put(stage, values));
  }
  async function writePrompts(stage) {
    const answer = await call("write_prompts", { stage, values: store.values(stage), project: store.state.project });
    if (dialog.trouble(answer)) return false;
    const undo = put(stage, { sample_prompts: answer.path });
    say(t("said.prompts", { path: answer.path }), undo);
    return true;
  }
  /* A run of its own finds settings; they are offered once it has ended. */
  const fit = (stage) => void fire("fit", stage);
  /* Each gives whether the finding may be gone now. */
  const ACTIONS = { browse, show, open, fit, write_prompts: writePrompts };
  async function mend(stage, fix) {
    if (fix.action) return Boolean(await ACTIONS[fix.action](stage, fix));
    sayMended(fix.label, put(stage, fix.values));
    return true;
  }

  /* Listens to a list; `mended(at)`, where given, is called when a fix of its row was taken. */
  function attend(list, stage, mended) {
    list.addEventListener("click", async (event) => {
      const { go, fix } = event.target.closest("a, button")?.dataset ?? {};
      const found = drawn.get(list) ?? [];
      if (go !== undefined) {
        event.preventDefault();
        const one = found[go];
        if (one.stage) Studio.search.go({ stage: one.stage, flag: one.field });
        else form.jump(stage, one.field);
      }
      if (fix !== undefined) {
        const [at, i] = fix.split(".").map(Number);
        if (!(await mend(stageOf(found[at], stage), found[at].fixes[i]))) return;
        mended?.(at);
        /* The button is gone; but who went on typing elsewhere stays there. */
        if (list.contains(document.activeElement) || document.activeElement === document.body)
          list.focus({ preventScroll: true });
      }
    });
  }
  return { draw, attend };
})();
