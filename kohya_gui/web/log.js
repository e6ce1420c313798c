/* What a run printed: its end as it grows, what came earlier, and a search through all of it. */
"use strict";
Studio.log = (() => {
  const { html, put, icon, t, call, number, debounce } = Studio;
  const AROUND_BYTES = 20000;
  let root,
    seen = null, /* the run as the poller keeps it */
    earlier = null, /* {text, start, end}: what was asked for from before the poller's part */
    part = null, /* {text, start}: a place far from the end, found by the search */
    hits = null, /* {text, count, lines, at} */
    drawn = "";
  const bytes = new TextEncoder();
  const find = (selector) => root.querySelector(selector);

  function place(card) {
    root = card;
    earlier = part = hits = null;
    drawn = "";
    put(
      card,
      html`
        <div class="hd">
          <h2>${t("run.log")}</h2>
          <span class="sp"></span>
          <label class="muted">
            <input type="checkbox" data-follow checked />
            ${t("run.follow")}
          </label>
          <button type="button" class="btn sm quiet" data-log="search" aria-expanded="false">
            ${icon("search")}${t("log.search")}
          </button>
        </div>
        <form class="find" role="search" hidden>
          <input class="in" type="search" name="text" placeholder="${t("log.text")}" aria-label="${t("log.text")}" />
          <span class="muted num" role="status"></span>
          <button type="button" class="btn sm quiet" data-log="before" aria-label="${t("log.before")}">${icon("up")}</button>
          <button type="button" class="btn sm quiet" data-log="after" aria-label="${t("log.after")}">${icon("down")}</button>
        </form>
        <button type="button" class="btn sm quiet" data-log="earlier" hidden>${t("log.earlier")}</button>
        <pre class="log" role="log" tabindex="0" aria-label="${t("run.log")}"></pre>
        <button type="button" class="btn sm quiet" data-log="end" hidden>${t("log.end")}</button>
      `,
    );
    card.addEventListener("click", (event) => ACTIONS[event.target.closest("[data-log]")?.dataset.log]?.());
    const form = find("form");
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => look("log"));
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
      if (event.key === "Escape") close();
    });
    find("[data-follow]").addEventListener("change", () => draw());
  }
  function show(run) {
    if (seen?.id !== run.id) {
      earlier = part = null;
      if (hits) {
        seen = run;
        look("log");
      }
    }
    seen = run;
    draw();
  }

  function view() {
    if (part) return part;
    // The poller forgets the beginning of what grows too long: what came before it no longer joins.
    const joins = earlier && earlier.end === seen.log_start;
    return joins ? { text: earlier.text + seen.log, start: earlier.start } : { text: seen.log, start: seen.log_start };
  }
  const pattern = () => new RegExp(hits.text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
  function marked(line) {
    const found = [];
    let end = 0;
    for (const match of line.matchAll(pattern())) {
      // prettier-ignore
      found.push(line.slice(end, match.index), html`<mark>${match[0]}</mark>`);
      end = match.index + match[0].length;
    }
    return [...found, line.slice(end)];
  }
  function lines({ text, start }) {
    let offset = start;
    const now = hits.lines[hits.at]?.offset;
    return text.split(/(?<=\n)/).map((line) => {
      const mine = offset === now;
      offset += bytes.encode(line).length;
      // prettier-ignore
      return html`<span class="${mine ? "now" : ""}">${marked(line)}</span>`;
    });
  }
  function draw() {
    if (!root?.isConnected || !seen) return;
    const text = find("pre"),
      shown = view(),
      key = JSON.stringify([seen.id, shown.start, shown.text.length, hits?.text, hits?.at]);
    if (key !== drawn) {
      drawn = key;
      if (hits?.text) put(text, lines(shown));
      else text.textContent = shown.text;
    }
    find("[data-log=earlier]").hidden = !shown.start;
    find("[data-log=end]").hidden = !part;
    if (find("[data-follow]").checked && !hits?.lines.length) text.scrollTop = text.scrollHeight;
    const said = !hits?.text ? "" : !hits.count ? t("log.none") : t("log.found", { at: number(hits.at + 1), n: number(hits.count) });
    find("[role=status]").textContent = said;
  }

  const look = debounce(async () => {
    const text = find("[name=text]").value,
      { id } = seen;
    const answer = text ? await call("run_log_find", { id, text }) : { count: 0, lines: [] };
    if (answer.error || id !== seen.id || text !== find("[name=text]").value) return;
    // The search begins where the eye is: at the end.
    hits = { ...answer, text, at: Math.max(0, answer.lines.length - 1) };
    await go();
  }, 250);
  async function step(by) {
    if (!hits?.lines.length) return;
    hits.at = (hits.at + by + hits.lines.length) % hits.lines.length;
    await go();
  }
  /* Shows the line that was found, and loads its surroundings where they are not there. */
  async function go() {
    const { offset } = hits.lines[hits.at] ?? {};
    if (offset !== undefined) {
      const { start, text } = view();
      if (offset < start || offset >= start + bytes.encode(text).length) {
        const answer = await call("run_log", { id: seen.id, offset: Math.max(0, offset - AROUND_BYTES) });
        if (answer.error) return;
        part = { text: answer.text, start: answer.start };
      }
    }
    draw();
    const now = find("pre .now");
    if (now) find("pre").scrollTop = now.offsetTop - find("pre").offsetTop - 80;
  }
  async function more() {
    const { start, text } = view();
    const answer = await call("run_log", { id: seen.id, before: start });
    if (answer.error) return;
    const place = find("pre"),
      below = place.scrollHeight - place.scrollTop;
    find("[data-follow]").checked = false;
    if (part) part = { ...part, text: answer.text + text, start: answer.start };
    else {
      const known = text.slice(0, text.length - seen.log.length);
      earlier = { text: answer.text + known, start: answer.start, end: seen.log_start };
    }
    draw();
    place.scrollTop = place.scrollHeight - below;
  }
  function toggle(open) {
    find("form").hidden = !open;
    find("[data-log=search]").setAttribute("aria-expanded", String(open));
  }
  function close() {
    toggle(false);
    hits = part = null;
    draw();
    find("[data-log=search]").focus();
  }
  const ACTIONS = {
    search: () => {
      if (!find("form").hidden) return close();
      toggle(true);
      find("[name=text]").focus();
      look("log");
    },
    before: () => step(-1),
    after: () => step(1),
    earlier: more,
    end: () => {
      part = null;
      find("[data-follow]").checked = true;
      draw();
      find("pre").scrollTop = find("pre").scrollHeight;
    },
  };
  return { place, show };
})();
