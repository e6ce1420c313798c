/* The Try tab besides its form: what was saved lately, to be compared with a click, and the pictures as they come. */
"use strict";
(() => {
  const { html, put, patch, t, on, call, store } = Studio;
  const STAGE = "try",
    FLAG = "grid";
  let place = null,
    files = [],
    table = null;

  const asked = () => ({ project: store.state.project?.name ?? null });

  /* The words of the field, as store.js writes them: what stands in quotation marks is one. */
  const words = () => String(store.value(STAGE, FLAG)).match(/"[^"]*"|'[^']*'|\S+/g) ?? [];
  const isChosen = (path) => words().some((word) => word === path || word.slice(1, -1) === path);

  function drawFiles() {
    patch(
      place.querySelector(".made"),
      html`
        <div class="hd"><h2>${t("try.made")}</h2></div>
        ${
          files.length
            ? html`
                <div class="pick">
                  ${files.map(
                    ({ path, name }) => html`
                      <button type="button" class="btn sm" title="${path}" data-path="${path}">${name}</button>
                    `,
                  )}
                </div>
              `
            : html`
                <p class="muted pad">${t("try.made_none")}</p>
              `
        }
      `,
    );
    mark();
  }
  /* In place, so that the button that was pressed keeps the focus. */
  function mark() {
    for (const button of place.querySelectorAll("[data-path]")) {
      const chosen = isChosen(button.dataset.path);
      button.setAttribute("aria-pressed", String(chosen));
      button.setAttribute("aria-label", t(chosen ? "try.drop" : "try.add", { name: button.textContent.trim() }));
    }
  }
  function toggle(path) {
    const kept = words().filter((word) => word !== path && word.slice(1, -1) !== path);
    const text = isChosen(path) ? kept.join(" ") : store.withPath(STAGE, FLAG, path);
    store.set(STAGE, FLAG, text);
    const box = document.getElementById(`f-${STAGE}-${FLAG}`);
    if (box) box.value = text;
  }
  async function refreshFiles() {
    if (!place?.isConnected) return;
    const { project } = asked(),
      answer = await call("trained", { project });
    if (project !== asked().project) return;
    files = answer.files ?? [];
    drawFiles();
  }
  async function refreshPictures() {
    if (!place?.isConnected) return;
    const { project } = asked(),
      { run, samples, sheet, error } = await call("tried", { project });
    if (error || project !== asked().project) return;
    table.show(run?.id ?? null, samples);
    const note = samples.length ? (sheet ? t("try.sheet", { path: sheet }) : "") : t("try.none");
    patch(place.querySelector(".note"), note);
  }

  on("stage drawn", ({ stage, extra }) => {
    if (stage !== STAGE) return;
    place = extra;
    place.classList.add("tries");
    // Right below what is always open: pictures are what one waits for.
    document.getElementById(`sec-${STAGE}-essentials`).after(place);
    put(
      place,
      html`
        <section class="card made"></section>
        <section class="card drawn" hidden></section>
        <p class="muted pad note"></p>
      `,
    );
    table = Studio.samplesTable(() => t("try.pictures"));
    table.place(place.querySelector(".drawn"));
    place.querySelector(".made").addEventListener("click", ({ target }) => {
      const path = target.closest("[data-path]")?.dataset.path;
      if (path) toggle(path);
    });
    refreshFiles();
    refreshPictures();
  });
  for (const news of ["runs changed", "project"])
    on(news, () => {
      refreshFiles();
      refreshPictures();
    });
  /* While pictures are drawn, each look of the poller brings those that have come since. */
  on("poll", ({ active }) => active?.stage === STAGE && refreshPictures());
  on("typed", ({ stage, flag }) => stage === STAGE && flag === FLAG && place?.isConnected && mark());
  on("loaded", ({ stage }) => stage === STAGE && place?.isConnected && mark());
})();
