/* Caption and tags of a picture in boxes to type in: what is typed goes to the server as an edit, not to the file. */
"use strict";
Studio.texts = (() => {
  const { html, attr, t, fire, dialog, icon, album } = Studio;
  const QUIET_MS = 350,
    AGAIN_MS = 2000; /* what did not reach the server is sent again */
  const SLOTS = ["caption", "tags"];
  const typed = new Map(); /* {"id slot": what was typed and not yet sent} */
  let timer, sending = Promise.resolve();

  const ending = (slot) => album.info()?.endings[SLOTS.indexOf(slot)] ?? "";
  const isUnsaved = (one) => SLOTS.some((slot) => ["unsaved", "conflict"].includes(one.texts[slot].state));
  const HOW = { absent: "ds.absent", unsaved: "ds.unsaved_one", conflict: "ds.conflict_one", unreadable: "ds.unreadable" };
  const how = ({ state, why }) =>
    state === "unreadable" ? t("ds.unreadable_why", { why }) : [HOW[state] ? t(HOW[state]) : "", why].filter(Boolean).join(" ");
  function spoken(one, slot) {
    const { text, state } = one.texts[slot];
    return state === "none" ? "" : `${t(`ds.${slot}`)}: ${text || t(HOW[state] ?? HOW.absent)}`;
  }

  /* A box for one text. `where` keeps those of the list and those of the editor apart. */
  function box(one, slot, where) {
    const text = { ...one.texts[slot], ...unsent(one, slot) },
      id = `ds-${where}-${slot}${where === "row" ? `-${one.id}` : ""}`;
    if (text.state === "none") return "";
    return html`
      <div class="ds-text ${text.state}" data-slot="${slot}">
        <label for="${id}">
          ${t(`ds.${slot}`)}
          <small class="muted mono">${ending(slot)}</small>
          ${where === "row" ? html`<span class="sr">${one.name}</span>` : ""}
        </label>
        <textarea
          class="in"
          id="${id}"
          data-edit="${one.id}"
          data-of="${one.name}"
          data-slot="${slot}"
          spellcheck="false"
          aria-describedby="${id}-how"
          ${attr("readonly", text.state === "unreadable" || text.cut)}
        >${text.text}</textarea>
        <p class="how" id="${id}-how">${how(text)}</p>
        <div class="clash">${conflict(one, slot)}</div>
      </div>
    `;
  }
  const conflict = (one, slot) => one.texts[slot].theirs === undefined ? "" : html`
    <div class="theirs">
      <p>${icon("warn")}${t("ds.conflict")}</p>
      <blockquote>${one.texts[slot].theirs || t("ds.absent")}</blockquote>
      <div class="acts">
        <button type="button" class="btn sm" data-settle="theirs" data-id="${one.id}" data-slot="${slot}">
          ${t("ds.take_theirs")}
        </button>
        <button type="button" class="btn sm" data-settle="mine" data-id="${one.id}" data-slot="${slot}">
          ${t("ds.keep_mine")}
        </button>
      </div>
    </div>
  `;

  /* What was typed and has not reached the server yet stays in sight. */
  function unsent(one, slot) {
    const edit = [...typed.values()].find((waiting) => waiting.name === one.name && waiting.slot === slot);
    return edit ? { text: edit.text, state: "unsaved" } : {};
  }
  function type(area) {
    const id = Number(area.dataset.edit),
      { slot } = area.dataset,
      one = album.rowOf(id);
    if (one) {
      one.texts[slot].text = area.value;
      if (one.texts[slot].state !== "conflict") one.texts[slot].state = "unsaved";
    }
    area.closest(".ds-text").classList.add("unsaved");
    typed.set(`${id} ${slot}`, { id, slot, text: area.value, name: area.dataset.of, of: album.info()?.album });
    clearTimeout(timer);
    timer = setTimeout(flush, QUIET_MS);
    fire("album typed", { id, slot, text: area.value, from: area });
  }
  /* Sends what was typed. Whatever reads or saves texts waits for it. */
  function flush() {
    clearTimeout(timer);
    const waiting = [...typed.values()];
    typed.clear();
    sending = sending.then(async () => {
      for (const edit of waiting) await send(edit);
    });
    return sending;
  }
  async function send({ id, slot, text, name, of }) {
    // An album that was opened anew may number its pictures otherwise.
    const now = of === album.info()?.album ? id : await album.idOf(name);
    const answer = now === null ? { lost: true } : await album.ask("edit", { id: now, slot, text });
    if (!answer.lost && answer.field !== "album") {
      if (!dialog.trouble(answer)) album.took(answer);
      return;
    }
    // It did not arrive: it is sent again, unless more was typed meanwhile.
    const key = `${id} ${slot}`;
    if (!typed.has(key)) typed.set(key, { id, slot, text, name, of });
    clearTimeout(timer);
    timer = setTimeout(flush, AGAIN_MS);
  }
  async function settle({ id, slot, settle: side }) {
    const answer = await album.ask("settle", { id: Number(id), slot, mine: side === "mine" });
    if (dialog.trouble(answer)) return;
    album.took(answer);
    album.renew();
    fire("album chosen");
  }
  /* Two pictures may share a text, and a text may be as it was again: the server knows. */
  async function left() {
    const any = typed.size > 0 || album.info()?.unsaved;
    await flush();
    if (any && !typed.size) album.renew();
  }
  function listen(place) {
    place.addEventListener("input", (event) => event.target.dataset.edit && type(event.target));
    place.addEventListener("focusout", (event) => event.target.dataset.edit && left());
    place.addEventListener("click", (event) => {
      const pressed = event.target.closest("[data-settle]");
      if (pressed) settle(pressed.dataset);
    });
  }
  const waitingForServer = () => typed.size > 0;
  return { SLOTS, box, how, conflict, spoken, isUnsaved, ending, flush, listen, waitingForServer };
})();
