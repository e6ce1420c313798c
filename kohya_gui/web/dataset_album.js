/* The pictures that the Dataset tab shows: opened on the server, read page by page as they come into sight, chosen here. */
"use strict";
Studio.album = (() => {
  const { call, fire, on, dialog, store, kept, keep } = Studio;
  const PAGE = 60,
    MOST_PAGES = 40,
    ASK_AGAIN_MS = 400;
  const settings = { caption_extension: ".caption", tags_extension: ".txt", recursive: false, ...kept("studio.dataset", {}) };
  const state = {
    paths: [],
    info: null /* how the album is, as the server last said */,
    trouble: "",
    query: {},
    view: 0,
    total: 0,
    chosen: new Set(),
    active: 0,
    anchor: 0,
  };
  let pages = new Map(),
    stale = new Set(),
    asked = new Set(),
    opened = 0;

  const info = () => state.info;
  const isOpen = (album) => state.info?.album === album;
  /* Any action on the open album. One that the server has closed is opened again. */
  async function ask(name, args = {}) {
    const album = state.info?.album;
    const answer = await call(`dataset_${name}`, { album, ...args });
    if (answer.field === "album" && isOpen(album)) await open(state.paths, { anew: false });
    return answer;
  }

  /* Opens folders or a metadata file. `anew`: with nothing chosen, and at the top. */
  async function open(paths, { anew = true } = {}) {
    const mine = ++opened;
    state.paths = paths;
    if (anew) {
      Object.assign(state, { info: null, trouble: "", total: 0, view: 0, active: 0, anchor: 0 });
      state.chosen = new Set();
      pages = new Map();
    }
    fire("album");
    const answer = await call("dataset_open", { paths, ...settings, project: store.state.project?.name ?? null });
    if (mine !== opened) return;
    if (answer.error) {
      state.trouble = answer.error;
      fire("album");
      return;
    }
    await follow(answer, mine, anew);
  }
  /* Follows the reading of an album to its end; what was read so far is shown meanwhile. */
  async function follow(answer, mine, anew) {
    for (;;) {
      const before = state.info;
      const chosen = before && before.album !== answer.album && renumbered();
      took(answer);
      if (chosen) chooseNamed(chosen);
      const grew = !before || before.album !== answer.album || before.pictures !== answer.pictures;
      if (anew ? grew : grew && !answer.busy) await find();
      if (!answer.busy) break;
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
      answer = await call("dataset_state", { album: answer.album });
      if (mine !== opened) return;
      if (answer.error) {
        if (!answer.lost) state.trouble = answer.error;
        fire("album");
        return;
      }
    }
    state.trouble = answer.last.trouble;
    if (anew) await find();
    renew();
    fire("album");
    fire("album read");
  }
  /* The same pictures, opened anew: what was chosen by number, and what is held, would be others. Gives the name of the
     one that was chosen. */
  function renumbered() {
    const name = rowOf(chosenOne())?.name;
    pages = new Map();
    stale = new Set();
    none();
    return name;
  }
  async function chooseNamed(name) {
    const id = await idOf(name);
    if (id === null || id < 0 || state.chosen.size) return;
    state.chosen = new Set([id]);
    chose();
  }
  /* The number of a picture, by its name: -1 where there is none any more, null where the server cannot say. */
  async function idOf(name) {
    const found = await ask("find", { query: { text: name } });
    const { rows } = found.error ? {} : await ask("rows", { view: found.view, limit: PAGE });
    return rows ? (rows.find((one) => one.name === name)?.id ?? -1) : null;
  }
  /* What another window changed meanwhile is shown as soon as one looks here again. */
  async function lookAgain() {
    if (Studio.page.tab !== "dataset" || !state.info || state.info.busy) return;
    const before = state.info.version,
      answer = await ask("state");
    if (answer.error || answer.version === before) return;
    took(answer);
    renew();
    fire("album elsewhere");
  }
  window.addEventListener("focus", lookAgain);
  const reread = () => state.paths.length && !state.info?.busy && open(state.paths, { anew: !state.info });

  function took(answer) {
    if (!answer?.album) return;
    const before = state.info?.version;
    state.info = answer;
    fire("album");
    if (before !== answer.version) fire("album changed");
  }

  /* Chooses what is shown. The choice stays as it is while its texts are edited. */
  async function find(query = state.query) {
    state.query = query;
    const asking = { ...query, values: store.values("latents") };
    const answer = await ask("find", { query: asking });
    if (answer.error) {
      if (answer.field !== "album") dialog.trouble(answer);
      return;
    }
    if (query !== state.query) return;
    Object.assign(state, { view: answer.view, total: answer.total });
    state.active = Math.min(state.active, Math.max(0, answer.total - 1));
    renew();
    fire("album found");
  }
  /* Chooses anew what is shown: what is no longer in sight is no longer chosen either. */
  function look(query) {
    Object.assign(state, { active: 0, anchor: 0 });
    none();
    return find(query).then(() => fire("album top"));
  }

  /* What is held may be out of date: it stays in sight until it was read again. */
  function renew() {
    stale = new Set(pages.keys());
    asked = new Set();
    fire("album rows");
  }
  const row = (at) => pages.get(Math.floor(at / PAGE))?.[at % PAGE];
  const rowOf = (id) => [...pages.values()].flat().find((one) => one.id === id);
  /* Asks for the pictures from one place to another, unless they are there. */
  function want(first, last) {
    for (let page = Math.floor(first / PAGE); page <= Math.floor(last / PAGE); page++)
      if (page * PAGE < state.total && (!pages.has(page) || stale.has(page)) && !asked.has(page)) read(page);
  }
  async function read(page) {
    const { view } = state;
    asked.add(page);
    const answer = await ask("rows", { view, offset: page * PAGE, limit: PAGE });
    if (view !== state.view) return;
    asked.delete(page);
    if (answer.error) {
      if (answer.field === "view") find();
      return;
    }
    stale.delete(page);
    pages.delete(page);
    pages.set(page, answer.rows);
    for (const oldest of pages.keys()) if (pages.size > MOST_PAGES) pages.delete(oldest);
    fire("album rows");
  }

  /* Choosing pictures: one, one more or less, or all between two. */
  function chose(at) {
    if (at !== undefined) state.active = at;
    fire("album chosen");
  }
  function only(at) {
    const one = row(at);
    taking = null;
    state.chosen = new Set(one ? [one.id] : []);
    state.anchor = at;
    chose(at);
  }
  async function toggle(at) {
    await taking;
    const one = row(at);
    if (!one) return;
    if (!state.chosen.delete(one.id)) state.chosen.add(one.id);
    state.anchor = at;
    chose(at);
  }
  /* The server says which pictures lie between two places; what is chosen before it has answered counts instead. */
  let taking = null;
  async function take(first, last) {
    const mine = (taking = ask("ids", { view: state.view, first, last }));
    const answer = await mine;
    if (taking !== mine || dialog.trouble(answer)) return;
    taking = null;
    state.chosen = new Set(answer.ids);
    chose();
  }
  function range(at) {
    state.active = at;
    return take(Math.min(at, state.anchor), Math.max(at, state.anchor));
  }
  const all = () => take(0, null);
  function none() {
    taking = null;
    state.chosen = new Set();
    chose();
  }
  const chosenOne = () => (state.chosen.size === 1 ? [...state.chosen][0] : null);

  function set(changed) {
    Object.assign(settings, changed);
    keep("studio.dataset", settings);
  }
  /* What is wrong with a picture is said in the page's language. */
  on("lang", renew);
  return {
    state, settings, set, info, ask, open, reread, took, idOf, find, look, renew, row, rowOf, want,
    only, toggle, range, all, none, chosenOne,
  }; // prettier-ignore
})();
