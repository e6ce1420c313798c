/* The Project tab: what is typed once, and how far the project is. */
"use strict";
(() => {
  const { html, put, patch, icon, t, on, once, call, store, dialog, debounce, fire, plan, showEnd } = Studio;
  const FIELDS = [
    ["model", "model"],
    ["work_dir", "folder"],
    ["output_name", null],
  ];
  let root,
    draft,
    state = { tabs: {}, found: {}, counts: {} },
    errors = {};

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
          <div class="col">${isNew() ? "" : plan.draw()}${isNew() ? example(true) : example(false)}</div>
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
    root.querySelectorAll(".pathrow .in").forEach(showEnd);
    plan.mark(root, state.tabs);
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
    put(root.querySelector(".folders"), draft.pictures.map(folder));
    root.querySelectorAll("[data-name].in").forEach((box) => {
      box.value = draft[box.dataset.name];
    });
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

  const LASTING = {
    create,
    pipeline: () => plan.start(root),
    anyway: () => plan.start(root, true),
    example: tryExample,
  };
  const ACTIONS = {
    forget,
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
      const pressed = event.target.closest("[data-do]"),
        name = pressed?.dataset.do;
      if (name in LASTING) once(event, "project", LASTING[name]);
      else if (name) ACTIONS[name](pressed.dataset);
    });
    place.addEventListener("input", (event) => {
      const { name, folder: i } = event.target.dataset;
      if (name) draft[name] = event.target.value;
      if (i !== undefined) draft.pictures[Number(i)] = event.target.value;
      if (name || i !== undefined) save();
    });
    place.addEventListener("change", (event) => plan.choose(root, event.target));
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
  /* What the server found wrong is asked again; a project that is not there yet is judged when it is created. */
  on("lang", () => {
    const again = Object.keys(errors).length && !isNew();
    errors = {};
    mark();
    if (again) save();
  });
  on("project state", (found) => {
    state = found;
    mark();
  });
  Studio.view("project", draw);
})();
