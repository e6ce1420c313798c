/* Replace, add or remove in many texts at once: the change is shown before it is made. */
"use strict";
Studio.pictureChange = (() => {
  const { html, attr, put, patch, t, on, number, debounce, dialog, album, texts } = Studio;
  const { state } = album;
  const change = { kind: "replace", slot: "tags", unit: "tag", find: "", text: "", at: "end" };
  let place,
    asked = 0;

  const choice = (name, values, label) => html`
    <div class="kg-seg sm" role="radiogroup" aria-label="${label}">
      ${values.map(
        (one) => html`
          <label>
            <input type="radio" name="ds-${name}" data-change="${name}" value="${one}" ${attr("checked", change[name] === one)} />
            ${t(`ds.${name}_${one}`)}
          </label>
        `,
      )}
    </div>
  `;
  const field = (name) => html`
    <div class="f">
      <div class="l"><label for="ds-change-${name}">${t(`ds.${change.kind}_${name}`)}</label></div>
      <input
        class="in"
        id="ds-change-${name}"
        data-change="${name}"
        value="${change[name]}"
        spellcheck="false"
        autocomplete="off"
        aria-describedby="ds-change-help"
      />
    </div>
  `;
  function draw(box) {
    place = box;
    put(
      place,
      html`
        <p class="where" aria-live="polite"></p>
        ${choice("kind", ["replace", "add", "remove"], t("ds.kind"))}
        <div class="ds-pair">
          ${choice("slot", ["tags", "caption"], t("ds.slot"))} ${choice("unit", ["tag", "text"], t("ds.unit"))}
        </div>
        ${change.kind === "add" ? "" : field("find")} ${change.kind === "remove" ? "" : field("text")}
        ${change.kind === "add" ? choice("at", ["start", "end"], t("ds.at")) : ""}
        <p class="muted hint" id="ds-change-help">${t(`ds.${change.kind}_${change.unit}_help`)}</p>
        <div class="ds-preview" role="region" aria-live="polite" aria-label="${t("ds.preview")}"></div>
        <div class="acts">
          <button type="button" class="btn pri" data-apply disabled>${t("ds.apply")}</button>
          <button type="button" class="btn" data-apply="save" disabled>${t("ds.apply_save")}</button>
        </div>
      `,
    );
    refresh();
  }
  const visible = () => place?.isConnected && !place.hidden;
  /* The chosen pictures; where none are, all that are shown. */
  async function ids() {
    if (state.chosen.size) return [...state.chosen];
    return (await album.ask("ids", { view: state.view })).ids ?? [];
  }
  const isComplete = () => (change.kind === "add" ? change.text : change.find).trim() !== "";
  async function refresh() {
    if (!visible()) return;
    const mine = ++asked,
      n = state.chosen.size;
    place.querySelector(".where").textContent = n
      ? t("ds.in_chosen", { n: number(n) })
      : t("ds.in_shown", { n: number(state.total) });
    if (!isComplete() || !album.info()) {
      answered(null);
      return;
    }
    await texts.flush();
    const answer = await album.ask("change", { ids: await ids(), change });
    if (mine === asked && visible()) answered(answer);
  }
  function answered(answer) {
    patch(place.querySelector(".ds-preview"), answer ? preview(answer) : "");
    for (const button of place.querySelectorAll("[data-apply]")) button.disabled = !answer?.changed;
  }
  const preview = (answer) =>
    answer.error
      ? html`<p class="c-err">${answer.error}</p>`
      : html`
          <p>
            <b>${t("ds.n_change", { n: number(answer.changed) })}</b>
            <span class="muted">${t("ds.n_stay", { n: number(answer.unchanged) })}</span>
            ${answer.skipped ? html`<span class="c-warn">${t("ds.n_skipped", { n: number(answer.skipped) })}</span>` : ""}
          </p>
          <ul>
            ${answer.samples.map(sample)}
          </ul>
          ${answer.changed > answer.samples.length ? html`<p class="muted">${t("ds.and_more", { n: number(answer.changed - answer.samples.length) })}</p>` : ""}
        `;
  const sample = ({ name, before, after }) => {
    const [head, gone, come, tail] = difference(before, after);
    const ends = after ? "" : html`<i class="muted">${t("ds.becomes_empty")}</i>`;
    // Spaces and line breaks of the texts count here, so there are none between them.
    // prettier-ignore
    return html`<li><span class="muted">${name}</span><p>${head}${gone ? html`<del>${gone}</del>` : ""}${come ? html`<ins>${come}</ins>` : ""}${tail}${ends}</p></li>`;
  };
  /* What two texts begin and end with alike, and what lies between; long equal parts are shortened. */
  function difference(before, after) {
    const most = Math.min(before.length, after.length);
    let head = 0,
      tail = 0;
    while (head < most && before[head] === after[head]) head++;
    while (tail < most - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++;
    const start = before.slice(0, head),
      end = tail ? before.slice(-tail) : "";
    return [
      start.length > 60 ? `… ${start.slice(-50)}` : start,
      before.slice(head, before.length - tail),
      after.slice(head, after.length - tail),
      end.length > 60 ? `${end.slice(0, 50)} …` : end,
    ];
  }

  async function apply(andSave) {
    await texts.flush();
    const answer = await album.ask("change", { ids: await ids(), change, apply: true });
    if (dialog.trouble(answer)) return;
    album.took(answer.state);
    album.renew();
    refresh();
    if (andSave) Studio.pictureSaving.save();
    else
      dialog.say(t("ds.said_changed", { n: number(answer.changed) }), {
        action: { label: t("ds.undo"), pick: () => Studio.pictureSaving.undo() },
      });
  }
  /* Prepares a change: of a kind, perhaps with what it looks for. */
  function prepare(kind, find = null) {
    change.kind = kind;
    if (find !== null) Object.assign(change, { find, unit: "tag", slot: texts.ending("tags") ? "tags" : "caption" });
    if (visible()) draw(place);
  }
  const later = debounce(refresh, 250);
  function listen(root) {
    root.addEventListener("input", (event) => {
      const { change: name } = event.target.dataset;
      if (!name) return;
      change[name] = event.target.value;
      // A caption is prose, tags are a list: the unit that suits is proposed.
      if (name === "slot") change.unit = change.slot === "caption" ? "text" : "tag";
      if (event.target.type === "radio") {
        draw(place);
        place.querySelector(`[data-change="${name}"][value="${change[name]}"]`)?.focus();
      } else {
        // What is made is what was seen.
        for (const button of place.querySelectorAll("[data-apply]")) button.disabled = true;
        later();
      }
    });
    root.addEventListener("click", (event) => {
      const pressed = event.target.closest("[data-apply]");
      if (pressed) apply(pressed.dataset.apply === "save");
    });
  }
  on("album chosen", later);
  on("album found", later);
  on("album changed", later);
  return { draw, prepare, listen };
})();
