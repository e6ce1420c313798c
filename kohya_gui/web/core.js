/* What every part of the page uses: words, safe markup, numbers in words, calls to the server, news between the parts. */
"use strict";
window.Studio = (() => {
  const data = window.STUDIO_DATA;
  /* Fields that several forms share come once, by their number. */
  for (const form of Object.values(data.forms))
    for (const flag of Object.keys(form.fields)) form.fields[flag] = data.fields[form.fields[flag]];
  data.tabOf = Object.fromEntries(Object.entries(data.tabs).flatMap(([tab, stages]) => stages.map((one) => [one, tab])));
  const bus = new EventTarget();

  const on = (news, take) => bus.addEventListener(news, (event) => take(event.detail));
  const fire = (news, detail) => bus.dispatchEvent(new CustomEvent(news, { detail }));

  /* Storage may be forbidden (private windows): the page then only forgets. */
  const kept = (key, otherwise) => {
    try {
      return JSON.parse(localStorage.getItem(key)) ?? otherwise;
    } catch {
      return otherwise;
    }
  };
  const keep = (key, value) => {
    try {
      localStorage.setItem(key, JSON.stringify(value));
    } catch {
      /* nothing to do */
    }
  };

  const page = { lang: kept("studio.lang") || (navigator.language.startsWith("ja") ? "ja" : "en"), tab: null };

  function t(key, facts) {
    const text = data.words[page.lang][key] ?? data.words.en[key] ?? key;
    return facts ? text.replace(/\{(\w+)\}/g, (whole, name) => facts[name] ?? whole) : text;
  }
  const has = (key) => key in data.words.en;

  /* html`...` escapes every value that is not itself made by html. */
  class Markup {
    constructor(text) {
      this.text = text;
    }
  }
  const esc = (text) => String(text).replace(/[&<>"'`]/g, (sign) => `&#${sign.charCodeAt(0)};`);
  function markup(value) {
    if (value instanceof Markup) return value.text;
    if (Array.isArray(value)) return value.map(markup).join("");
    return value === null || value === undefined || value === false ? "" : esc(value);
  }
  const html = (parts, ...values) => new Markup(parts.reduce((text, part, i) => text + markup(values[i - 1]) + part));
  /* An attribute: attr("checked", true), attr("list", name); nothing where the value is false or absent. */
  function attr(name, value) {
    if (value === undefined || value === null || value === false) return "";
    return new Markup(value === true ? name : `${name}="${esc(value)}"`);
  }
  const put = (element, content) => {
    element.innerHTML = markup(content);
    return element;
  };
  /* What the pointer is pressing: drawn anew before it is let go, it would never be clicked. */
  let pressed = null;
  document.addEventListener("pointerdown", (event) => (pressed = event.target), true);
  for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => (pressed = null), true);

  /* Redraws only what changed, so that focus, scroll and selection survive the poller. */
  function patch(element, content) {
    const text = markup(content);
    if (!element || element.studioText === text || (pressed && element.contains(pressed))) return element;
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    element.studioText = text;
    element.innerHTML = text;
    if (focused && focused !== element) twin(element, focused)?.focus({ preventScroll: true });
    return element;
  }
  /* What an element has become that was drawn anew: that of the same kind with the same data, or with data of its kind. */
  function twin(element, before) {
    const data = ({ dataset }) => JSON.stringify(dataset),
      kinds = ({ dataset }) => Object.keys(dataset).join();
    const all = [...element.querySelectorAll(before.tagName)];
    return all.find((one) => data(one) === data(before)) ?? all.find((one) => kinds(one) === kinds(before));
  }
  /* Remembers what has the focus; called later, gives it back, also where the page was drawn anew meanwhile. */
  function focusKeeper() {
    const before = document.activeElement,
      place = before?.closest("[data-view], dialog");
    return () => (before?.isConnected ? before : place && twin(place, before))?.focus();
  }
  /* Does what a press asks for, unless the same is still under way, or it is the second click of a double click: that
     would start things twice, or land on what stands there by then. */
  const underWay = new Set();
  async function once(event, key, act) {
    if (event.detail > 1 || underWay.has(key)) return;
    underWay.add(key);
    try {
      await act();
    } finally {
      underWay.delete(key);
    }
  }
  /* Some people are made ill by what glides: then it jumps. */
  const glide = () => (matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth");

  const PATHS = {
    chev: "M6 4l4 4-4 4",
    down: "M4 6l4 4 4-4",
    up: "M8 13V3M4 7l4-4 4 4",
    higher: "M4 10l4-4 4 4",
    search: "M7 12a5 5 0 100-10 5 5 0 000 10zM11 11l3 3",
    reset: "M3 8a5 5 0 105-5H4M6 1L4 3l2 2",
    folder: "M2 4h4l1.5 2H14v7H2z",
    file: "M4 2h5l3 3v9H4zM9 2v3h3",
    warn: "M8 2l6.5 11.5h-13zM8 6.5v3M8 11.6v.1",
    ok: "M3 8.5l3 3 7-7",
    copy: "M5 5h8v9H5zM3 11V2h8",
    info: "M8 14A6 6 0 108 2a6 6 0 000 12zM8 7.5V11M8 5.2v.1",
    stop: "M4 4h8v8H4z",
    play: "M5 3l8 5-8 5z",
    camera: "M2 5h3l1-2h4l1 2h3v8H2zM8 11.5a2.5 2.5 0 100-5 2.5 2.5 0 000 5z",
    save: "M3 2h8l2 2v10H3zM5 2v4h5V2M5 14v-5h6v5",
    flag: "M4 14V2h8l-2 3 2 3H4",
    out: "M6 3H3v10h3M7 8h6M10.5 5.5L13 8l-2.5 2.5",
    dots: "M3.5 8h.01M8 8h.01M12.5 8h.01",
    sun: "M8 11a3 3 0 100-6 3 3 0 000 6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
    chart: "M2 14h12M3 11l3-4 3 2 4-6",
    mark: "M2 13L6 4l3 6 2-3 3 6z",
    star: "M8 2l1.8 3.8 4.2.5-3.1 2.9.8 4.1L8 11.3l-3.7 2 .8-4.1L2 6.3l4.2-.5z",
    pause: "M5.5 3v10M10.5 3v10",
    filter: "M2 4h12M4.5 8h7M7 12h2",
    edit: "M3 13l1-3 7-7 2 2-7 7z",
    next: "M3 3l5 5-5 5M8 3l5 5-5 5",
    plus: "M8 3v10M3 8h10",
    cross: "M4 4l8 8M12 4l-8 8",
    crop: "M4 1v11h11M1 4h11v11",
    enlarge: "M9 2h5v5M14 2L9 7M7 14H2V9M2 14l5-5",
    grid: "M2 2h5v5H2zM9 2h5v5H9zM2 9h5v5H2zM9 9h5v5H9z",
    list: "M6 4h8M6 8h8M6 12h8M2.5 4h.01M2.5 8h.01M2.5 12h.01",
  };
  const icon = (name) =>
    new Markup(`<svg class="i" viewBox="0 0 16 16" aria-hidden="true"><path
    d="${PATHS[name]}"/></svg>`);

  const number = (value) => Number(value).toLocaleString("en");
  function short(value) {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size < 1e-3 || size >= 1e6)
      return value
        .toExponential(size < 1e-3 ? 1 : 2)
        .replace("e-0", "e-")
        .replace("e+", "e");
    return size < 10 ? String(Number(value.toFixed(3))) : number(Math.round(value * 10) / 10);
  }
  function duration(seconds_s) {
    const all = Math.max(0, Math.round(seconds_s));
    const hours = Math.floor(all / 3600),
      minutes = Math.floor(all / 60) % 60;
    if (hours) return t("time.hours", { hours, minutes });
    return minutes ? t("time.minutes", { minutes }) : t("time.seconds", { seconds: all });
  }
  function bytes(size_bytes) {
    const step = [
      ["GB", 1e9],
      ["MB", 1e6],
      ["kB", 1e3],
    ].find(([, one]) => size_bytes >= one);
    return step ? `${(size_bytes / step[1]).toFixed(size_bytes / step[1] < 10 ? 2 : 0)} ${step[0]}` : `${size_bytes} B`;
  }
  const asDate = (time) => (typeof time === "number" ? new Date(time * 1000) : new Date(time));
  function clock(time) {
    if (!time) return "";
    const then = asDate(time),
      today = new Date();
    const hour = then.toLocaleTimeString(page.lang, { hour: "2-digit", minute: "2-digit", hour12: false });
    const days = Math.round((new Date(today).setHours(0, 0, 0, 0) - new Date(then).setHours(0, 0, 0, 0)) / 864e5);
    if (days === 0) return t("time.today", { hour });
    return days === 1
      ? t("time.yesterday", { hour })
      : then.toLocaleDateString(page.lang, { month: "short", day: "numeric" });
  }

  /* The server: one function, any named action. A lost server answers like any other trouble, and is told apart. */
  let server, connected;
  const connection = new Promise((resolve) => {
    connected = resolve;
  });
  function connect(given) {
    if (!server) {
      server = given;
      connected();
    }
  }
  async function call(name, args = {}) {
    await connection;
    try {
      const answer = await server.call(name, { ...args, lang: page.lang });
      if (answer === undefined || answer === null) throw new Error("no answer");
      fire("server", true);
      return answer;
    } catch {
      fire("server", false);
      return { error: t("server_lost"), lost: true };
    }
  }

  /* The same for polls: an address of their own, which costs the server little. Arguments that are null stay away. */
  async function poll(args) {
    const given = Object.entries({ ...args, lang: page.lang }).filter(([, value]) => value !== null);
    try {
      const answer = await fetch(fileUrl(`/poll?${new URLSearchParams(given)}`), { cache: "no-store" });
      if (answer.status === 401) fire("logged out");
      if (!answer.ok) throw new Error(answer.statusText);
      const found = await answer.json();
      fire("server", true);
      return found;
    } catch {
      fire("server", false);
      return { error: t("server_lost"), lost: true };
    }
  }

  /* Acts once it is quiet; each first argument (a stage) has a quiet of its own. */
  function debounce(action, wait_ms) {
    const timers = new Map();
    return (...args) => {
      clearTimeout(timers.get(args[0]));
      timers.set(
        args[0],
        setTimeout(() => action(...args), wait_ms),
      );
    };
  }

  /* Views: each draws one place of the page, and again in full when the language changes. */
  const views = {},
    mounted = [];
  const view = (name, draw) => {
    views[name] = draw;
  };
  function mount(element, name, given) {
    connect(given);
    const place = element.querySelector("[data-view]");
    mounted.push(() => place.isConnected && views[name](place));
    views[name](place);
  }
  function speak(lang) {
    page.lang = lang;
    keep("studio.lang", lang);
    document.documentElement.lang = lang;
    mounted.forEach((draw) => draw());
    fire("lang", lang);
  }
  document.documentElement.lang = page.lang;

  /* The end of a path tells more than its beginning. Measured once a frame, for all together: each look costs a layout. */
  const ends = new Set();
  function showEnd(input) {
    if (document.activeElement === input) return;
    input.title = input.value;
    if (!ends.size) requestAnimationFrame(showEnds);
    ends.add(input);
  }
  function showEnds() {
    const widths = [...ends].map((input) => [input, input.scrollWidth]);
    ends.clear();
    for (const [input, width] of widths) if (document.activeElement !== input) input.scrollLeft = width;
  }
  /* Gives a text to the browser as a file to keep. */
  function download(name, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
  const fileUrl = (url) => new URL(url.replace(/^\//, ""), document.baseURI).href;

  return {
    data,
    page,
    on,
    fire,
    kept,
    keep,
    t,
    has,
    html,
    attr,
    put,
    patch,
    icon,
    number,
    short,
    duration,
    bytes,
    asDate,
    clock,
    call,
    poll,
    debounce,
    view,
    mount,
    speak,
    focusKeeper,
    once,
    glide,
    showEnd,
    download,
    fileUrl,
  };
})();
