/* What was typed into each form, kept per project; and what the project and earlier stages give. */
"use strict";
Studio.store = (() => {
  const { kept, keep, fire, call, data } = Studio;
  const state = { projects: [], project: undefined, typed: {}, given: {}, presets: {}, folders: {} };
  const keyOf = (project) => `studio.forms.${project ? project.name : ""}`;

  const fields = (stage) => data.forms[stage].fields;
  /* Small numbers as people write them: 2e-6, not 0.000002. */
  const ofNumber = (value) => (value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential() : String(value));
  /* Words with spaces or quotes in them, and empty ones, are quoted, as sd_scripts/options/values.py splits them. */
  const asWord = (word) => (/[\s"'\\]|^$/.test(word) ? `'${word.replaceAll("'", `'"'"'`)}'` : word);
  const asText = (value) =>
    Array.isArray(value)
      ? value.map((one) => asWord(String(one))).join(" ")
      : typeof value === "number"
        ? ofNumber(value)
        : String(value ?? "");
  const plain = (field) => (field.kind === "bool" ? Boolean(field.default) : asText(field.default));
  const typed = (stage) => (state.typed[stage] ??= {});
  const given = (stage) => state.given[stage] ?? { values: {}, links: {} };

  const isTyped = (stage, flag) => flag in typed(stage);
  const link = (stage, flag) => (isTyped(stage, flag) ? null : (given(stage).links[flag] ?? null));
  function value(stage, flag) {
    const found = typed(stage)[flag] ?? given(stage).values[flag];
    return found === undefined
      ? plain(fields(stage)[flag])
      : fields(stage)[flag].kind === "bool"
        ? found === true || found === "true"
        : asText(found);
  }
  const values = (stage) => ({ ...given(stage).values, ...typed(stage) });

  /* What an option holds once a path was chosen for it: of one that takes several, that one more. */
  function withPath(stage, flag, path) {
    const before = fields(stage)[flag].many ? `${value(stage, flag)} ` : "";
    return fields(stage)[flag].many ? `${before}${asWord(path)}`.trim() : path;
  }
  /* Where looking for a further path begins. */
  const lastPath = (stage, flag) => (fields(stage)[flag].many ? "" : value(stage, flag));

  const only = (all, holds) => Object.fromEntries(Object.entries(all).filter(([name]) => holds(name)));
  function save() {
    if (state.project === undefined) return;
    const open = Object.entries(state.typed).map(([stage, flags]) => [
      stage,
      only(flags, (flag) => !fields(stage)[flag]?.secret),
    ]);
    keep(keyOf(state.project), { typed: Object.fromEntries(open), presets: state.presets });
  }
  /* What belongs to the work at hand (layout_staying.py) is typed into all trainings that have the option, unless a
     run's settings are open there: so it stays when the method is switched. The rest, and presets, are of one alone. */
  function partners(stage, flag) {
    const held = (one) => Studio.editing.of(one),
      { kind, many } = fields(stage)[flag];
    if (!(stage in data.trainers) || !data.stays.includes(flag) || held(stage)) return [];
    const alike = (field) => field && field.kind === kind && field.many === many;
    return Object.keys(data.trainers).filter((one) => one !== stage && !held(one) && alike(fields(one)[flag]));
  }
  const accepts = ({ choices }, text) => !choices || text === "" || choices.some((one) => String(one) === text);
  function write(stage, flag, text) {
    const unlinked = !(flag in given(stage).values);
    if (unlinked && text === plain(fields(stage)[flag])) delete typed(stage)[flag];
    else typed(stage)[flag] = text;
  }
  function set(stage, flag, text) {
    const shared = partners(stage, flag).filter((one) => accepts(fields(one)[flag], text));
    changed([stage, ...shared], flag, (one) => write(one, flag, text));
  }
  function reset(stage, flag) {
    const before = typed(stage)[flag];
    const shared = partners(stage, flag).filter((one) => typed(one)[flag] === before);
    changed([stage, ...shared], flag, (one) => delete typed(one)[flag]);
  }
  function changed(stages, flag, change) {
    stages.forEach(change);
    save();
    stages.forEach((stage) => fire("typed", { stage, flag }));
  }
  function load(stage, preset) {
    const known = Object.entries(preset.values).filter(([flag]) => flag in fields(stage));
    state.typed[stage] = Object.fromEntries(
      known.map(([flag, one]) => [flag, typeof one === "boolean" ? one : asText(one)]),
    );
    state.presets[stage] = preset.name;
    save();
    fire("loaded", { stage });
  }
  /* What a field will hold once a preset is loaded: its value, else what the project gives, else the default. */
  const after = (stage, flag, presetValues) =>
    presetValues[flag] ?? given(stage).values[flag] ?? plain(fields(stage)[flag]);
  function same(field, one, other) {
    const [left, right] = [asText(one), asText(other)];
    const isNumber = field.kind !== "str" && field.kind !== "bool" && !field.many && left !== "" && right !== "";
    return left === right || (isNumber && Number(left) === Number(right));
  }
  /* What a preset of ours leaves as it is: paths and names that it does not give itself. */
  const isOwn = (stage, preset, flag) =>
    preset.builtin && !(flag in preset.values) && (fields(stage)[flag].path || data.names.includes(flag));
  /* The flags in which the form differs from what a preset would make of it, in the order of the form. */
  function differences(stage, preset) {
    const touched = new Set([...Object.keys(typed(stage)), ...Object.keys(preset.values)]);
    return Object.entries(fields(stage))
      .filter(([flag]) => touched.has(flag) && !isOwn(stage, preset, flag))
      .filter(([flag, field]) => !same(field, value(stage, flag), after(stage, flag, preset.values)))
      .map(([flag]) => flag);
  }
  /* Takes some of a preset's values, and resets those of the flags that it does not name. */
  function apply(stage, preset, flags) {
    for (const flag of flags) {
      const text = asText(preset.values[flag]);
      const isDefault = !(flag in given(stage).values) && text === asText(plain(fields(stage)[flag]));
      if (flag in preset.values && !isDefault)
        typed(stage)[flag] = fields(stage)[flag].kind === "bool" ? text === "true" : text;
      else delete typed(stage)[flag];
    }
    state.presets[stage] = preset.draft ? null : preset.name;
    save();
    fire("loaded", { stage });
  }

  function recall() {
    const found = kept(keyOf(state.project), {});
    state.typed = {};
    for (const [stage, flags] of Object.entries(found.typed ?? {})) {
      if (!data.forms[stage]) continue;
      state.typed[stage] = only(flags, (flag) => flag in fields(stage));
    }
    state.presets = found.presets ?? {};
  }
  function takeGiven(stage, answer) {
    const before = JSON.stringify(state.given[stage]);
    state.given[stage] = answer;
    if (JSON.stringify(answer) !== before) fire("loaded", { stage });
  }
  /* Which of the project's several folders a stage works on. */
  function chooseFolder(stage, index) {
    state.folders[stage] = index;
    return refreshAllGiven();
  }
  /* Of several questions under way only the last one's answer counts: the others are about what was before. */
  let askedGiven = 0;
  async function refreshAllGiven() {
    const mine = ++askedGiven;
    const answer = await call("all_stage_values", { project: state.project, folders: state.folders });
    if (!answer.error && mine === askedGiven) Object.entries(answer).forEach(([stage, given]) => takeGiven(stage, given));
  }

  /* Opens a project. `early`: what was typed before the server had said which project is open. */
  async function take(project, early = {}) {
    if (state.project !== undefined) fire("project leaving");
    state.project = project;
    state.folders = {};
    recall();
    for (const [stage, flags] of Object.entries(early)) Object.assign(typed(stage), flags);
    fire("project", project);
    Object.keys(data.forms).forEach((stage) => fire("loaded", { stage }));
    await refreshAllGiven();
  }
  Studio.on("run ended", refreshAllGiven);
  async function begin() {
    const answer = await call("projects");
    if (answer.error) {
      setTimeout(begin, 2000);
      return;
    }
    if (answer.trouble) Studio.dialog.say(answer.trouble, { warning: true });
    state.projects = answer.projects;
    await take(
      answer.projects.find((one) => one.name === answer.current) ?? null,
      state.project === undefined ? state.typed : {},
    );
  }
  async function open(name) {
    const answer = await call("project_open", { name });
    if (!answer.error) await take(answer.project);
    return answer;
  }
  /* Keeps a project that was made or changed; the forms go on under its name. */
  async function saveProject(project) {
    const answer = await call("project_save", { project, is_new: !state.project });
    if (answer.error || answer.errors) return answer;
    const isNew = !state.project || state.project.name !== answer.project.name;
    state.projects = [...state.projects.filter((one) => one.name !== answer.project.name), answer.project];
    if (isNew) await take(answer.project);
    else {
      state.project = answer.project;
      fire("project", state.project);
      await refreshAllGiven();
    }
    return answer;
  }
  async function removeProject(name) {
    const answer = await call("project_delete", { name });
    if (!answer.error) {
      keep(`studio.forms.${name}`, {});
      await begin();
    }
    return answer;
  }

  return {
    state,
    fields,
    plain,
    asText,
    isTyped,
    link,
    value,
    values,
    withPath,
    lastPath,
    typed,
    given,
    set,
    reset,
    load,
    after,
    differences,
    apply,
    refreshAllGiven,
    chooseFolder,
    begin,
    open,
    take,
    saveProject,
    removeProject,
  };
})();
