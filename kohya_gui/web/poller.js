/* The page's only poller: what runs, and news of the run that is looked at. */
"use strict";
Studio.poller = (() => {
  const { poll, on, fire } = Studio;
  const VISIBLE_MS = 2000,
    HIDDEN_MS = 30000,
    LOG_TAIL_BYTES = 60000,
    LOG_KEPT = 400000;
  let timer,
    busy = false,
    again = false,
    watched = null,
    before = "",
    paused = false;

  const fresh = (id) => ({ id, next_event: 0, log_offset: -LOG_TAIL_BYTES, log: "", log_start: 0, metrics: {}, last: null });
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

  /* Pages that are seen ask at the same moments by the clock: who asks the same then is given one answer. */
  function untilAllAsk() {
    const left_ms = VISIBLE_MS - (Date.now() % VISIBLE_MS);
    return left_ms < VISIBLE_MS / 2 ? left_ms + VISIBLE_MS : left_ms;
  }
  /* `byItself`: nothing was changed here, so that an answer for other pages will do. A page that nobody sees asks only
     whether something runs, for its title and for news of its end. */
  async function tick(byItself = false) {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    clearTimeout(timer);
    const asked = document.hidden ? null : watched;
    const answer = await poll({
      run: asked?.id ?? null,
      since_event: asked?.next_event ?? 0,
      log_offset: asked?.log_offset ?? 0,
      fresh: byItself ? 0 : 1,
    });
    busy = false;
    timer = setTimeout(tick, document.hidden ? HIDDEN_MS : untilAllAsk(), true);
    if (!answer.error) take(answer, asked);
    if (again) {
      again = false;
      tick();
    }
  }
  function take(answer, asked) {
    fire("poll", answer);
    paused = answer.paused;
    const now = JSON.stringify([answer.active?.id, answer.active?.state, answer.waiting, answer.serial]);
    if (now !== before) {
      before = now;
      fire("runs changed", answer);
    }
    if (!asked || asked !== watched || !answer.run?.row) return;
    join(asked.metrics, answer.run.metrics);
    asked.next_event = answer.run.next_event;
    asked.last = answer.run;
    if (answer.log) {
      takeLog(asked, answer.log);
    }
    fire("run", asked);
  }
  /* The log grows at its end; where a part was left out, or it grew too long, it begins later. */
  function takeLog(asked, { text, start, next_offset }) {
    const joined = start === asked.log_offset ? asked.log + text : text;
    asked.log_start = start === asked.log_offset ? asked.log_start : start;
    asked.log_offset = next_offset;
    const cut = joined.length > LOG_KEPT ? joined.indexOf("\n", joined.length - LOG_KEPT) + 1 : 0;
    asked.log = joined.slice(cut);
    if (cut) asked.log_start += new TextEncoder().encode(joined.slice(0, cut)).length;
  }
  document.addEventListener("visibilitychange", () => !document.hidden && tick());
  on("started", () => tick());
  on("lang", () => tick());
  on("server", (there) => {
    if (!there) before = "";
  });
  tick();
  return { watch, tick, join, watched: () => watched, paused: () => paused };
})();
