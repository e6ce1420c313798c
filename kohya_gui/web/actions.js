/* What can be done with a run, from its row, its menu or its monitor; what was taken away comes back with one click. */
"use strict";
Studio.actions = (() => {
  const { html, t, call, dialog, fire, editing } = Studio;
  const ENDED = ["done", "failed", "stopped", "cancelled"];
  const hasForm = (row) => row.stage in Studio.data.forms;

  /* Tells the page that lists have changed; true unless the answer was trouble. */
  function done(answer) {
    if (dialog.trouble(answer)) return false;
    Studio.poller.tick();
    Studio.runs.refresh();
    return true;
  }
  const request = (row, name) => call("run_request", { id: row.id, request: name });

  async function move(row, to) {
    const answer = await call("run_move", { id: row.id, to });
    if (!done(answer)) return;
    const n = answer.runs.length;
    if (to === "first") dialog.say(t(n > 1 ? "said.next_chain" : "said.next", { name: row.name, n }));
    else if (n > 1) dialog.say(t("said.moved_chain", { name: row.name, n }));
  }
  async function duplicate(row) {
    const answer = await request(row, "duplicate");
    if (!done(answer)) return;
    const n = answer.runs.length;
    const edit = n === 1 && hasForm(row) && { label: t("run.edit"), pick: () => editing.edit({ ...row, id: answer.run_id }) };
    dialog.say(t(n > 1 ? "said.duplicate_chain" : "said.duplicate", { name: row.name, n }), edit ? { action: edit } : {});
  }
  async function remove(row) {
    const { queue } = Studio.runs.lists();
    const followers = queue.filter((one) => one.chain && one.chain === row.chain && one.state === "waiting");
    const at = queue.findIndex((one) => one.id === row.id);
    const needing = followers.filter((one) => queue.indexOf(one) > at).length;
    const sentence = t(needing > 1 ? "run.remove_many" : "run.remove_one", { name: row.name, n: needing });
    if (needing && !(await dialog.confirm(t("run.cancel"), sentence, t("run.cancel")))) return;
    const answer = await request(row, "cancel");
    if (!done(answer)) return;
    const next = queue.slice(at + 1).find((one) => !answer.runs.includes(one.id));
    dialog.say(t("said.cancel"), { action: { label: t("undo"), pick: () => putBack(row, answer.runs, next) } });
  }
  /* What was taken out is queued anew at its place, and leaves no trace in the history. */
  async function putBack(row, gone, next) {
    const answer = await request(row, "retry");
    if (!answer.error) {
      if (next) await call("run_move", { id: answer.run_id, to: next.id });
      await call("runs_delete", { ids: gone });
    }
    done(answer);
  }
  async function again(row) {
    const sure = row.state !== "done" || (await dialog.confirm(t("run.again"), t("run.again_ask"), t("run.again")));
    if (!sure) return;
    const answer = await request(row, "retry");
    if (!done(answer)) return;
    fire("started", answer.run_id);
    dialog.say(t("said.retry"));
    fire("show run", answer.run_id);
  }
  async function star(row) {
    done(await call("run_mark", { id: row.id, starred: !row.starred }));
  }
  function mark(row) {
    const body = html`
      <form class="mark">
        <label for="mk-name">${t("run.name")}</label>
        <input class="in" id="mk-name" name="name" maxlength="100" required value="${row.name}" />
        <label for="mk-note">${t("run.note")}</label>
        <textarea class="in" id="mk-note" name="note" rows="5" maxlength="4000">${row.note}</textarea>
        <div class="acts">
          <button type="button" class="btn" data-close>${t("cancel")}</button>
          <button class="btn pri">${t("keep")}</button>
        </div>
      </form>
    `;
    const ready = (box, close) =>
      box.querySelector("form").addEventListener("submit", async (event) => {
        event.preventDefault();
        const { name, note } = event.target.elements;
        if (done(await call("run_mark", { id: row.id, name: name.value, note: note.value }))) close();
      });
    dialog.open({ title: t("run.mark"), body, ready });
  }
  async function erase(row) {
    if (!done(await call("runs_delete", { ids: [row.id] }))) return;
    const undo = async () => done(await call("runs_restore", { ids: [row.id] }));
    dialog.say(t("said.deleted", { name: row.name }), { action: { label: t("undo"), pick: undo } });
  }

  const settings = (row) => editing.take(row);
  const edit = (row) => editing.edit(row);
  const compare = (row) => Studio.runs.pick(row.id);
  const ALL = { move, duplicate, remove, again, star, mark, erase, settings, edit, compare };

  /* What a menu offers for a run. */
  function items(row) {
    const one = (label, pick, more = {}) => ({ label: t(label), pick, ...more });
    const waiting = row.state === "waiting",
      ended = ENDED.includes(row.state);
    return [
      waiting && one("run.first", () => move(row, "first")),
      waiting && one("run.up", () => move(row, "up"), { note: t("run.up_key") }),
      waiting && one("run.down", () => move(row, "down"), { note: t("run.down_key") }),
      waiting && hasForm(row) && one("run.edit", () => edit(row)),
      ended && one(row.state === "done" ? "run.again" : "run.retry", () => again(row)),
      !waiting && hasForm(row) && one("run.settings", () => settings(row)),
      !ended && one("run.duplicate", () => duplicate(row)),
      !waiting && one("run.compare_with", () => compare(row)),
      one("run.mark", () => mark(row)),
      one(row.starred ? "run.unstar" : "run.star", () => star(row)),
      waiting && one("run.cancel", () => remove(row), { danger: true }),
      ended && one("run.delete", () => erase(row), { note: t("run.delete_note"), danger: true }),
    ].filter(Boolean);
  }
  const perform = (name, row, ...more) => ALL[name](row, ...more);
  return { items, perform };
})();
