/* How the form differs from a preset: each value that loading would change or reset, to be chosen one by one. */
"use strict";
Studio.difference = (() => {
  const { html, icon, t, store, field } = Studio;

  const say = (value) =>
    value === true || value === "true"
      ? t("field.on")
      : value === false || value === "false"
        ? t("field.off")
        : store.asText(value) || t("field.empty");

  const row = (at, flag, preset) => html`
    <label class="row">
      <input type="checkbox" checked data-flag="${flag}" ${flag in preset.values ? "" : "data-reset"} />
      <span class="what">${field.label(at, flag)} <small class="mono muted">${flag}</small></span>
      <span class="how">
        <span class="muted">${say(store.value(at, flag))}</span>
        →
        <b>${say(store.after(at, flag, preset.values))}</b>
      </span>
    </label>
  `;
  const part = (title, rows) =>
    rows.length
      ? html`
          <h3>${title}</h3>
          ${rows}
        `
      : "";

  function draw(at, preset) {
    const flags = store.differences(at, preset);
    if (!flags.length)
      return html`
        <p class="c-ok same">${icon("ok")} ${t("preset.same")}</p>
      `;
    const rows = (wanted) => flags.filter((flag) => flag in preset.values === wanted).map((flag) => row(at, flag, preset));
    return html`
      <div class="diff" role="group" aria-label="${t("preset.changes")}">
        ${part(t("preset.changes"), rows(true))}${part(t("preset.resets"), rows(false))}
      </div>
      <div class="acts">
        <button type="button" class="btn sm quiet" data-step="all" data-all="yes">${t("preset.all")}</button>
        <button type="button" class="btn sm quiet" data-step="all" data-all="no">${t("preset.nothing")}</button>
        <span class="sp"></span>
        <button type="button" class="btn pri" data-step="apply"></button>
      </div>
    `;
  }

  const boxes = (place) => [...place.querySelectorAll("[data-flag]")];
  const chosen = (place) =>
    boxes(place)
      .filter((box) => box.checked)
      .map((box) => box.dataset.flag);
  function choose(place, wanted) {
    boxes(place).forEach((box) => (box.checked = wanted));
    count(place);
  }
  /* The button says what it will do. */
  function count(place) {
    const button = place.querySelector("[data-step=apply]");
    if (!button) return;
    const ticked = boxes(place).filter((box) => box.checked);
    const resets = ticked.filter((box) => "reset" in box.dataset).length,
      changes = ticked.length - resets;
    button.disabled = !ticked.length;
    button.textContent = [
      changes || !resets ? t("preset.apply_n", { n: changes }) : "",
      resets ? t("preset.reset_n", { n: resets }) : "",
    ]
      .filter(Boolean)
      .join(t("field.comma"));
  }
  return { draw, chosen, choose, count, say };
})();
