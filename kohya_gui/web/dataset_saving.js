/* Unsaved edits: how many there are, saving them, taking them back, and what files held before. */
"use strict";
Studio.pictureSaving = (() => {
  const { html, attr, patch, icon, t, on, number, clock, dialog, album, texts, debounce } = Studio;
  const ASK_AGAIN_MS = 300;
  let place,
    saving = false;

  function draw(box) {
    place = box;
    refresh();
  }
  function refresh() {
    if (!place?.isConnected) return;
    const info = album.info(),
      n = info?.unsaved ?? 0;
    patch(
      place,
      html`
        <button type="button" class="btn ${n ? "pri" : ""}" data-do="save" ${attr("disabled", !n || saving)}>
          ${icon("save")}${saving ? t("ds.saving", { done: number(info?.busy?.done ?? 0), all: number(info?.busy?.total ?? 0) }) : n ? t("ds.save_n", { n: number(n) }) : t("ds.saved")}
        </button>
        <button type="button" class="btn" data-do="undo" ${attr("disabled", !info?.undo)}>${t("ds.undo")}</button>
        <button type="button" class="btn" data-do="redo" ${attr("disabled", !info?.redo)}>${t("ds.redo")}</button>
        <button type="button" class="btn quiet dots" data-do="more" aria-haspopup="menu" aria-label="${t("ds.more")}" ${attr("disabled", !info)}>
          ${icon("dots")}
        </button>
        ${info?.conflicts ? html`<button type="button" class="btn sm conflicts" data-do="conflicts">${icon("warn")}${t("ds.n_conflicts", { n: number(info.conflicts) })}</button>` : ""}
      `,
    );
  }

  /* The album's state once nothing is read or saved any more. */
  async function ended(answer) {
    while (!answer.error && answer.busy) {
      album.took(answer);
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
      answer = await album.ask("state");
    }
    return answer;
  }
  async function save() {
    if (saving) return;
    await texts.flush();
    if (!album.info()?.unsaved || texts.waitingForServer()) return;
    saving = true;
    refresh();
    // What is being read is read to its end first.
    let answer = await ended(await album.ask("state"));
    if (!answer.error) answer = await ended(await album.ask("save"));
    saving = false;
    refresh();
    if (dialog.trouble(answer)) return;
    album.took(answer);
    album.renew();
    Studio.tabs.refresh();
    say(answer.last);
  }
  function say({ trouble, saved, conflicts, failures, failed }) {
    if (trouble) dialog.say(trouble, { trouble: true });
    else if (failures) dialog.say(t("ds.said_failed", { n: number(failures), name: failed[0][0], why: failed[0][1] }), { trouble: true });
    if (conflicts)
      dialog.say(t("ds.said_conflicts", { n: number(conflicts) }), {
        warning: true,
        action: { label: t("ds.show_them"), pick: () => Studio.pictureFilters.filters.show("conflict") },
      });
    if (saved) dialog.say(t("ds.said_saved", { n: number(saved) }), { action: { label: t("ds.backups"), pick: backups } });
  }
  async function step(name, args, said) {
    await texts.flush();
    const answer = await album.ask(name, args);
    if (dialog.trouble(answer)) return;
    album.took(answer.state ?? answer);
    album.renew();
    Studio.fire("album chosen");
    if (said && answer.n > 1) dialog.say(t(said, { n: number(answer.n) }));
  }
  const undo = () => step("undo", {}, "ds.said_undone");
  const redo = () => step("undo", { redo: true }, "ds.said_redone");
  function more(button) {
    const n = album.info()?.unsaved ?? 0;
    dialog.menu(button, [
      { label: t("ds.backups"), note: t("ds.backups_note"), pick: backups },
      ...(n ? [{ label: t("ds.only_unsaved"), pick: () => Studio.pictureFilters.filters.show("unsaved") }] : []),
      ...(n ? [{ label: t("ds.drop"), note: t("ds.drop_note"), danger: true, pick: drop }] : []),
    ]);
  }
  async function drop() {
    await texts.flush();
    const n = number(album.info().unsaved);
    if (await dialog.confirm(t("ds.drop"), t("ds.drop_ask", { n }), t("ds.drop_yes"))) await step("drop", {});
  }
  async function backups() {
    const answer = await album.ask("backups");
    if (dialog.trouble(answer)) return;
    const chosen = await dialog.open({
      title: t("ds.backups"),
      wide: true,
      body: html`
        <p>${t("ds.backups_help")}</p>
        <p class="mono ds-path">${answer.folder}</p>
        <ul class="files ds-backups">
          ${answer.backups.map(
            (one) => html`
              <li>
                <span class="num">${clock(one.time)}</span>
                <span class="muted path" title="${one.folders.join("\n")}">${one.id}</span>
                <span class="sp"></span>
                <span class="num">${t("ds.n_files", { n: number(one.files) })}</span>
                <button type="button" class="btn sm" data-restore="${one.id}">${t("ds.restore")}</button>
              </li>
            `,
          )}
          ${answer.backups.length ? "" : html`<li class="muted">${t("ds.no_backups")}</li>`}
        </ul>
      `,
      ready: (box, close) =>
        box.addEventListener("click", (event) => {
          const id = event.target.closest("[data-restore]")?.dataset.restore;
          if (id) close(id);
        }),
    });
    if (chosen) restore(chosen);
  }
  async function restore(backup) {
    await texts.flush();
    const answer = await album.ask("restore", { backup });
    if (dialog.trouble(answer)) return;
    album.took(answer.state);
    album.renew();
    Studio.fire("album chosen");
    const says = t("ds.said_restored", { n: number(answer.restored) });
    dialog.say(answer.elsewhere ? `${says} ${t("ds.said_elsewhere", { n: number(answer.elsewhere) })}` : says);
  }

  const DO = { save, undo, redo, more, conflicts: () => Studio.pictureFilters.filters.show("conflict") };
  function listen(root) {
    root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button && place.contains(button)) DO[button.dataset.do](button);
    });
    root.addEventListener("keydown", (event) => {
      const key = event.key.toLowerCase();
      if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
      if (key === "s") {
        event.preventDefault();
        save();
      }
      // Within a box the browser's own undo is what is meant.
      if ((key === "z" || key === "y") && !event.target.closest("input, textarea")) {
        event.preventDefault();
        if (key === "y" || event.shiftKey) redo();
        else undo();
      }
    });
  }
  const hasUnsaved = () => Boolean(album.info()?.unsaved) || texts.waitingForServer();
  window.addEventListener("beforeunload", (event) => {
    if (hasUnsaved()) event.preventDefault();
  });
  on("album", debounce(refresh, 0));
  return { draw, listen, save, undo, hasUnsaved };
})();
