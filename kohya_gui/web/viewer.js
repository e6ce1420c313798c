/* Pictures large: one, with arrows to its neighbours; or several beside each other, two of them also under a slider. */
"use strict";
Studio.viewer = (() => {
  const { html, attr, put, icon, t, dialog, number } = Studio;
  /* A picture is {src, says}; a table of them is rows of cells, where a cell may be missing. */

  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  /* The next picture in a direction, over cells that are missing; null at the edge. */
  function next(cells, [row, column], [down, right]) {
    let [r, c] = [row + down, column + right];
    while (cells[r] && c >= 0 && c < cells[r].length) {
      if (cells[r][c]) return [r, c];
      [r, c] = [r + down, c + right];
    }
    return null;
  }
  const arrow = (cells, at, key, sign, label) => html`
    <button type="button" class="btn" data-go="${key}" aria-label="${label}" title="${label}" ${attr("disabled", !next(cells, at, STEPS[key]))}>
      <span class="turn ${key}">${icon(sign)}</span>
    </button>
  `;
  function draw(box, cells, at) {
    const { src, says } = cells[at[0]][at[1]];
    box.querySelector("h2").textContent = says;
    box.setAttribute("aria-label", says);
    put(
      box.querySelector(".body"),
      html`
        <img class="large" src="${src}" alt="${says}" />
        <div class="acts turns">
          ${arrow(cells, at, "ArrowUp", "up", t("view.up"))}${arrow(cells, at, "ArrowDown", "up", t("view.down"))}
          <span class="sp"></span>
          <span class="muted num">${t("view.place", { at: number(at[1] + 1), n: number(cells[at[0]].length) })}</span>
          <span class="sp"></span>
          ${arrow(cells, at, "ArrowLeft", "up", t("view.left"))}${arrow(cells, at, "ArrowRight", "up", t("view.right"))}
        </div>
      `,
    );
  }
  /* Shows a cell of a table; the arrow keys show its neighbours. */
  function open(cells, row, column) {
    let at = [row, column];
    const ready = (box) => {
      const go = (key) => {
        const to = STEPS[key] && next(cells, at, STEPS[key]);
        if (!to) return;
        at = to;
        const focused = box.querySelector(":focus")?.dataset.go;
        draw(box, cells, at);
        (box.querySelector(`[data-go="${focused}"]:not(:disabled)`) ?? box.querySelector("[data-close]")).focus();
      };
      draw(box, cells, at);
      box.addEventListener("click", (event) => go(event.target.closest("[data-go]")?.dataset.go));
      box.addEventListener("keydown", (event) => {
        if (!STEPS[event.key]) return;
        event.preventDefault();
        go(event.key);
      });
    };
    dialog.open({ title: cells[row][column].says, wide: true, body: "", ready });
  }

  const beside = (pictures) => html`
    <div class="beside">
      ${pictures.map(
        ({ src, says }) => html`
          <figure>
            <img src="${src}" alt="${says}" />
            <figcaption>${says}</figcaption>
          </figure>
        `,
      )}
    </div>
  `;
  const over = ([one, two]) => html`
    <div class="over" style="--at:50%">
      <img src="${one.src}" alt="${one.says}" />
      <img src="${two.src}" alt="${two.says}" />
      <input type="range" min="0" max="100" value="50" aria-label="${t("view.slider")}" />
    </div>
    <div class="ends">
      <span>${one.says}</span>
      <span>${two.says}</span>
    </div>
  `;
  /* Several pictures beside each other; two of the same shape may also lie over each other. */
  function compare(pictures) {
    const way = (name) => html`
      <label>
        <input type="radio" name="view-way" value="${name}" ${attr("checked", name === "beside")} />
        ${t(`view.${name}`)}
      </label>
    `;
    const body = html`
      ${
        pictures.length === 2
          ? html`
              <div class="kg-seg" role="radiogroup" aria-label="${t("view.way")}">${way("beside")}${way("over")}</div>
            `
          : ""
      }
      <div class="shown">${beside(pictures)}</div>
    `;
    const ready = (box) => {
      box.classList.add("full");
      box.addEventListener("change", ({ target }) => {
        if (target.name === "view-way") put(box.querySelector(".shown"), target.value === "over" ? over(pictures) : beside(pictures));
      });
      box.addEventListener("input", ({ target }) => {
        if (target.type === "range") box.querySelector(".over").style.setProperty("--at", `${target.value}%`);
      });
    };
    dialog.open({ title: t("view.compared", { n: pictures.length }), wide: true, body, ready });
  }
  return { open, compare };
})();
