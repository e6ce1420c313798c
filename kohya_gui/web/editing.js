/* A run's settings in its stage's form: to start from them, or to change a run that still waits. */
"use strict";
Studio.editing = (() => {
  const { t, on, fire, call, store, dialog, kept, keep } = Studio;
  /* stage -> {id, name, chained, before}: the waiting run that the form holds, and what was typed there before. */
  let open = kept("studio.editing", {});

  const of = (stage) => open[stage] ?? null;
  function remember() {
    keep("studio.editing", open);
  }
  /* Fills a stage's form with values, everything else reset, and shows it; gives what was typed before. */
  async function fill(stage, values) {
    const fields = store.fields(stage),
      given = store.given(stage).values,
      before = { ...store.typed(stage) };
    const differs = ([flag, value]) =>
      flag in fields && store.asText(value) !== store.asText(given[flag] ?? store.plain(fields[flag]));
    const tab = Studio.stage.tabOf(stage);
    await Studio.tabs.open(tab);
    if (tab !== "metadata") Studio.stage.choose(tab, stage);
    put(stage, Object.fromEntries(Object.entries(values).filter(differs)));
    return before;
  }
  const put = (stage, values) => store.load(stage, { name: store.state.presets[stage], values });
  const settings = (id) => call("run", { id, since_event: 2 ** 31 });

  /* Opens a run's settings, and more, to start from them; one click takes them back. */
  async function take(row, more = {}) {
    const answer = await settings(row.id);
    if (dialog.trouble(answer)) return;
    leave(row.stage);
    const before = await fill(row.stage, { ...answer.values, ...more });
    const undo = () => put(row.stage, before);
    dialog.say(t("said.settings", { name: row.name }), { action: { label: t("undo"), pick: undo } });
  }
  /* Opens a waiting run's settings to change them; what was typed comes back afterwards. */
  async function edit(row) {
    const answer = await settings(row.id);
    if (dialog.trouble(answer)) return;
    if (answer.row.state !== "waiting") {
      dialog.say(t("edit.begun", { name: row.name }), { warning: true });
      return;
    }
    leave(row.stage);
    const before = await fill(row.stage, answer.values);
    open[row.stage] = { id: row.id, name: row.name, chained: Boolean(row.chain), before };
    remember();
    fire("editing", row.stage);
  }
  /* The form holds its own values again. */
  function leave(stage) {
    const edited = open[stage];
    if (!edited) return;
    forget(stage);
    put(stage, edited.before);
  }
  function forget(stage) {
    delete open[stage];
    remember();
    fire("editing", stage);
  }
  /* The run was given its new settings. */
  function saved(stage) {
    const { id, name } = open[stage];
    leave(stage);
    dialog.say(t("edit.saved", { name }), { action: { label: t("open"), pick: () => fire("show run", id) } });
    fire("show run", id);
  }
  /* A run that has begun meanwhile is not edited any more; the form keeps what was typed. */
  async function look() {
    for (const [stage, { id, name }] of Object.entries(open)) {
      const answer = await settings(id);
      if (answer.lost || open[stage]?.id !== id || answer.row?.state === "waiting") continue;
      forget(stage);
      dialog.say(t("edit.begun", { name }), { warning: true });
    }
  }
  /* Another project's values are none of the run: it keeps its settings, and the form's own ones are kept again. */
  function leaveAll() {
    for (const [stage, { name }] of Object.entries(open)) {
      leave(stage);
      dialog.say(t("edit.left", { name }), { warning: true });
    }
  }
  on("project leaving", leaveAll);
  on("runs changed", look);
  return { of, take, edit, leave, saved };
})();
