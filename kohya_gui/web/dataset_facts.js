/* Beside the grid: how often each tag occurs, and the buckets that the Latents form would give. A click filters. */
"use strict";
Studio.pictureFacts = (() => {
  const { html, put, patch, icon, t, on, number, debounce, dialog, store, album } = Studio;
  const { state } = album;
  const places = {};
  let holding = "",
    most = 100;

  const visible = (name) => places[name]?.isConnected && !places[name].hidden && album.info();

  function drawTags(box) {
    places.tags = box;
    put(
      box,
      html`
        <input
          class="in"
          type="search"
          id="ds-holding"
          value="${holding}"
          placeholder="${t("ds.find_tag")}"
          aria-label="${t("ds.find_tag")}"
          autocomplete="off"
          spellcheck="false"
        />
        <ul class="ds-tags" aria-label="${t("ds.tags")}"></ul>
        <p class="more"></p>
      `,
    );
    refreshTags();
  }
  async function refreshTags() {
    if (!visible("tags") || !state.view) return;
    const answer = await album.ask("tags", { view: state.view, holding, limit: most });
    if (answer.error || !visible("tags")) return;
    patch(
      places.tags.querySelector("ul"),
      answer.tags.length
        ? answer.tags.map(tagRow)
        : html`
            <li class="muted">${t("ds.no_tags_here")}</li>
          `,
    );
    patch(
      places.tags.querySelector(".more"),
      answer.all > answer.tags.length
        ? html`
            <span class="muted">${t("ds.tags_more", { n: number(answer.all - answer.tags.length) })}</span>
            ${most < 300 ? html`<button type="button" class="btn sm quiet" data-more-tags>${t("more")}</button>` : ""}
          `
        : "",
    );
  }
  const tagRow = ([tag, n]) => html`
    <li>
      <button type="button" class="tag" data-tag="${tag}" aria-pressed="${String((state.query.tags ?? []).includes(tag))}">
        <span>${tag}</span>
        <span class="muted num">${number(n)}</span>
      </button>
      <button
        type="button"
        class="btn sm quiet"
        data-tag-menu="${tag}"
        aria-haspopup="menu"
        aria-label="${t("ds.tag_actions", { tag })}"
      >
        ${icon("dots")}
      </button>
    </li>
  `;
  function tagMenu(button, tag) {
    const { filters } = Studio.pictureFilters;
    const change = (kind) => () => Studio.fire("album change", { kind, find: tag });
    dialog.menu(button, [
      { label: t("ds.only_with"), pick: () => filters.with(tag) },
      { label: t("ds.only_without"), pick: () => filters.without(tag) },
      { label: t("ds.replace_more"), pick: change("replace") },
      { label: t("ds.remove_more"), pick: change("remove") },
    ]);
  }

  function drawBuckets(box) {
    places.buckets = box;
    put(
      box,
      html`
        <div class="ds-buckets"></div>
      `,
    );
    refreshBuckets();
  }
  async function refreshBuckets() {
    if (!visible("buckets")) return;
    const answer = await album.ask("buckets", { values: store.values("latents") });
    if (!visible("buckets")) return;
    patch(places.buckets.querySelector(".ds-buckets"), answer.error ? wrong(answer.error) : chart(answer));
  }
  const toLatents = () => html`
    <button type="button" class="btn sm" data-to-latents>${t("ds.to_latents")}</button>
  `;
  const wrong = (sentence) => html`
    <p class="c-err">${sentence}</p>
    ${toLatents()}
  `;
  function settings() {
    const value = (flag) => store.value("latents", flag);
    const facts = { resolution: value("max_resolution"), step: value("bucket_reso_steps") };
    return value("bucket_no_upscale") === true
      ? t("ds.by_no_upscale", facts)
      : t("ds.by_settings", { ...facts, min: value("min_bucket_reso"), max: value("max_bucket_reso") });
  }
  function chart({ rows, too_small, broken }) {
    const highest = Math.max(1, ...rows.map((row) => row.images));
    const sum = (name) => rows.reduce((all, row) => all + row[name], 0);
    const notes = [
      ["enlarged", sum("enlarged")],
      ["cropped", sum("cropped")],
      ["too_small", too_small],
      ["broken", broken],
    ].filter(([, n]) => n);
    return html`
      <p class="muted">${settings()} ${toLatents()}</p>
      <ul class="ds-notes">
        ${notes.map(
          ([show, n]) => html`
            <li>
              <button type="button" data-show="${show}" aria-pressed="${String(state.query.show === show)}">
                ${icon({ enlarged: "enlarge", cropped: "crop" }[show] ?? "warn")}
                <span>${t(`ds.chart_${show}`, { n: number(n) })}</span>
              </button>
            </li>
          `,
        )}
      </ul>
      <p class="muted" id="ds-buckets-count">${t("ds.n_buckets", { n: number(rows.length) })}</p>
      <ul class="ds-bars" aria-labelledby="ds-buckets-count">
        ${rows.map(
          (row) => html`
            <li>
              <button
                type="button"
                data-bucket="${row.bucket}"
                aria-pressed="${String(state.query.bucket === row.bucket)}"
                aria-label="${spoken(row)}"
              >
                <span class="num">${row.bucket.replace("x", " × ")}</span>
                <span class="bar" aria-hidden="true"><i style="width:${((row.images / highest) * 100).toFixed(1)}%"></i></span>
                <span class="num">${number(row.images)}</span>
                <span class="warned num c-warn">${warned(row)}</span>
              </button>
            </li>
          `,
        )}
      </ul>
    `;
  }
  const warned = (row) =>
    [
      ["enlarge", row.enlarged],
      ["crop", row.cropped],
    ].map(([sign, n]) => (n ? html`<span>${icon(sign)}${number(n)}</span>` : ""));
  const spoken = (row) =>
    [
      `${row.bucket.replace("x", " × ")}: ${t("ds.n_pictures", { n: number(row.images) })}`,
      row.enlarged && t("ds.chart_enlarged", { n: number(row.enlarged) }),
      row.cropped && t("ds.chart_cropped", { n: number(row.cropped) }),
    ]
      .filter(Boolean)
      .join(t("field.comma"));

  function listen(root) {
    const again = debounce(refreshTags, 150);
    root.addEventListener("input", (event) => {
      if (event.target.id !== "ds-holding") return;
      holding = event.target.value;
      again();
    });
    root.addEventListener("click", (event) => {
      const pressed = event.target.closest("button");
      if (!pressed) return;
      const { tag, tagMenu: of, bucket, show } = pressed.dataset,
        { filters } = Studio.pictureFilters;
      if (tag !== undefined) filters.tag(tag);
      if (of !== undefined) tagMenu(pressed, of);
      if (bucket) filters.bucket(bucket);
      if (show) filters.show(show);
      if ("toLatents" in pressed.dataset) Studio.tabs.open("latents");
      if ("moreTags" in pressed.dataset) {
        most = 300;
        refreshTags();
      }
    });
  }
  const tagsLater = debounce(refreshTags, 200),
    bucketsLater = debounce(refreshBuckets, 200);
  on("album found", () => {
    tagsLater();
    bucketsLater();
  });
  on("album changed", tagsLater);
  on("album read", bucketsLater);
  on("typed", ({ stage }) => stage === "latents" && bucketsLater());
  on("loaded", ({ stage }) => stage === "latents" && bucketsLater());
  return { drawTags, drawBuckets, listen };
})();
