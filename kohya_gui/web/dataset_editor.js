/* Beside the grid: the chosen picture with its texts; of several, how many there are and what can be done with them. */
"use strict";
Studio.pictureEditor = (() => {
  const { html, patch, icon, t, on, number, fileUrl, store, dialog, album, texts } = Studio;
  const { state } = album;
  let place,
    shown,
    held = false, /* what is shown is not the chosen picture: its texts are still asked for */
    wishes = 0; /* how often a box was asked for, or left: only the last wish counts */

  function draw(box) {
    place = box;
    shown = null;
    refresh();
  }
  const visible = () => place?.isConnected && !place.hidden;
  async function refresh() {
    if (!visible()) return;
    const id = album.chosenOne();
    if (id === null) {
      shown = null;
      patch(place, state.chosen.size ? several() : nothing());
      return;
    }
    if (shown && shown.id !== id) hold();
    const answer = await album.ask("picture", { id, values: store.values("latents") });
    // While the server is away, what was shown stays, to be typed in.
    if (answer.lost || answer.field === "max_resolution" || id !== album.chosenOne()) return;
    if (answer.error) {
      patch(place, html`<p class="muted">${answer.error}</p>`);
      return;
    }
    show(answer);
  }
  /* Into the boxes of the last picture nothing is typed that is meant for the one that was chosen. */
  function hold() {
    held = true;
    place.studioText = null;
    for (const area of place.querySelectorAll("textarea")) area.readOnly = true;
  }
  /* The boxes stay while the same picture is shown and one of them is typed in. */
  function show(one) {
    const typing = !held && shown?.id === one.id && place.contains(document.activeElement) && document.activeElement.dataset.edit;
    shown = one;
    held = false;
    if (typing) {
      for (const slot of texts.SLOTS) {
        const part = place.querySelector(`.ds-text[data-slot="${slot}"]`);
        if (!part) continue;
        part.className = `ds-text ${one.texts[slot].state}`;
        part.querySelector(".how").textContent = texts.how(one.texts[slot]);
        patch(part.querySelector(".clash"), texts.conflict(one, slot));
      }
      return;
    }
    patch(place, single(one));
  }
  const nothing = () => html`
    <p class="muted">${t(state.total ? "ds.choose_one" : "ds.nothing")}</p>
    <p class="muted">${state.total ? t("ds.keys") : ""}</p>
  `;
  const several = () => html`
    <h2>${t("ds.n_chosen", { n: number(state.chosen.size), all: number(state.total) })}</h2>
    <p class="muted">${t("ds.several_help")}</p>
    <div class="acts ds-kinds">
      ${["replace", "add", "remove"].map(
        (kind) => html`
          <button type="button" class="btn" data-kind="${kind}">${t(`ds.${kind}_more`)}</button>
        `,
      )}
    </div>
    <div class="acts"><button type="button" class="btn sm quiet" data-do="none">${t("ds.choose_none")}</button></div>
  `;
  const single = (one) => html`
    <div class="ds-one">
      ${
        one.broken
          ? html`
              <div class="broken" role="img" aria-label="${t("ds.broken")}">${icon("warn")}</div>
            `
          : html`
              <button type="button" class="thumb" data-enlarge aria-label="${t("ds.enlarge", { name: one.name })}">
                <img src="${fileUrl(one.url)}" alt="" />
              </button>
            `
      }
      <div class="about">
        <h2 title="${one.place}">${one.name}</h2>
        ${one.size ? html`<p class="muted num">${one.size[0]} × ${one.size[1]} px</p>` : ""}
        ${one.broken ? html`<p class="c-err">${t("ds.broken_why", { why: one.broken })}</p>` : bucket(one)}
      </div>
    </div>
    ${texts.SLOTS.map((slot) => texts.box(one, slot, "one"))}
    <p class="muted hint">${t("ds.next_key")}</p>
  `;
  function bucket({ size, fit }) {
    if (!size) return "";
    if (!fit) return html`<p class="c-warn">${t("ds.no_bucket")}</p>`;
    const facts = [
      fit.scale > 1 && t("ds.fit_enlarged", { times: fit.scale.toFixed(2) }),
      fit.cut >= 0.005 && t("ds.fit_cut", { share: Math.round(fit.cut * 100) }),
    ].filter(Boolean);
    return html`
      <p class="num">${t("ds.fit", { bucket: fit.bucket.replace("x", " × ") })}</p>
      ${facts.length ? html`<p class="muted">${facts.join(t("field.comma"))}</p>` : ""}
    `;
  }

  function enlarge() {
    const url = fileUrl(`file?path=${encodeURIComponent(shown.place)}`);
    dialog.open({
      title: shown.name,
      wide: true,
      body: html`
        <img class="big" src="${url}" alt="${shown.name}" />
      `,
    });
  }
  /* On to the next picture, in the box of the same kind. */
  async function next(area, step) {
    const { slot } = area.dataset,
      at = state.active + step;
    if (at < 0 || at >= state.total) return;
    await texts.flush();
    if (area.closest(".ds-row")) {
      Studio.pictureGrid.type(at, slot);
      return;
    }
    album.only(at);
    Studio.pictureGrid.reveal(at);
    await edit(slot);
  }
  /* Shows the chosen picture with the focus in one of its boxes. */
  async function edit(slot = "caption") {
    const wish = ++wishes;
    await refresh();
    if (wish !== wishes) return;
    const boxes = [...(place?.querySelectorAll("textarea") ?? [])];
    const box = boxes.find((one) => one.dataset.slot === slot) ?? boxes[0];
    if (!box) return;
    box.focus();
    box.setSelectionRange(box.value.length, box.value.length);
    box.scrollIntoView({ block: "nearest" });
  }
  function listen(root) {
    root.addEventListener("click", (event) => {
      const pressed = event.target.closest("button");
      if (!pressed) return;
      if ("enlarge" in pressed.dataset) enlarge();
      if (pressed.dataset.do === "none") album.none();
    });
    root.addEventListener("keydown", (event) => {
      const area = event.target.closest("textarea[data-edit]");
      if (!area) return;
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        next(area, event.shiftKey ? -1 : 1);
      }
      if (event.key === "Escape") {
        event.stopPropagation();
        wishes++;
        Studio.pictureGrid.focusActive();
      }
    });
  }
  on("album chosen", refresh);
  // Also in the box where one last typed: what others wrote is what is edited on.
  on("album elsewhere", () => {
    shown = null;
    refresh();
  });
  on("album rows", Studio.debounce(() => refresh(), 120));
  on("album typed", ({ id, slot, text, from }) => {
    // Typed in the list: the editor shows the same.
    if (shown?.id !== id || place.contains(from)) return;
    const box = place.querySelector(`textarea[data-slot="${slot}"]`);
    if (box) box.value = text;
  });
  return { draw, edit, listen, refresh };
})();
