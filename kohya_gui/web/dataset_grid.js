/* The grid of pictures: only the rows in sight, and a few around them, are in the document. */
"use strict";
Studio.pictureGrid = (() => {
  const { html, put, patch, icon, t, on, fileUrl, album, texts } = Studio;
  const WIDEST_PX = 190,
    CELL_PX = 252,
    ROW_PX = 156,
    AROUND = 2; /* rows that are drawn above and below what is in sight */
  const { state } = album;
  let port,
    inner,
    columns = 1,
    asList = false,
    planned = false;
  const rows = new Map(); /* {number of a row: its element} */

  const rowHeight_px = () => (asList ? ROW_PX : CELL_PX);
  const rowCount = () => Math.ceil(state.total / columns);

  function place(box, list) {
    port = box;
    asList = list;
    rows.clear();
    put(
      port,
      html`
        <div class="ds-inner" role="presentation"></div>
      `,
    );
    inner = port.firstElementChild;
    port.setAttribute("aria-label", t("ds.pictures"));
    if (!port.dataset.listening) listen();
    port.dataset.listening = "yes";
    measure();
  }
  function measure() {
    if (!port?.clientWidth) return;
    columns = asList ? 1 : Math.max(2, Math.floor((port.clientWidth - 8) / WIDEST_PX));
    clear();
    draw();
  }
  function clear() {
    rows.forEach((element) => element.remove());
    rows.clear();
  }
  /* Which rows are in sight, with those around; the one with the focus stays, or the focus would be lost. */
  function sight() {
    const first = Math.max(0, Math.floor(port.scrollTop / rowHeight_px()) - AROUND);
    const last = Math.min(rowCount() - 1, Math.ceil((port.scrollTop + port.clientHeight) / rowHeight_px()) + AROUND);
    return { first, last };
  }
  function draw() {
    planned = false;
    if (!port?.isConnected || !port.clientWidth) return;
    const { first, last } = sight();
    inner.style.height = `${rowCount() * rowHeight_px()}px`;
    port.setAttribute("aria-rowcount", String(rowCount()));
    port.setAttribute("aria-colcount", String(asList ? 2 : columns));
    for (const [at, element] of rows) {
      const isFocused = element.contains(document.activeElement) && at < rowCount();
      if ((at < first || at > last) && !isFocused) {
        element.remove();
        rows.delete(at);
      }
    }
    for (let at = first; at <= last; at++) drawRow(at);
    if (last >= first) album.want(first * columns, Math.min(state.total, (last + 1) * columns) - 1);
  }
  /* Once for whatever happens before the next frame. */
  function plan() {
    if (!planned) requestAnimationFrame(draw);
    planned = true;
  }

  function drawRow(at) {
    let element = rows.get(at);
    if (!element) {
      element = Object.assign(document.createElement("div"), { className: "ds-row" });
      element.setAttribute("role", "row");
      element.setAttribute("aria-rowindex", String(at + 1));
      element.style.transform = `translateY(${at * rowHeight_px()}px)`;
      element.style.gridTemplateColumns = asList ? "" : `repeat(${columns}, minmax(0, 1fr))`;
      // In their order, for those who read the document and do not see it.
      const later = [...inner.children].find((other) => Number(other.getAttribute("aria-rowindex")) > at + 1);
      inner.insertBefore(element, later ?? null);
      rows.set(at, element);
    }
    const there = Math.min(columns, state.total - at * columns);
    while (element.childElementCount > (asList ? 2 : there)) element.lastElementChild.remove();
    for (let column = 0; column < there; column++) drawCell(element, column, at * columns + column);
  }
  function drawCell(element, column, at) {
    const cell = element.children[column] ?? newCell(element, column);
    const one = album.row(at);
    cell.dataset.at = at;
    if (one) cell.dataset.id = one.id;
    else delete cell.dataset.id;
    patch(cell.querySelector(".pic"), one ? picture(one) : "");
    const words = asList ? element.children[1] : cell.querySelector(".words");
    if (!asList || !words.contains(document.activeElement)) patch(words, one ? (asList ? fields(one) : summary(one)) : "");
    patch(cell.querySelector(".name"), one ? name(one) : "…");
    mark(cell, one, at);
  }
  function newCell(element, column) {
    const cell = document.createElement("div");
    cell.className = "ds-cell";
    cell.setAttribute("role", "gridcell");
    cell.setAttribute("aria-colindex", String(column + 1));
    put(
      cell,
      html`
        <div class="pic"></div>
        <div class="name"></div>
        ${
          asList
            ? ""
            : html`
                <div class="words"></div>
              `
        }
        <span class="tick" data-tick aria-hidden="true">${icon("ok")}</span>
      `,
    );
    element.append(cell);
    if (asList) {
      const words = Object.assign(document.createElement("div"), { className: "ds-fields" });
      words.setAttribute("role", "gridcell");
      words.setAttribute("aria-colindex", "2");
      element.append(words);
    }
    return cell;
  }
  /* What changes with a click is not drawn anew: pictures would flicker. */
  function mark(cell, one, at) {
    cell.setAttribute("aria-selected", String(Boolean(one && state.chosen.has(one.id))));
    cell.tabIndex = at === state.active ? 0 : -1;
    cell.setAttribute("aria-label", one ? spoken(one) : t("loading"));
    cell.toggleAttribute("data-unsaved", Boolean(one && texts.isUnsaved(one)));
  }
  const size = (one) => (one.size ? `${one.size[0]} × ${one.size[1]}` : "");
  const spoken = (one) =>
    [
      one.name,
      size(one),
      one.broken && t("ds.broken_why", { why: one.broken }),
      texts.isUnsaved(one) && t("ds.unsaved_one"),
      ...["caption", "tags"].map((slot) => texts.spoken(one, slot)),
    ]
      .filter(Boolean)
      .join(t("field.comma"));
  const picture = (one) =>
    one.broken
      ? html`
          <span class="broken" title="${one.broken}">
            ${icon("warn")}
            <b>${t("ds.broken")}</b>
            <small>${one.broken}</small>
          </span>
        `
      : html`
          <img src="${fileUrl(one.url)}" alt="" decoding="async" draggable="false" />
        `;
  const name = (one) => html`
    <span class="file" title="${one.name}">${one.name}</span>
    <small class="muted num">${size(one)}</small>
    ${
      texts.isUnsaved(one)
        ? html`
            <span class="dot" title="${t("ds.unsaved_one")}"></span>
          `
        : ""
    }
  `;
  const summary = (one) =>
    ["caption", "tags"].map((slot) => {
      const { text, state: how, why } = one.texts[slot];
      if (how === "none") return "";
      return html`
        <p class="${slot} ${how}">
          ${how === "absent" || how === "unreadable" || !text ? html`<i title="${why}">${t(`ds.short_${how === "unreadable" ? how : "absent"}_${slot}`)}</i>` : text}
        </p>
      `;
    });
  const fields = (one) => ["caption", "tags"].map((slot) => texts.box(one, slot, "row"));

  /* A picture whose head is sound may still be broken: then the server says why. */
  async function broke(image) {
    const id = Number(image.closest("[data-id]")?.dataset.id),
      one = album.rowOf(id);
    if (!one || one.broken) return;
    const answer = await fetch(image.src).catch(() => null);
    // Read to its end in any case, or its connection would be kept from others.
    const said = await answer?.json().catch(() => null);
    if (answer?.ok || one.broken) return;
    one.broken = said?.detail ?? t("server_lost");
    one.url = "";
    plan();
    Studio.fire("album chosen");
  }

  /* Brings a place into sight, and the focus with it where it was in the grid. */
  function reveal(at, withFocus = false) {
    const top = Math.floor(at / columns) * rowHeight_px();
    if (top < port.scrollTop) port.scrollTop = top;
    else if (top + rowHeight_px() > port.scrollTop + port.clientHeight)
      port.scrollTop = top + rowHeight_px() - port.clientHeight;
    draw();
    if (withFocus) cellAt(at)?.focus({ preventScroll: true });
  }
  const cellAt = (at) => inner.querySelector(`.ds-cell[data-at="${at}"]`);

  const STEPS = {
    ArrowRight: () => 1,
    ArrowLeft: () => -1,
    ArrowDown: () => columns,
    ArrowUp: () => -columns,
    PageDown: () => columns * pageRows(),
    PageUp: () => -columns * pageRows(),
    Home: () => -state.total,
    End: () => state.total,
  };
  const pageRows = () => Math.max(1, Math.floor(port.clientHeight / rowHeight_px()) - 1);
  function steer(event) {
    const cell = event.target.closest(".ds-cell");
    if (!cell || event.target !== cell) return;
    const at = Number(cell.dataset.at),
      control = event.ctrlKey || event.metaKey;
    if (event.key in STEPS) {
      event.preventDefault();
      go(Math.max(0, Math.min(state.total - 1, at + STEPS[event.key]())), event.shiftKey, control);
    } else if (event.key === " ") {
      event.preventDefault();
      album.toggle(at);
    } else if (event.key.toLowerCase() === "a" && control) {
      event.preventDefault();
      album.all();
    } else if (event.key === "Escape") album.none();
    else if (event.key === "Enter") {
      event.preventDefault();
      edit(at);
    }
  }
  /* Moves to a place: the picture there is chosen; with Shift all up to it; with Control the choice stays. */
  function go(at, extends_, control) {
    state.active = at;
    reveal(at, true);
    if (extends_) album.range(at);
    else if (control) plan();
    else {
      album.only(at);
      if (!album.row(at)) waiting = at;
    }
  }
  /* A place that was gone to before its picture was there. */
  let waiting = null;
  function arrived() {
    if (waiting !== null && album.row(waiting)) {
      if (state.active === waiting && !state.chosen.size) album.only(waiting);
      waiting = null;
    }
    plan();
  }
  function edit(at) {
    const one = album.row(at);
    if (!one) return;
    if (state.chosen.size !== 1 || !state.chosen.has(one.id)) album.only(at);
    if (!asList || !type(at, "caption")) Studio.fire("album edit", one.id);
  }
  /* Puts the focus into a box of the list; whether there is one. */
  function type(at, slot) {
    reveal(at);
    const own = cellAt(at)?.parentElement,
      area = own?.querySelector(`textarea[data-slot="${slot}"]`) ?? own?.querySelector("textarea");
    area?.focus();
    return Boolean(area);
  }
  /* Whose box is typed in is chosen. */
  function typedIn(event) {
    const own = event.target.matches("textarea") && event.target.closest(".ds-row");
    const at = own ? Number(own.firstElementChild.dataset.at) : -1;
    if (at >= 0 && (state.active !== at || state.chosen.size !== 1)) album.only(at);
  }
  function click(event) {
    const cell = event.target.closest(".ds-cell");
    if (!cell) return;
    const at = Number(cell.dataset.at);
    cell.focus({ preventScroll: true });
    if (event.shiftKey) album.range(at);
    else if (event.ctrlKey || event.metaKey || event.target.closest("[data-tick]")) album.toggle(at);
    else album.only(at);
  }
  function listen() {
    // The frame after a scroll has everything in sight.
    port.addEventListener("scroll", plan, { passive: true });
    port.addEventListener("click", click);
    port.addEventListener("dblclick", (event) => {
      const cell = event.target.closest(".ds-cell");
      if (cell) edit(Number(cell.dataset.at));
    });
    port.addEventListener("keydown", steer);
    port.addEventListener("focusin", typedIn);
    port.addEventListener("error", (event) => event.target.tagName === "IMG" && broke(event.target), true);
    new ResizeObserver(measure).observe(port);
  }
  on("album rows", arrived);
  on("album found", plan);
  on("album typed", plan);
  on("album chosen", plan);
  on("album top", () => port && ((port.scrollTop = 0), plan()));
  const focusActive = () => reveal(state.active, true);
  return { place, reveal, focusActive, type };
})();
