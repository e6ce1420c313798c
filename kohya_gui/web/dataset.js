/* The Dataset tab: where the pictures come from, the grid, and beside it the editor, changes, tags and buckets. */
"use strict";
Studio.dataset = (() => {
  const { html, attr, put, patch, icon, t, on, number, kept, keep, store, dialog, call, browse, page } = Studio;
  const { album, texts, pictureGrid, pictureEditor, pictureChange, pictureFacts, pictureFilters, pictureSaving } = Studio;
  const PANES = ["edit", "change", "tags", "buckets"];
  const MOST_RECENT = 5,
    REST_MS = 20_000;
  let root,
    sources = [],
    pane = "edit",
    readAt_ms = 0,
    lastTab = null;

  const part = (name) => root.querySelector(`[data-part=${name}]`);
  const same = (one, other) => one.length === other.length && one.every((path, i) => path === other[i]);
  const short = (path) => path.split(/[\\/]/).filter(Boolean).slice(-2).join("/");
  const WORDS = {
    all: ({ paths }) => t("ds.source_all", { n: paths.length }),
    folder: ({ paths }) => t("ds.source_folder", { name: short(paths[0]) }),
    metadata: ({ paths }) => t("ds.source_metadata", { name: paths[0].split(/[\\/]/).pop() }),
    other: ({ paths }) => paths.map(short).join(t("field.comma")),
  };

  function draw(place) {
    root = place;
    put(
      place,
      html`
        <div class="kg-ds">
          <div class="card pad ds-source">
            <div data-part="source"></div>
            <div data-part="progress" role="status"></div>
          </div>
          <section class="card ds-left" aria-label="${t("ds.pictures")}">
            <div class="ds-head" data-part="filters"></div>
            <div class="ds-grid" data-part="grid" role="grid" aria-multiselectable="true"></div>
            <div class="ds-empty" data-part="empty" hidden></div>
          </section>
          <aside class="card ds-side" aria-label="${t("ds.side")}">
            <div class="ds-save" data-part="saving"></div>
            <div class="kg-seg sm ds-panes" role="radiogroup" aria-label="${t("ds.side")}">
              ${PANES.map(
                (one) => html`
                  <label>
                    <input type="radio" name="ds-pane" value="${one}" ${attr("checked", one === pane)} />
                    ${t(`ds.pane_${one}`)}
                  </label>
                `,
              )}
            </div>
            ${PANES.map(
              (one) => html`
                <div class="ds-pane" data-part="${one}" ${attr("hidden", one !== pane)}></div>
              `,
            )}
          </aside>
        </div>
      `,
    );
    if (!place.dataset.listening) listen(place);
    place.dataset.listening = "yes";
    drawSource();
    pictureFilters.draw(part("filters"));
    pictureGrid.place(part("grid"), kept("studio.dataset.list", false));
    pictureSaving.draw(part("saving"));
    pictureEditor.draw(part("edit"));
    pictureChange.draw(part("change"));
    pictureFacts.drawTags(part("tags"));
    pictureFacts.drawBuckets(part("buckets"));
    told();
    begin();
  }
  const PANE_DRAWN = {
    edit: () => pictureEditor.refresh(),
    change: () => pictureChange.draw(part("change")),
    tags: () => pictureFacts.drawTags(part("tags")),
    buckets: () => pictureFacts.drawBuckets(part("buckets")),
  };
  function turnTo(name) {
    pane = name;
    for (const one of PANES) part(one).hidden = one !== name;
    root.querySelector(`[name=ds-pane][value=${name}]`).checked = true;
    PANE_DRAWN[name]();
  }

  /* Where pictures come from. */
  const recent = () => kept("studio.dataset.recent", []).map((path) => ({ kind: "other", paths: [path] }));
  const offered = () => {
    const all = [...sources, ...recent().filter((one) => !sources.some((other) => same(one.paths, other.paths)))];
    const { paths } = album.state;
    if (paths.length && !all.some((one) => same(one.paths, paths))) all.push({ kind: "other", paths });
    return all;
  };
  function drawSource() {
    const { paths } = album.state,
      [caption, tags] = [album.settings.caption_extension, album.settings.tags_extension];
    patch(
      part("source"),
      html`
        <label class="ds-from">
          <span>${t("ds.from")}</span>
          <select class="in" id="ds-source" aria-label="${t("ds.from")}">
            ${paths.length ? "" : html`<option value="" selected>${t("ds.choose_source")}</option>`}
            ${offered().map(
              (one, i) => html`
                <option value="${i}" ${attr("selected", same(one.paths, paths))} title="${one.paths.join("\n")}">${WORDS[one.kind](one)}</option>
              `,
            )}
          </select>
        </label>
        <button type="button" class="btn" data-source="folder">${icon("folder")}${t("ds.other_folder")}</button>
        <button type="button" class="btn" data-source="metadata">${icon("file")}${t("ds.other_metadata")}</button>
        <span class="sp"></span>
        <button type="button" class="btn quiet" data-source="endings" title="${t("ds.endings_help")}">
          ${t("ds.endings", { endings: [caption, tags].filter(Boolean).join(" ") })}
        </button>
        <button type="button" class="btn quiet" data-source="again" ${attr("disabled", !paths.length)}>
          ${icon("reset")}${t("ds.again")}
        </button>
      `,
    );
  }
  async function choose(kind) {
    const title = t(kind === "folder" ? "ds.other_folder" : "ds.other_metadata");
    const path = await browse({ path: album.state.paths[0] ?? "", kind: kind === "folder" ? "pictures" : "json_in", title });
    if (!path) return;
    keep("studio.dataset.recent", [path, ...kept("studio.dataset.recent", []).filter((one) => one !== path)].slice(0, MOST_RECENT));
    await go([path]);
  }
  async function go(paths) {
    await texts.flush();
    const n = album.info()?.unsaved;
    if (n && !same(paths, album.state.paths)) dialog.say(t("ds.left_unsaved", { n: number(n) }), { warning: true });
    await album.open(paths);
  }
  async function endings() {
    const { settings } = album;
    const field = (name) => html`
      <div class="f">
        <div class="l"><label for="ds-${name}">${t(`ds.${name}`)}</label></div>
        <input class="in" id="ds-${name}" name="${name}" value="${settings[name]}" spellcheck="false" autocomplete="off" />
      </div>
    `;
    const given = await dialog.open({
      title: t("ds.endings_title"),
      body: html`
        <form>
          ${field("caption_extension")} ${field("tags_extension")}
          <p class="muted">${t("ds.endings_help")}</p>
          <label class="sw">
            <input type="checkbox" role="switch" name="recursive" ${attr("checked", settings.recursive)} />
            <span>${t("ds.recursive")}</span>
          </label>
          <div class="acts">
            <button type="button" class="btn" data-close>${t("cancel")}</button>
            <button class="btn pri">${t("ds.use")}</button>
          </div>
        </form>
      `,
      ready: (box, close) =>
        box.querySelector("form").addEventListener("submit", (event) => {
          event.preventDefault();
          const form = new FormData(event.target);
          close({
            caption_extension: form.get("caption_extension").trim(),
            tags_extension: form.get("tags_extension").trim(),
            recursive: form.has("recursive"),
          });
        }),
    });
    if (!given) return;
    await texts.flush();
    album.set(given);
    // With other endings these are other texts: edits wait where they were made.
    const n = album.info()?.unsaved;
    if (n) dialog.say(t("ds.left_unsaved", { n: number(n) }), { warning: true });
    if (album.state.paths.length) await album.open(album.state.paths);
    drawSource();
  }
  /* What is going on, and what went wrong. */
  function told() {
    if (!root?.isConnected) return;
    const { trouble, paths, info } = album.state,
      busy = info?.busy;
    drawSource();
    patch(
      part("progress"),
      trouble
        ? html`
            <p class="c-err">${icon("warn")}${trouble}</p>
          `
        : busy?.what === "scan"
          ? html`
              <p>${busy.total ? t("ds.reading", { done: number(busy.done), all: number(busy.total) }) : t("ds.looking")}</p>
              <span class="meter"><i style="width:${busy.total ? ((busy.done / busy.total) * 100).toFixed(1) : 0}%"></i></span>
            `
          : info?.cut_off
            ? html`
                <p class="c-warn">${icon("warn")}${t("ds.cut_off", { n: number(info.pictures), rest: number(info.cut_off) })}</p>
              `
            : "",
    );
    const isEmpty = !album.state.total && !busy;
    part("empty").hidden = !isEmpty;
    part("grid").hidden = isEmpty;
    if (isEmpty) patch(part("empty"), empty(paths, info, trouble));
  }
  const empty = (paths, info, trouble) =>
    trouble
      ? ""
      : !paths.length
        ? html`
            <p>${t("ds.start")}</p>
            <button type="button" class="btn pri" data-source="folder">${icon("folder")}${t("ds.other_folder")}</button>
          `
        : info?.pictures
          ? html`
              <p>${t("ds.none_left")}</p>
              <button type="button" class="btn" data-clear>${t("ds.clear")}</button>
            `
          : html`
              <p class="muted">${t("loading")}</p>
            `;

  /* Opens the project's pictures, unless something is open already; what is open is read again after a rest. */
  async function begin() {
    if (!root || page.tab !== "dataset" || store.state.project === undefined) return;
    if (album.state.paths.length) {
      if (Date.now() - readAt_ms > REST_MS) album.reread();
      return;
    }
    const { project } = store.state;
    sources = project ? ((await call("dataset_sources", { project: project.name })).sources ?? []) : [];
    drawSource();
    if (sources.length && !album.state.paths.length) await album.open(sources[0].paths);
    else told();
  }
  /* For other parts of the page: the pictures of folders or of a metadata file (without: the project's), and which of them. */
  async function show({ paths, query = {}, pane: wanted } = {}) {
    await Studio.tabs.open("dataset");
    album.state.query = query;
    const { project } = store.state;
    const chosen = paths ?? (album.state.paths.length ? album.state.paths : project?.pictures);
    if (chosen?.length) await go(chosen);
    pictureFilters.draw(part("filters"));
    if (wanted) turnTo(wanted);
  }

  const SOURCE = { folder: () => choose("folder"), metadata: () => choose("metadata"), endings, again: () => album.reread() };
  function listen(place) {
    place.addEventListener("click", (event) => {
      const { source, kind } = event.target.closest("button")?.dataset ?? {};
      if (source) SOURCE[source]();
      if (kind) {
        pictureChange.prepare(kind);
        turnTo("change");
      }
      if (event.target.closest("[data-clear]")) pictureFilters.filters.clear();
    });
    place.addEventListener("input", (event) => {
      if (event.target.id === "ds-source" && event.target.value !== "") go(offered()[Number(event.target.value)].paths);
      if (event.target.name === "ds-pane") turnTo(event.target.value);
    });
    for (const one of [pictureFilters, pictureSaving, pictureEditor, pictureChange, pictureFacts, texts]) one.listen(place);
  }
  on("album", told);
  on("album found", told);
  on("album read", () => (readAt_ms = Date.now()));
  on("album view", (list) => pictureGrid.place(part("grid"), list));
  on("album edit", () => {
    turnTo("edit");
    pictureEditor.edit();
  });
  on("album change", ({ kind, find }) => {
    pictureChange.prepare(kind, find);
    turnTo("change");
  });
  on("project", () => {
    if (album.state.paths.length && !pictureSaving.hasUnsaved()) album.state.paths = [];
    sources = [];
    begin();
  });
  on("tab", (tab) => {
    if (lastTab === "dataset" && tab !== "dataset" && pictureSaving.hasUnsaved())
      dialog.say(t("ds.leaving", { n: number(album.info()?.unsaved ?? 1) }), {
        warning: true,
        action: { label: t("ds.save"), pick: pictureSaving.save },
      });
    lastTab = tab;
    begin();
  });
  on("run ended", () => {
    readAt_ms = 0;
    if (page.tab === "dataset") album.reread();
  });
  on("show dataset", show);
  Studio.view("dataset", draw);
  return { show };
})();
