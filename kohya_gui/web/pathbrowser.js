/* Chooses a file or a folder on the machine that the page's server runs on. */
"use strict";
Studio.browse = (() => {
  const { html, put, icon, t, call, dialog, bytes, recent } = Studio;
  const FOLDERS = ["pictures", "folder", "project", "state"];
  const BOTH = ["model", "vae"];

  /* Resolves to the chosen path, or null. `kind` is what the option's path leads to. */
  return function browse({ path, kind, title }) {
    const body = html`
      <form class="pb">
        <div class="pathrow">
          <button type="button" class="btn" data-up aria-label="${t("browse.up")}">${icon("up")}</button>
          <input class="in" name="path" autofocus aria-label="${t("browse.path")}" spellcheck="false" autocomplete="off" />
        </div>
        <div class="roots"></div>
        <section class="recent" aria-label="${t("browse.recent")}"></section>
        <div class="err" role="alert"></div>
        <ul class="pb-list" aria-label="${t("browse.content")}"></ul>
        <div class="acts">
          <span class="found muted" aria-live="polite"></span>
          <span class="sp"></span>
          <button type="button" class="btn" data-close>${t("cancel")}</button>
          <button type="button" class="btn pri" data-choose>${t("choose")}</button>
        </div>
      </form>
    `;
    return dialog.open({
      title: t("browse.title", { what: title }),
      body,
      wide: true,
      ready: (box, close) => begin(box, close, path, kind),
    });
  };

  function begin(box, close, path, kind) {
    const place = box.querySelector("[name=path]");
    let here = { path: "", parent: null },
      visits = 0;
    const join = (name) =>
      here.path.endsWith("/") || here.path.endsWith("\\")
        ? here.path + name
        : here.path + (here.path.includes("\\") ? "\\" : "/") + name;

    function drawRecent() {
      const paths = recent.of(kind);
      put(
        box.querySelector(".recent"),
        paths.length
          ? html`
              <h3>${t("browse.recent")}</h3>
              <ul>
                ${paths.map(
                  (one) => html`
                    <li>
                      <button type="button" data-recent="${one}" title="${one}"><bdi>${one}</bdi></button>
                      <button type="button" class="no" data-forget="${one}" aria-label="${t("browse.forget", { path: one })}">
                        ${icon("cross")}
                      </button>
                    </li>
                  `,
                )}
              </ul>
            `
          : "",
      );
    }

    async function visit(to) {
      const mine = ++visits,
        before = place.value;
      const answer = await call("browse", { path: to, kind });
      if (mine !== visits) return;
      put(
        box.querySelector(".err"),
        answer.error
          ? html`
              ${icon("warn")}
              <span>${answer.error}</span>
            `
          : "",
      );
      if (answer.error) return;
      here = answer;
      /* Unless somebody types on. */
      if (place.value === before) place.value = answer.path;
      box.querySelector("[data-up]").disabled = !answer.parent;
      box.querySelector(".found").textContent = answer.found;
      put(
        box.querySelector(".roots"),
        answer.roots.length > 1
          ? answer.roots.map(
              (root) => html`
                <button type="button" class="btn sm" data-to="${root}"><bdi dir="ltr">${root}</bdi></button>
              `,
            )
          : "",
      );
      const list = box.querySelector(".pb-list"),
        within = list.contains(document.activeElement);
      put(list, rows(answer));
      const file = [...list.querySelectorAll("[data-file]")].find((one) => one.dataset.file === to);
      if (file) select(file);
      if (within) (list.querySelector("button") ?? place).focus();
    }
    /* The list is one stop of the Tab key; arrows move within it. */
    function steer(event) {
      const all = [...event.currentTarget.querySelectorAll("button")],
        at = all.indexOf(document.activeElement),
        to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
      if (at < 0 || to === undefined) return;
      event.preventDefault();
      all.at(to % all.length).focus();
    }
    function select(file) {
      place.value = file.dataset.file;
      box.querySelectorAll("[aria-current]").forEach((one) => one.removeAttribute("aria-current"));
      file.setAttribute("aria-current", "true");
      file.scrollIntoView({ block: "nearest" });
    }
    const rows = ({ folders, files }) =>
      folders.length + files.length
        ? [
            ...folders.map(
              (name, i) => html`
                <li>
                  <button type="button" data-to="${join(name)}" tabindex="${i ? -1 : 0}">
                    ${icon("folder")}
                    <span>${name}</span>
                  </button>
                </li>
              `,
            ),
            ...files.map(
              ({ name, size_bytes }, i) => html`
                <li>
                  <button type="button" data-file="${join(name)}" tabindex="${i || folders.length ? -1 : 0}">
                    ${icon("file")}
                    <span>${name}</span>
                    <span class="muted num">${bytes(size_bytes)}</span>
                  </button>
                </li>
              `,
            ),
          ]
        : html`
            <li class="muted">${t("browse.empty")}</li>
          `;

    box.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      visit(place.value);
    });
    box.addEventListener("click", (event) => {
      const pressed = event.target.closest("button");
      if (!pressed) return;
      if ("up" in pressed.dataset) visit(here.parent);
      if (pressed.dataset.to) visit(pressed.dataset.to);
      if ("choose" in pressed.dataset) choose(place.value);
      if (pressed.dataset.recent) choose(pressed.dataset.recent);
      if (pressed.dataset.forget) {
        recent.remove(kind, pressed.dataset.forget);
        drawRecent();
      }
      if (pressed.dataset.file) select(pressed);
    });
    box.querySelector(".pb-list").addEventListener("keydown", steer);
    box.addEventListener("dblclick", (event) => {
      const file = event.target.closest("[data-file]")?.dataset.file;
      if (file && (BOTH.includes(kind) || !FOLDERS.includes(kind))) choose(file);
    });
    const choose = (chosen) => {
      /* What is a mere place on the way to a file is not worth being found again. */
      if (FOLDERS.includes(kind) || chosen !== here.path || here.found) recent.add(kind, chosen.trim());
      close(chosen);
    };
    drawRecent();
    visit(path);
  }
})();
