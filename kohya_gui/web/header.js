/* The header: project, preset of the open tab, option search, TensorBoard, language, theme. */
"use strict";
(() => {
  const { html, put, patch, icon, t, on, call, store, dialog, search, presets, tabs, page, kept, keep, fileUrl } = Studio;
  let root,
    board = { running: false, url: null };

  function draw(place) {
    root = place;
    put(
      place,
      html`
        <header class="kg-head">
          <h1 class="brand">
            ${icon("mark")}
            <span>Studio</span>
          </h1>
          <button type="button" class="pick" data-do="project" aria-haspopup="menu"></button>
          <button type="button" class="pick" data-do="preset" aria-haspopup="dialog" hidden></button>
          <span class="grow"></span>
          ${search.draw()}
          <button type="button" class="btn quiet hide-s" data-do="board"></button>
          <button type="button" class="btn quiet" data-do="lang" aria-label="${t("other_language")}">
            ${page.lang === "en" ? "EN" : "日本語"}
          </button>
          <button type="button" class="btn quiet" data-do="theme" aria-label="${t("dark")}">${icon("sun")}</button>
          ${guarded() ? wayOut() : ""}
        </header>
      `,
    );
    if (!place.dataset.listening)
      place.addEventListener("click", (event) =>
        ACTIONS[event.target.closest("[data-do]")?.dataset.do]?.(event.target.closest("[data-do]")),
      );
    place.dataset.listening = "yes";
    search.attend(place);
    drawProject();
    drawPreset();
    drawBoard();
    setTheme(isDark());
  }
  /* Only a page with a password knows who is there. */
  const guarded = () => Boolean(window.gradio_config?.username);
  const wayOut = () => html`
    <a class="btn quiet" href="logout" data-do="logout" title="${t("log_out")}" aria-label="${t("log_out")}">
      ${icon("out")}
    </a>
  `;
  const one = (name) => root?.querySelector(`[data-do=${name}]`);

  function drawProject() {
    if (root)
      patch(
        one("project"),
        html`
          <small>${t("project")}</small>
          <b>${store.state.project?.name ?? (store.state.project === null ? t("no_project") : "…")}</b>
          ${icon("down")}
        `,
      );
  }
  let presetDrawn = 0;
  async function drawPreset() {
    const mine = ++presetDrawn,
      state = await presets.state();
    if (!root || mine !== presetDrawn) return;
    one("preset").hidden = !state;
    if (state)
      patch(
        one("preset"),
        html`
          <small>${t("preset_word")}</small>
          <span class="only-s" title="${t("preset_word")}">${icon("list")}</span>
          <b class="hide-s">${state.name ?? t("preset_default")}</b>
          ${
            state.changed
              ? html`
                  <span class="chip acc hide-s">${t("changed", { n: state.changed })}</span>
                `
              : ""
          }${icon("down")}
        `,
      );
  }
  function drawBoard() {
    if (root)
      patch(
        one("board"),
        html`
          ${icon("chart")}TensorBoard${
            board.running
              ? html`
                  <span class="chip acc">${t("on")}</span>
                `
              : ""
          }
        `,
      );
  }

  function projects(button) {
    const current = store.state.project?.name;
    dialog.menu(button, [
      ...store.state.projects.map((project) => ({
        label: project.name,
        note: project.work_dir,
        checked: project.name === current,
        pick: async () => dialog.trouble(await store.open(project.name)),
      })),
      {
        label: t("project_new"),
        pick: async () => {
          await store.take(null);
          tabs.open("project");
        },
      },
    ]);
  }
  async function startBoard() {
    const answer = await call("tensorboard", { action: "start", logdir: store.value(Studio.stage.current("train"), "logging_dir") || null });
    board = answer.error ? board : answer;
    drawBoard();
    if (!dialog.trouble(answer)) dialog.say(t("said.board"), { action: { label: t("open"), pick: openBoard } });
  }
  const openBoard = () => window.open(fileUrl(board.url), "_blank", "noopener");
  async function boardMenu(button) {
    const answer = await call("tensorboard", { action: "status", logdir: null });
    if (dialog.trouble(answer)) return;
    board = answer;
    drawBoard();
    if (!board.running) {
      startBoard();
      return;
    }
    dialog.menu(button, [
      { label: t("board_open"), note: fileUrl(board.url), pick: openBoard },
      {
        label: t("board_stop"),
        danger: true,
        pick: async () => {
          board = await call("tensorboard", { action: "stop", logdir: null });
          drawBoard();
        },
      },
    ]);
  }

  const isDark = () =>
    (kept("studio.theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  function setTheme(dark) {
    document.body.classList.toggle("dark", dark);
    document.documentElement.style.colorScheme = dark ? "dark" : "light";
    one("theme")?.setAttribute("aria-pressed", String(dark));
  }
  const ACTIONS = {
    project: projects,
    preset: () => presets.open(),
    board: boardMenu,
    lang: () => {
      Studio.speak(page.lang === "en" ? "ja" : "en");
      one("lang").focus();
    },
    theme: () => {
      keep("studio.theme", isDark() ? "light" : "dark");
      setTheme(isDark());
    },
  };
  on("project", drawProject);
  ["tab", "stage", "typed", "loaded", "preset", "project"].forEach((news) => on(news, drawPreset));
  Studio.view("header", draw);
  call("tensorboard", { action: "status", logdir: null }).then((answer) => {
    if (!answer.error) {
      board = answer;
      drawBoard();
    }
  });
  store.begin();
})();
