/* The Runs tab: queue and history beside the monitor of the chosen run, or beside a comparison. */
"use strict";
Studio.runs = (() => {
  const { html, attr, put, patch, icon, t, on, call, poller, dialog, history, actions, compare, runRow } = Studio;
  let root,
    lists = { queue: [], history: [], paused: false },
    chosen = null,
    followed = true,
    asked = 0,
    picked = null, /* ids chosen for a comparison, while they are being chosen */
    dragged = null; /* the waiting run that the pointer carries */
  const MAX_COMPARED = 8;

  const part = (name) => root.querySelector(`[data-list=${name}]`);
  const all = () => [...lists.queue, ...lists.history];
  const rowOf = (id) => all().find((row) => row.id === id);
  const item = (row, i, rows) => runRow.draw(row, i, rows, { chosen, picked });
  const none = (key) => html`
    <p class="none muted">${t(key)}</p>
  `;
  function drawQueue() {
    const { queue, paused } = lists;
    patch(
      part("queue-head"),
      html`
        <h2>${t("run.queue")}</h2>
        <span class="sp"></span>
        <button type="button" class="btn sm quiet" data-list-do="pause">
          ${icon(paused ? "play" : "pause")}${t(paused ? "queue_on" : "queue_pause")}
        </button>
      `,
    );
    part("trouble").hidden = !lists.trouble;
    part("trouble").textContent = lists.trouble ?? "";
    part("paused").hidden = !paused;
    part("paused").textContent = t(queue.some((row) => row.state !== "waiting") ? "queue_paused_running" : "queue_paused");
    patch(part("queue"), queue.length ? queue.map(item) : none("run.queue_empty"));
  }
  function drawHistory() {
    const rows = history.chosen(lists.history),
      open = !part("filter").hidden;
    patch(
      part("history-head"),
      html`
        <h2>${t("run.history")}</h2>
        <span class="muted num">${history.active() ? t("history.count", { n: rows.length, all: lists.history.length }) : ""}</span>
        <span class="sp"></span>
        <button type="button" class="btn sm quiet" data-list-do="filter" aria-expanded="${String(open)}">
          ${icon("filter")}${t("history.filter")}
        </button>
        <button
          type="button"
          class="btn sm quiet"
          data-list-do="more"
          aria-haspopup="menu"
          aria-label="${t("history.more")}"
        >
          ${icon("dots")}
        </button>
      `,
    );
    const missing = html`
      ${none("history.none")}
      <p class="none"><button type="button" class="btn sm" data-list-do="clear">${t("history.clear")}</button></p>
    `;
    patch(part("history"), rows.length ? rows.map(item) : lists.history.length ? missing : none("run.history_empty"));
    drawPicks();
  }
  function drawPicks() {
    const bar = part("picks");
    bar.hidden = !picked;
    if (!picked) return;
    patch(
      bar,
      html`
        <span>${t(picked.size < 2 ? "compare.choose" : "compare.chosen", { n: picked.size })}</span>
        <span class="sp"></span>
        <button type="button" class="btn sm quiet" data-list-do="unpick">${t("cancel")}</button>
        <button type="button" class="btn sm pri" data-list-do="compare" ${attr("disabled", picked.size < 2)}>
          ${t("compare.do")}
        </button>
      `,
    );
  }
  function drawList() {
    // What the pointer carries must stay what it is.
    if (!root?.isConnected || dragged) return;
    drawQueue();
    drawHistory();
  }
  async function refresh() {
    const mine = ++asked;
    const answer = await call("runs");
    // Answers may come in another order than they were asked for: only the newest counts.
    if (answer.error || mine !== asked) return;
    lists = answer;
    const running = lists.queue.find((row) => row.state !== "waiting");
    const ended = !lists.queue.some((row) => row.id === chosen);
    if (followed && running && ended) choose(running.id, true);
    else if (!rowOf(chosen)) choose(all()[0]?.id ?? null, true);
    drawList();
  }
  /* Shows a run. When it ends, the one that runs next is shown; a run of the past that the user chose stays. */
  function choose(id, byItself = false) {
    chosen = id;
    // One that the lists do not know yet was just added.
    followed = byItself || !lists.history.some((row) => row.id === id);
    poller.watch(Studio.page.tab === "runs" ? id : null);
    drawList();
    Studio.fire("run chosen", id);
  }
  async function show(id) {
    chosen = id;
    await Studio.tabs.open("runs");
    stopComparing();
    await refresh();
    choose(id);
  }

  /* Begins to choose runs for a comparison. */
  function pick(id) {
    picked = new Set(id ? [id] : []);
    drawList();
    root.querySelector("[data-pick]")?.focus();
  }
  function toggle(id) {
    if (picked.has(id)) picked.delete(id);
    else if (picked.size < MAX_COMPARED) picked.add(id);
    drawList();
  }
  async function startComparing() {
    const ids = all().map((row) => row.id).filter((id) => picked.has(id)).reverse();
    side(true);
    if (await compare.show(ids)) picked = null;
    else side(false);
    drawList();
  }
  function stopComparing() {
    if (!root || !compare.open()) return;
    compare.close();
    side(false);
    if (document.activeElement === document.body) root.querySelector('.run[tabindex="0"]')?.focus();
  }
  function side(comparing) {
    root.querySelector(".kg-mon").hidden = comparing;
    root.querySelector(".kg-cmp").hidden = !comparing;
  }

  async function pause() {
    const answer = await call("queue_pause", { paused: !lists.paused });
    if (dialog.trouble(answer)) return;
    dialog.say(t(answer.paused ? "said.paused" : "said.resumed"));
    poller.tick();
    refresh();
  }
  function showFilter(open) {
    part("filter").hidden = !open;
    if (open) part("filter").querySelector("input").focus();
    else history.clear(part("filter"));
    drawHistory();
  }
  const DO = {
    pause,
    filter: () => showFilter(part("filter").hidden),
    clear: () => showFilter(false),
    more: (button) =>
      dialog.menu(button, [
        { label: t("compare.begin"), note: t("compare.begin_note"), pick: () => pick(null) },
        { label: t("history.deleted"), note: t("history.deleted_note"), pick: history.deleted },
      ]),
    unpick: () => {
      picked = null;
      drawList();
    },
    compare: startComparing,
  };
  function menu(id, button) {
    const row = rowOf(id);
    if (row) dialog.menu(button, actions.items(row));
  }
  function press(event) {
    const { listDo, menu: of, run, pick: id, place: to, of: moved } = event.target.closest("button, input")?.dataset ?? {};
    if (listDo) DO[listDo](event.target.closest("button"));
    if (of) menu(of, event.target.closest("button"));
    if (to) actions.perform("move", rowOf(moved), to);
    if (id) toggle(id);
    if (run && picked && runRow.pickable(rowOf(run))) toggle(run);
    else if (run) {
      stopComparing();
      choose(run);
      /* On a phone the list stands below: what was asked for comes into view. */
      const shown = root.querySelector(".kg-mon");
      if (shown.getBoundingClientRect().top < 0) shown.scrollIntoView({ block: "start", behavior: Studio.glide() });
    }
  }
  /* The list is one stop of the Tab key; arrows move within it, and with Alt they move what waits. */
  function steer(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key],
      items = [...root.querySelectorAll("[data-run]")],
      at = items.indexOf(event.target);
    if (!step || at < 0) return;
    event.preventDefault();
    const row = rowOf(event.target.dataset.run);
    if (!event.altKey) items[(at + step + items.length) % items.length].focus();
    else if (row.state === "waiting") actions.perform("move", row, step < 0 ? "up" : "down");
  }
  /* A waiting run is dragged to another place of the queue: before the one on which it is let go, or to the end. */
  function drag(place) {
    const target = (event) => event.target.closest?.("[data-list=queue] .row[draggable]");
    const unmark = () => place.querySelectorAll(".over, .under").forEach((one) => one.classList.remove("over", "under"));
    const isBelow = (event, row) => {
      const box = row.getBoundingClientRect();
      return event.clientY > box.top + box.height / 2;
    };
    place.addEventListener("dragstart", (event) => {
      dragged = event.target.closest?.("[data-row]")?.dataset.row ?? null;
      if (dragged) event.dataTransfer.effectAllowed = "move";
    });
    place.addEventListener("dragover", (event) => {
      const row = target(event);
      if (!dragged || !row) return;
      event.preventDefault();
      unmark();
      row.classList.add(isBelow(event, row) ? "under" : "over");
    });
    place.addEventListener("drop", async (event) => {
      const row = target(event);
      if (!dragged || !row) return;
      event.preventDefault();
      const moved = rowOf(dragged),
        waiting = lists.queue.filter((one) => one.state === "waiting"),
        at = waiting.findIndex((one) => one.id === row.dataset.row) + (isBelow(event, row) ? 1 : 0);
      dragged = null;
      await actions.perform("move", moved, waiting[at]?.id ?? "last");
    });
    place.addEventListener("dragend", () => {
      dragged = null;
      unmark();
      drawList();
    });
  }
  function listen(place) {
    const inList = (event) => event.target.closest(".kg-list");
    place.addEventListener("click", (event) => inList(event) && press(event));
    place.addEventListener("keydown", (event) => inList(event) && steer(event));
    place.addEventListener("contextmenu", (event) => {
      const row = event.target.closest(".kg-list [data-row]");
      if (!row) return;
      event.preventDefault();
      menu(row.dataset.row, row.querySelector("[data-menu]"));
    });
    place.addEventListener("input", (event) => {
      const form = event.target.closest("[data-list=filter]");
      if (!form) return;
      history.read(form);
      drawHistory();
    });
    place.addEventListener("submit", (event) => event.preventDefault());
    drag(place);
  }
  function draw(place) {
    root = place;
    put(
      place,
      html`
        <div class="kg-runs">
          <div class="card kg-list" role="region" aria-label="${t("tab.runs")}">
            <div class="hd" data-list="queue-head"></div>
            <p class="paused" data-list="trouble" role="status" hidden></p>
            <p class="paused" data-list="paused" role="status" hidden></p>
            <div data-list="queue"></div>
            <div class="hd" data-list="history-head"></div>
            <form data-list="filter" role="search" aria-label="${t("history.filter")}" hidden></form>
            <div class="picks" data-list="picks" hidden></div>
            <div data-list="history"></div>
          </div>
          <div class="kg-mon"></div>
          <div class="kg-cmp" hidden></div>
        </div>
      `,
    );
    if (!place.dataset.listening) listen(place);
    place.dataset.listening = "yes";
    history.fields(part("filter"));
    part("filter").hidden = !history.active();
    Studio.monitor.place(place.querySelector(".kg-mon"));
    compare.place(place.querySelector(".kg-cmp"));
    side(compare.open());
    drawList();
    refresh();
  }
  on("tab", (tab) => {
    if (tab === "runs") {
      poller.watch(chosen);
      refresh();
    } else poller.watch(null);
  });
  on("started", () => {
    followed = true;
  });
  on("runs changed", refresh);
  on("run", ({ last }) => {
    lists.queue = lists.queue.map((row) => (row.id === last.row.id ? last.row : row));
    drawList();
  });
  on("show run", show);
  on("lang", refresh);
  Studio.view("runs", draw);
  return { lists: () => lists, refresh, chosen: () => chosen, pick, stopComparing };
})();
