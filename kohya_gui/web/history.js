/* Which runs of the past are listed, and those that were deleted. */
"use strict";
Studio.history = (() => {
  const { html, attr, put, t, call, dialog, clock } = Studio;
  const STATES = ["done", "failed", "stopped", "cancelled"];
  let filter = { text: "", stage: "", state: "", starred: false };

  const active = () => Boolean(filter.text || filter.stage || filter.state || filter.starred);
  const words = (row) => [row.name, row.title, row.note, row.project, row.word].join(" ").toLowerCase();
  const chosen = (rows) =>
    rows.filter(
      (row) =>
        (!filter.stage || row.stage === filter.stage) &&
        (!filter.state || row.state === filter.state) &&
        (!filter.starred || row.starred) &&
        filter.text.toLowerCase().split(/\s+/).every((word) => words(row).includes(word)),
    );
  const option = (value, label, now) => html`
    <option value="${value}" ${attr("selected", value === now)}>${label}</option>
  `;
  /* The fields of the filter; drawn once, so that typing is not disturbed. */
  function fields(form) {
    put(
      form,
      html`
        <input
          class="in"
          type="search"
          name="text"
          value="${filter.text}"
          placeholder="${t("history.text")}"
          aria-label="${t("history.text")}"
        />
        <div class="row">
          <select class="in" name="stage" aria-label="${t("history.stage")}">
            ${option("", t("history.all_stages"), filter.stage)}
            ${[...Object.keys(Studio.data.forms), "example"].map((one) => option(one, t(`stage.${one}`), filter.stage))}
          </select>
          <select class="in" name="state" aria-label="${t("history.state")}">
            ${option("", t("history.all_states"), filter.state)}
            ${STATES.map((one) => option(one, t(`history.${one}`), filter.state))}
          </select>
        </div>
        <label>
          <input type="checkbox" name="starred" ${attr("checked", filter.starred)} />
          ${t("history.starred")}
        </label>
      `,
    );
  }
  function read(form) {
    const { text, stage, state, starred } = form.elements;
    filter = { text: text.value.trim(), stage: stage.value, state: state.value, starred: starred.checked };
  }
  function clear(form) {
    filter = { text: "", stage: "", state: "", starred: false };
    fields(form);
  }

  /* The deleted runs, each of which can be put back. */
  async function deleted() {
    const answer = await call("runs_deleted");
    if (dialog.trouble(answer)) return;
    const rows = answer.runs.map(
      (row) => html`
        <li>
          <span class="what">
            <b>${row.name}</b>
            <small class="muted">${row.title}</small>
            <span class="muted">${t("history.deleted_at", { time: clock(row.deleted) })}</span>
          </span>
          <button type="button" class="btn sm" data-restore="${row.id}">${t("history.restore")}</button>
        </li>
      `,
    );
    const none = html`
      <p class="muted">${t("history.deleted_none")}</p>
    `;
    const body = html`
      <p class="muted">${t("history.deleted_help")}</p>
      ${
        rows.length
          ? html`
              <ul class="deleted">${rows}</ul>
            `
          : none
      }
    `;
    const ready = (box) =>
      box.addEventListener("click", async (event) => {
        const pressed = event.target.closest("[data-restore]");
        if (!pressed || dialog.trouble(await call("runs_restore", { ids: [pressed.dataset.restore] }))) return;
        pressed.closest("li").remove();
        if (!box.querySelector("li")) put(box.querySelector(".deleted"), none);
        Studio.runs.refresh();
      });
    dialog.open({ title: t("history.deleted"), body, ready });
  }
  return { active, chosen, fields, read, clear, deleted };
})();
