/* Above the grid: what is shown, and in which order. */
"use strict";
Studio.pictureFilters = (() => {
  const { html, attr, put, patch, icon, t, on, number, debounce, kept, keep, album } = Studio;
  const { state } = album;
  const SHOWN = ["all", "no_caption", "no_tags", "no_text", "broken", "unreadable", "unsaved", "conflict", "enlarged", "cropped", "too_small"]; // prettier-ignore
  const SORTED = ["name", "changed", "pixels", "aspect", "tags", "length"];
  let place;

  const query = () => state.query;
  function change(changed) {
    const next = { ...query(), ...changed };
    for (const [name, value] of Object.entries(next))
      if (value === "" || value === null || value === false || (Array.isArray(value) && !value.length)) delete next[name];
    drawChips(next);
    return album.look(next);
  }
  const listed = (name, values, now) => html`
    <select class="in" id="ds-${name}" aria-label="${t(`ds.${name}`)}">
      ${values.map(
        (one) => html`
          <option value="${one}" ${attr("selected", one === now)}>${t(`ds.${name}_${one}`)}</option>
        `,
      )}
    </select>
  `;
  const limit = (name) => html`
    <label class="ds-limit">
      <span>${t(`ds.${name}`)}</span>
      <input class="in" id="ds-${name}" inputmode="numeric" value="${query()[name] ?? ""}" autocomplete="off" />
      <span class="muted">px</span>
    </label>
  `;
  function draw(box) {
    place = box;
    const asList = kept("studio.dataset.list", false);
    put(
      place,
      html`
        <form class="ds-filters" role="search" aria-label="${t("ds.filters")}">
          <input
            class="in ds-find"
            type="search"
            id="ds-text"
            value="${query().text ?? ""}"
            placeholder="${t("ds.find_text")}"
            aria-label="${t("ds.find_text")}"
            autocomplete="off"
            spellcheck="false"
          />
          ${listed("show", SHOWN, query().show ?? "all")} ${listed("sort", SORTED, query().sort ?? "name")}
          <button
            type="button"
            class="btn"
            data-do="turn"
            aria-pressed="${String(Boolean(query().descending))}"
            aria-label="${t("ds.descending")}"
            title="${t("ds.descending")}"
          >
            ${icon(query().descending ? "up" : "down")}
          </button>
          ${limit("min_px")} ${limit("max_px")}
          <span class="sp"></span>
          <div class="kg-seg" role="radiogroup" aria-label="${t("ds.view")}">
            ${["grid", "list"].map(
              (one) => html`
                <label title="${t(`ds.view_${one}`)}">
                  <input type="radio" name="ds-view" value="${one}" ${attr("checked", asList === (one === "list"))} />
                  ${icon(one)}
                  <span class="sr">${t(`ds.view_${one}`)}</span>
                </label>
              `,
            )}
          </div>
        </form>
        <div class="ds-chips"></div>
        <p class="ds-count" aria-live="polite"></p>
      `,
    );
    drawChips(query());
    drawCount();
  }
  function drawChips(now) {
    const chip = (key, value, words) => html`
      <button type="button" class="chip acc" data-chip="${key}" data-value="${value}" aria-label="${t("ds.drop_filter", { filter: words })}">
        ${words}${icon("cross")}
      </button>
    `;
    patch(place.querySelector(".ds-chips"), [
      now.only ? chip("only", "", t("ds.chip_only", { n: number(now.only.length) })) : "",
      ...(now.tags ?? []).map((tag) => chip("tags", tag, t("ds.chip_with", { tag }))),
      ...(now.without ?? []).map((tag) => chip("without", tag, t("ds.chip_without", { tag }))),
      now.bucket ? chip("bucket", now.bucket, t("ds.chip_bucket", { bucket: now.bucket.replace("x", " × ") })) : "",
    ]);
  }
  function drawCount() {
    if (!place?.isConnected) return;
    const all = album.info()?.pictures ?? 0,
      narrowed = state.total !== all;
    patch(
      place.querySelector(".ds-count"),
      album.info()
        ? html`
            <span>${narrowed ? t("ds.n_of", { n: number(state.total), all: number(all) }) : t("ds.n_pictures", { n: number(all) })}</span>
            ${state.chosen.size ? html`<span class="muted">${t("ds.n_chosen_short", { n: number(state.chosen.size) })}</span>` : ""}
            ${state.total ? html`<button type="button" class="btn sm quiet" data-do="all">${t("ds.choose_all")}</button>` : ""}
            ${state.chosen.size ? html`<button type="button" class="btn sm quiet" data-do="none">${t("ds.choose_none")}</button>` : ""}
            ${narrowed ? html`<button type="button" class="btn sm quiet" data-do="clear">${t("ds.clear")}</button>` : ""}
          `
        : "",
    );
  }

  const without = (list, value) => (list ?? []).filter((one) => one !== value);
  const filters = {
    tag: (tag) => ((query().tags ?? []).includes(tag) ? filters.drop("tags", tag) : filters.with(tag)),
    with: (tag) =>
      change({ tags: [...without(query().tags, tag), tag], without: without(query().without, tag) }),
    without: (tag) =>
      change({ without: [...without(query().without, tag), tag], tags: without(query().tags, tag) }),
    bucket: (bucket) => change({ bucket: query().bucket === bucket ? "" : bucket }),
    show: (show) => change({ show: query().show === show ? "" : show }).then(() => draw(place)),
    drop: (key, value) => change({ [key]: ["bucket", "only"].includes(key) ? "" : without(query()[key], value) }),
    clear: () => {
      const { sort, descending } = query();
      return change({ ...Object.fromEntries(Object.keys(query()).map((key) => [key, ""])), sort, descending }).then(() => draw(place));
    },
    turn: () => change({ descending: !query().descending }).then(() => draw(place)),
    all: () => album.all(),
    none: () => album.none(),
  };

  const typed = debounce((name, value) => change({ [name]: value }), 220);
  function px(box) {
    const text = box.value.trim(),
      isNumber = /^\d{0,6}$/.test(text);
    box.setAttribute("aria-invalid", String(!isNumber));
    return isNumber ? (text === "" ? "" : Number(text)) : null;
  }
  function input({ target }) {
    const name = target.id.replace("ds-", "");
    if (name === "text") typed("text", target.value);
    if (name === "min_px" || name === "max_px") {
      const value = px(target);
      if (value !== null) typed(name, value);
    }
    if (name === "show" || name === "sort") change({ [name]: target.value === "all" || target.value === "name" ? "" : target.value });
    if (target.name === "ds-view") {
      keep("studio.dataset.list", target.value === "list");
      Studio.fire("album view", target.value === "list");
    }
  }
  function listen(root) {
    root.addEventListener("input", (event) => event.target.closest(".ds-filters") && input(event));
    root.addEventListener("submit", (event) => event.preventDefault());
    root.addEventListener("click", (event) => {
      const { chip, value, do: action } = event.target.closest("button")?.dataset ?? {};
      if (chip) filters.drop(chip, value);
      if (action in filters && event.target.closest(".ds-head")) filters[action]();
    });
  }
  for (const news of ["album", "album found", "album chosen"]) on(news, drawCount);
  return { draw, filters, listen };
})();
