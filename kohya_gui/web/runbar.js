/* The bar below every tab: what runs, how far it is, and Stop. Also the window's title and notifications. */
"use strict";
(() => {
  const { html, attr, patch, icon, t, on, fire, call, dialog, notify, number, duration } = Studio;
  let root,
    last = { active: null, waiting: 0 },
    lost = false,
    out = false;
  const expected = new Set(); /* runs that were started here or seen running: their end is told */

  const share = ({ progress }) => (progress?.total ? Math.min(100, (progress.done / progress.total) * 100) : null);
  function draw() {
    if (root)
      patch(
        root.querySelector(".kg-rb"),
        lost
          ? html`
              <span class="st stalled">${t(out ? "logged_out" : "server_lost")}</span>
              ${
                out
                  ? html`
                      <span class="sp"></span>
                      <button type="button" class="btn sm pri" data-login>${t("log_in")}</button>
                    `
                  : ""
              }
            `
          : last.active
            ? active(last.active)
            : idle(),
      );
    const percent = last.active && share(last.active);
    document.title = lost
      ? t("title.lost")
      : last.active
        ? `${percent === null ? "" : `${Math.floor(percent)}% `}${last.active.name} · Studio`
        : "Studio";
  }
  const waiting = () =>
    last.waiting
      ? html`
          <span class="muted hide-s">${t(last.paused ? "waiting_paused" : "waiting", { n: last.waiting })}</span>
        `
      : "";
  const idle = () => html`
    <span class="st">${t("idle")}</span>
    <span class="sp"></span>
    ${waiting()}
  `;
  function active(run) {
    const percent = share(run),
      { progress } = run;
    const left = progress?.eta_s != null ? t("left", { time: duration(progress.eta_s) }) : "";
    return html`
      <span class="st ${run.state}">${run.word}</span>
      <span class="nm">${run.name}</span>
      <span class="muted hide-s">${run.title}</span>
      <span
        class="meter hide-s"
        role="progressbar"
        aria-label="${run.word}"
        aria-valuemin="0"
        aria-valuemax="100"
        ${attr("aria-valuenow", percent === null ? null : Math.floor(percent))}
      >
        <i style="width:${(percent ?? 0).toFixed(1)}%"></i>
      </span>
      <span class="num only-s">
        ${percent === null ? "" : `${Math.floor(percent)}%`}${left && `${percent === null ? "" : t("field.comma")}${left}`}
      </span>
      <span class="num hide-s">
        ${progress?.total ? `${number(progress.done)} / ${number(progress.total)}` : progress?.done ? number(progress.done) : ""}
      </span>
      <span class="num muted hide-s">${left}</span>
      <span class="num muted hide-s">${run.loss == null ? "" : t("bar.loss", { loss: run.loss.toFixed(4) })}</span>
      <span class="sp"></span>
      ${waiting()}
      <button type="button" class="btn sm hide-s" data-open="${run.id}">${t("open")}</button>
      <button type="button" class="btn sm danger" data-stop="${run.id}">${icon("stop")}${t("stop")}</button>
    `;
  }
  async function stop(id) {
    const paused = last.active?.id === id && last.active.state === "paused";
    if (!(await dialog.confirm(t("run.stop"), t(paused ? "pause.leave_ask" : "run.stop_ask"), t("stop")))) return;
    if (!dialog.trouble(await call("run_request", { id, request: "stop" }))) dialog.say(t("said.stopping"));
  }
  /* Tells of a run's end: in the page, and by the system where the user allowed it. */
  async function ended(id) {
    const { row } = await call("run", { id, since_event: 2 ** 31 });
    if (!row?.ended || !expected.delete(id)) return;
    const sentence = `${row.name}, ${row.title}: ${row.word}`;
    dialog.say(sentence, {
      trouble: row.state === "failed",
      action: { label: t("open"), pick: () => fire("show run", id) },
    });
    notify.tell(sentence, id);
    fire("run ended", row);
    fire("runs changed", last);
  }

  on("poll", (answer) => {
    last = answer;
    if (answer.active) expected.add(answer.active.id);
    for (const id of expected) if (id !== answer.active?.id) ended(id);
    draw();
  });
  on("started", (id) => expected.add(id));
  on("logged out", () => (out = true));
  on("server", (there) => {
    if (there) out = false;
    lost = !there;
    draw();
  });
  on("stop run", stop);
  Studio.view("runbar", (place) => {
    root = place;
    Studio.put(
      place,
      html`
        <div class="kg-rb" role="status" aria-label="${t("what_runs")}"></div>
      `,
    );
    if (!place.dataset.listening)
      place.addEventListener("click", (event) => {
        const { open, stop: id, login } = event.target.closest("button")?.dataset ?? {};
        if (login !== undefined) location.reload();
        if (open) fire("show run", open);
        if (id) stop(id);
      });
    place.dataset.listening = "yes";
    draw();
  });
})();
