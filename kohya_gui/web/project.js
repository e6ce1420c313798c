/* The Project tab: what is typed once, how far the project is, and the whole pipeline. */
"use strict";
(() => {
  const { html, attr, put, patch, icon, t, on, call, store, dialog, debounce, fire, stage, data, kept, keep } = Studio;
  const FIELDS = [
    ["model", "model"],
    ["work_dir", "folder"],
    ["output_name", null],
  ];
  const STAGE_TABS = ["caption", "tag", "metadata", "latents", "train"];
  let root,
    draft,
    state = { tabs: {}, found: {}, counts: {} },
    errors = {};
  let plan = { caption: "blip", tagger: "wd14", clean: true, ...kept("studio.plan", {}) };

  const isNew = () => !store.state.project;
  const blank = () => ({ name: "", pictures: [""], model: "", work_dir: "", output_name: "" });

  function draw(place) {
    root = place;
    if (store.state.project === undefined) {
      put(
        place,
        html`
          <p class="muted">${t("loading")}</p>
        `,
      );
      return;
    }
    draft = store.state.project ? structuredClone(store.state.project) : (draft ?? blank());
    if (!draft.pictures.length) draft.pictures = [""];
    put(
      place,
      html`
        <div class="kg-project">
          <div class="col">
            ${isNew() ? welcome() : ""}
            <section class="card pad" aria-labelledby="pr-title">
              <div class="hd">
                <h2 id="pr-title">${isNew() ? t("pr.new") : draft.name}</h2>
                <span class="sp"></span>
                ${
                  isNew()
                    ? ""
                    : html`
                        <button type="button" class="btn sm quiet danger" data-do="forget">${t("pr.forget")}</button>
                      `
                }
              </div>
              ${isNew() ? plainField("name") : ""}
              <div class="f" data-field="pictures">
                <div class="l"><label for="pr-pictures-0">${t("pr.pictures")}</label></div>
                <div class="folders">${draft.pictures.map(folder)}</div>
                <div class="sub">
                  <span>${t("pr.pictures_help")}</span>
                  <span class="found"></span>
                </div>
                <div class="err" role="alert"></div>
                <button type="button" class="btn sm" data-do="add">${icon("plus")}${t("pr.add")}</button>
              </div>
              ${FIELDS.map(([name, kind]) => plainField(name, kind))}
              ${
                isNew()
                  ? html`
                      <div class="acts">
                        <button type="button" class="btn pri" data-do="create">${t("pr.create")}</button>
                      </div>
                    `
                  : ""
              }
            </section>
          </div>
          <div class="col">${isNew() ? "" : pipeline()}${isNew() ? example(true) : example(false)}</div>
        </div>
      `,
    );
    if (!place.dataset.listening) listen(place);
    place.dataset.listening = "yes";
    mark();
  }
  const welcome = () => html`
    <div class="welcome">
      <h2>${t("pr.welcome")}</h2>
      <p>${t("pr.welcome_help")}</p>
    </div>
  `;
  const folder = (path, i) => html`
    <div class="pathrow">
      <input
        class="in"
        id="pr-pictures-${i}"
        data-folder="${i}"
        value="${path}"
        spellcheck="false"
        autocomplete="off"
        aria-label="${t("pr.folder", { n: i + 1 })}"
      />
      <button
        type="button"
        class="btn"
        data-do="browse"
        data-folder="${i}"
        aria-label="${t("field.browse", { label: t("pr.folder", { n: i + 1 }) })}"
      >
        ${icon("folder")}
      </button>
      ${
        draft.pictures.length > 1
          ? html`
              <button
                type="button"
                class="btn"
                data-do="drop"
                data-folder="${i}"
                aria-label="${t("pr.drop", { n: i + 1 })}"
              >
                ${icon("cross")}
              </button>
            `
          : ""
      }
    </div>
  `;
  function plainField(name, kind) {
    const label = t(`pr.${name}`);
    const box = html`
      <input
        class="in"
        id="pr-${name}"
        data-name="${name}"
        value="${draft[name]}"
        spellcheck="false"
        autocomplete="off"
        aria-describedby="pr-${name}-s pr-${name}-e"
        placeholder="${name === "output_name" ? draft.name : ""}"
      />
    `;
    return html`
      <div class="f" data-field="${name}">
        <div class="l"><label for="pr-${name}">${label}</label></div>
        ${
          kind
            ? html`
                <div class="pathrow">
                  ${box}
                  <button
                    type="button"
                    class="btn"
                    data-do="browse"
                    data-name="${name}"
                    aria-label="${t("field.browse", { label })}"
                  >
                    ${icon("folder")}
                  </button>
                </div>
              `
            : box
        }
        <div class="sub" id="pr-${name}-s">
          <span>${t(`pr.${name}_help`)}</span>
          <span class="found"></span>
        </div>
        <div class="err" id="pr-${name}-e" role="alert"></div>
      </div>
    `;
  }

  const pick = (name, values) => html`
    <div class="kg-seg sm" role="radiogroup" aria-label="${t(`plan.${name}`)}">
      ${values.map(
        (one) => html`
          <label>
            <input type="radio" name="plan-${name}" value="${one}" ${attr("checked", one === plan[name])} />
            ${t(`plan.${one}`)}
          </label>
        `,
      )}
    </div>
  `;
  const toggle = (name) => html`
    <label class="sw">
      <input
        type="checkbox"
        role="switch"
        name="plan-${name}"
        ${attr("checked", plan[name])}
        aria-label="${t(`plan.${name}`)}"
      />
      <span aria-hidden="true">${t("plan.clean_on")}</span>
    </label>
  `;
  const row = (tab, control) => html`
    <li data-tab="${tab}">
      <span class="mark"></span>
      <button type="button" class="name" data-do="goto" data-tab="${tab}">${t(`tab.${tab}`)}</button>
      <span class="what muted"></span>
      <span class="sp"></span>
      ${control}
    </li>
  `;
  const pipeline = () => html`
    <section class="card pad" aria-labelledby="pl-title">
      <div class="hd"><h2 id="pl-title">${t("plan.title")}</h2></div>
      <p class="muted">${t("plan.help")}</p>
      <ol class="plan">
        ${row("caption", pick("caption", ["blip", "git", "none"]))}${row("tag", pick("tagger", ["wd14", "deepdanbooru", "none"]))}
        ${row("metadata", toggle("clean"))}${row(
          "latents",
          html`
            <span class="muted">${t("plan.always")}</span>
          `,
        )}${row(
          "train",
          html`
            <span class="muted">${t("plan.always")}</span>
          `,
        )}
      </ol>
      <div class="acts">
        <button type="button" class="btn pri" data-do="pipeline">${icon("play")}${t("plan.start")}</button>
      </div>
      <ul class="finds" data-plan></ul>
    </section>
  `;
  const example = (prominent) => html`
    <section class="card pad example">
      <h2>${t("example.title")}</h2>
      <p class="muted">${t("example.help")}</p>
      <div class="acts">
        <button type="button" class="btn ${prominent ? "pri" : ""}" data-do="example">${t("example.start")}</button>
      </div>
    </section>
  `;

  function mark() {
    if (!root?.isConnected) return;
    for (const box of root.querySelectorAll(".f[data-field]")) {
      const name = box.dataset.field,
        error = errors[name];
      box.classList.toggle("bad", Boolean(error));
      box.querySelectorAll(".in").forEach((one) => one.setAttribute("aria-invalid", String(Boolean(error))));
      patch(
        box.querySelector(":scope > .err"),
        error
          ? html`
              ${icon("warn")}
              <span>${error}</span>
            `
          : "",
      );
      const found = box.querySelector(".found");
      found.textContent = (isNew() ? "" : state.found?.[name]) || "";
    }
    for (const tab of STAGE_TABS) {
      const line = root.querySelector(`.plan [data-tab="${tab}"]`);
      if (!line) continue;
      line.dataset.state = state.tabs[tab] ?? "todo";
      line.querySelector(".what").textContent = t(`mark.${state.tabs[tab] ?? "todo"}`);
    }
  }

  function answered(answer) {
    errors = answer.errors ?? (answer.field ? { [answer.field]: answer.error } : {});
    if (answer.error && !answer.field) dialog.trouble(answer);
    mark();
    return !answer.error && !answer.errors;
  }
  const clean = () => ({ ...draft, pictures: draft.pictures.map((one) => one.trim()).filter(Boolean) });
  const save = debounce(async () => {
    if (isNew() || draft.name !== store.state.project.name) return;
    if (answered(await store.saveProject(clean()))) Studio.tabs.refresh();
  }, 500);
  async function create() {
    if (!answered(await store.saveProject(clean()))) root.querySelector(".bad .in")?.focus();
    else {
      draft = undefined;
      draw(root);
    }
  }
  async function browse({ name, folder: i }) {
    const kind = name ? FIELDS.find(([one]) => one === name)[1] : "pictures";
    const chosen = await Studio.browse({
      path: name ? draft[name] : draft.pictures[i],
      kind,
      title: t(name ? `pr.${name}` : "pr.pictures"),
    });
    if (chosen === null) return;
    if (name) draft[name] = chosen;
    else draft.pictures[i] = chosen;
    redraw();
    save();
  }
  function redraw() {
    const kept_draft = draft;
    const place = root.querySelector(".folders");
    put(place, kept_draft.pictures.map(folder));
    root.querySelectorAll("[data-name].in").forEach((box) => {
      box.value = draft[box.dataset.name];
    });
  }
  async function start(confirm = false) {
    const values = Object.fromEntries(Object.keys(data.forms).map((one) => [one, store.typed(one)]));
    const answer = await call("pipeline", { project: store.state.project, skip: [], ...plan, values, confirm });
    if (dialog.trouble(answer)) return;
    const list = root.querySelector("[data-plan]");
    if (answer.findings) {
      put(
        list,
        answer.findings.map(
          (one) => html`
            <li>
              <span class="${one.level === "error" ? "c-err" : "c-warn"}">${icon("warn")}</span>
              <span>${one.text}</span>
            </li>
          `,
        ),
      );
      if (answer.findings.every((one) => one.level !== "error"))
        list.insertAdjacentHTML(
          "beforeend",
          html`
            <li><button type="button" class="btn sm" data-do="anyway">${t("start_anyway")}</button></li>
          `.text,
        );
      return;
    }
    put(list, "");
    fire("started", answer.chain[0]);
    fire("show run", answer.chain[0]);
  }
  async function tryExample() {
    const answer = await call("example_project");
    if (dialog.trouble(answer)) return;
    store.state.projects = [...store.state.projects.filter((one) => one.name !== answer.project.name), answer.project];
    await store.take(answer.project);
    if (answer.run_id) {
      fire("started", answer.run_id);
      dialog.say(t("said.example"), { action: { label: t("open"), pick: () => fire("show run", answer.run_id) } });
    }
  }
  async function forget() {
    const name = store.state.project.name;
    if (await dialog.confirm(t("pr.forget"), t("pr.forget_ask", { name }), t("pr.forget")))
      dialog.trouble(await store.removeProject(name));
  }

  const ACTIONS = {
    create,
    forget,
    pipeline: () => start(),
    anyway: () => start(true),
    example: tryExample,
    browse: (data_set) => browse({ name: data_set.name, folder: Number(data_set.folder) }),
    add: () => {
      draft.pictures.push("");
      redraw();
      root.querySelector(".folders .pathrow:last-child .in").focus();
    },
    drop: ({ folder: i }) => {
      draft.pictures.splice(Number(i), 1);
      redraw();
      save();
    },
    goto: ({ tab }) => Studio.tabs.open(tab),
  };
  function listen(place) {
    place.addEventListener("click", (event) => {
      const pressed = event.target.closest("[data-do]");
      if (pressed) ACTIONS[pressed.dataset.do](pressed.dataset);
    });
    place.addEventListener("input", (event) => {
      const { name, folder: i } = event.target.dataset;
      if (name) draft[name] = event.target.value;
      if (i !== undefined) draft.pictures[Number(i)] = event.target.value;
      if (name || i !== undefined) save();
    });
    place.addEventListener("change", (event) => {
      const chosen = event.target.name?.match(/^plan-(.+)/)?.[1];
      if (!chosen) return;
      plan = { ...plan, [chosen]: event.target.type === "checkbox" ? event.target.checked : event.target.value };
      keep("studio.plan", plan);
    });
  }
  let shown = null; /* the name of the project that is drawn; undefined for a new one */
  on("project", (project) => {
    const other = shown !== project?.name;
    shown = project?.name;
    if (other) {
      draft = undefined;
      errors = {};
      state = { tabs: {}, found: {}, counts: {} };
      if (root?.isConnected) draw(root);
    }
  });
  on("project state", (found) => {
    state = found;
    mark();
  });
  Studio.view("project", draw);
})();
