/* The page's only poller: what runs, and news of the run that is looked at. */
"use strict";
Studio.poller = (() => {
  const { call, on, fire } = Studio;
  const VISIBLE_MS = 2000,
    HIDDEN_MS = 30000,
    LOG_TAIL_BYTES = 60000,
    LOG_KEPT = 400000;
  let timer,
    busy = false,
    again = false,
    watched = null,
    before = "";

  const fresh = (id) => ({ id, next_event: 0, log_offset: -LOG_TAIL_BYTES, log: "", metrics: {}, last: null });
  /* Figures come in pieces; each key is an array, as long as `step`. */
  function join(metrics, more) {
    for (const [name, values] of Object.entries(more ?? {})) (metrics[name] ??= []).push(...values);
  }
  /* The run that the Runs tab shows; null when none. */
  function watch(id) {
    if (watched?.id === id) return;
    watched = id ? fresh(id) : null;
    tick();
  }

  async function tick() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    clearTimeout(timer);
    const asked = watched;
    const answer = await call("poll", {
      run: asked?.id ?? null,
      since_event: asked?.next_event ?? 0,
      log_offset: asked?.log_offset ?? 0,
    });
    busy = false;
    timer = setTimeout(tick, document.hidden ? HIDDEN_MS : VISIBLE_MS);
    if (!answer.error) take(answer, asked);
    if (again) {
      again = false;
      tick();
    }
  }
  function take(answer, asked) {
    fire("poll", answer);
    const now = JSON.stringify([answer.active?.id, answer.active?.state, answer.waiting]);
    if (now !== before) {
      before = now;
      fire("runs changed", answer);
    }
    if (!asked || asked !== watched || !answer.run?.row) return;
    join(asked.metrics, answer.run.metrics);
    asked.next_event = answer.run.next_event;
    asked.last = answer.run;
    if (answer.log) {
      asked.log = (asked.log + answer.log.text).slice(-LOG_KEPT);
      asked.log_offset = answer.log.next_offset;
    }
    fire("run", asked);
  }
  document.addEventListener("visibilitychange", () => !document.hidden && tick());
  on("started", tick);
  on("server", (there) => {
    if (!there) before = "";
  });
  tick();
  return { watch, tick, watched: () => watched };
})();
