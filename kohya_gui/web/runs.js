/* The Runs tab: queue and history beside the monitor of the chosen run. */
"use strict";
Studio.runs = (() => {
  const { html, attr, put, patch, t, on, call, clock, duration, poller } = Studio;
  let root,
    lists = { queue: [], history: [] },
    chosen = null,
    followed = true,
    asked = 0;

  function right(row) {
    const { progress } = row;
    if (row.state === "running" && progress?.total) return `${Math.floor((progress.done / progress.total) * 100)}%`;
    return "";
  }
  function below(row) {
    if (row.state === "running" && row.progress?.eta_s != null)
      return t("left", { time: duration(row.progress.eta_s) });
    return row.ended ? clock(row.ended) : "";
  }
  const waits = (row) => row.state === "waiting" && Boolean(row.why);
  const item = (row) => html`
    <button type="button" class="run" data-run="${row.id}" tabindex="${row.id === chosen ? 0 : -1}" aria-current="${row.id === chosen}">
      <span class="t">
        <span>
          ${row.name}
          <small class="muted">${row.title}</small>
        </span>
        <span class="muted">${right(row)}</span>
      </span>
      <span class="s">
        <span class="st ${row.state}" ${attr("title", waits(row) && row.why)}>${waits(row) ? row.why : row.word}</span>
        <span>${below(row)}</span>
      </span>
    </button>
  `;
  function drawList() {
    if (!root?.isConnected) return;
    patch(
      root.querySelector(".kg-list"),
      html`
        <div class="hd"><h2>${t("run.queue")}</h2></div>
        ${
          lists.queue.length
            ? lists.queue.map(item)
            : html`
                <p class="none muted">${t("run.queue_empty")}</p>
              `
        }
        <div class="hd"><h2>${t("run.history")}</h2></div>
        ${
          lists.history.length
            ? lists.history.map(item)
            : html`
                <p class="none muted">${t("run.history_empty")}</p>
              `
        }
      `,
    );
  }
  async function refresh() {
    const mine = ++asked;
    const answer = await call("runs");
    // Answers may come in another order than they were asked for: only the newest counts.
    if (answer.error || mine !== asked) return;
    lists = answer;
    const all = [...lists.queue, ...lists.history];
    const running = lists.queue.find((row) => row.state !== "waiting");
    const ended = !lists.queue.some((row) => row.id === chosen);
    if (followed && running && ended) choose(running.id, true);
    else if (!all.some((row) => row.id === chosen)) choose(all[0]?.id ?? null, true);
    drawList();
  }
  /* Shows a run. When it ends, the one that runs next is shown; a run of the past that the user chose stays. */
  function choose(id, byItself = false) {
    chosen = id;
    followed = byItself || lists.queue.some((row) => row.id === id);
    poller.watch(Studio.page.tab === "runs" ? id : null);
    drawList();
    Studio.fire("run chosen", id);
  }
  async function show(id) {
    chosen = id;
    await Studio.tabs.open("runs");
    await refresh();
    choose(id);
  }
  /* The list is one stop of the Tab key; arrows move within it. */
  function listen(place) {
    place.addEventListener("click", (event) => {
      const id = event.target.closest("[data-run]")?.dataset.run;
      if (id) choose(id);
    });
    place.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key],
        items = [...place.querySelectorAll("[data-run]")],
        at = items.indexOf(event.target);
      if (!step || at < 0) return;
      event.preventDefault();
      items[(at + step + items.length) % items.length].focus();
    });
  }
  function draw(place) {
    root = place;
    put(
      place,
      html`
        <div class="kg-runs">
          <div class="card kg-list" aria-label="${t("tab.runs")}"></div>
          <div class="kg-mon"></div>
        </div>
      `,
    );
    if (!place.dataset.listening) listen(place);
    place.dataset.listening = "yes";
    Studio.monitor.place(place.querySelector(".kg-mon"));
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
  return { lists: () => lists, refresh, chosen: () => chosen };
})();
