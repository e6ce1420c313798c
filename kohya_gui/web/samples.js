/* The samples of a run: one row a prompt, one column a step, or what drew it; enlarged by a click, or chosen to be
   compared. There may be several such tables. */
"use strict";
Studio.samplesTable = (title) => {
  const { html, attr, patch, icon, t, number, fileUrl, viewer } = Studio;
  let root,
    run = null, /* its id */
    table = null, /* {prompts, headings, cells} */
    picked = null; /* places "row,column", while they are chosen to be compared */

  const heading = (one) => one.label || t("run.step", { step: number(one.step) });
  const says = (one) => `${one.prompt}${t("field.comma")}${heading(one)}`;
  function tableOf(all) {
    const key = (one) => `${one.index} ${one.prompt}`;
    const steps = [...new Set(all.map((one) => one.step))].sort((a, b) => a - b);
    const keys = [...new Set(all.map(key))];
    const cells = keys.map((row) =>
      steps.map((step) => {
        const one = all.findLast((one) => key(one) === row && one.step === step);
        return one ? { src: fileUrl(one.url), says: says(one), prompt: one.prompt, heading: heading(one) } : null;
      }),
    );
    const headings = steps.map((step) => heading(all.find((one) => one.step === step)));
    return { prompts: keys.map((row) => all.find((one) => key(one) === row).prompt), headings, cells };
  }
  const cell = (one, row, column) => {
    if (!one) return html`<span></span>`;
    const place = `${row},${column}`;
    const label = t(picked ? "view.pick" : "run.enlarge", { prompt: one.prompt, step: one.heading });
    return html`
      <button type="button" data-cell="${place}" aria-label="${label}" ${attr("aria-pressed", picked && String(picked.has(place)))}>
        <img loading="lazy" alt="" src="${one.src}" />
        ${picked?.has(place) ? html`<span class="tick">${icon("ok")}</span>` : ""}
      </button>
    `;
  };
  function head() {
    const many = table.cells.flat().filter(Boolean).length > 1;
    return html`
      <div class="hd">
        <h2>${title()}</h2>
        <span class="muted">${picked ? t("view.choose") : ""}</span>
        <span class="sp"></span>
        ${
          picked
            ? html`
                <button type="button" class="btn sm quiet" data-samples="leave">${t("cancel")}</button>
                <button type="button" class="btn sm pri" data-samples="compare" ${attr("disabled", picked.size < 2)}>
                  ${t("compare.do")}
                </button>
              `
            : many
              ? html`
                  <button type="button" class="btn sm quiet" data-samples="pick">${t("compare.do")}</button>
                `
              : ""
        }
      </div>
    `;
  }
  function draw() {
    const { prompts, headings, cells } = table;
    const grid = root.querySelector(".smp"),
      atEnd = !grid || grid.scrollLeft + grid.clientWidth > grid.scrollWidth - 8,
      left = grid?.scrollLeft;
    patch(
      root,
      html`
        ${head()}
        <div class="smp" role="region" tabindex="0" aria-label="${title()}" style="--columns:${Math.max(3, headings.length)}">
          <div class="r h">
            <span class="p"></span>
            ${headings.map((one) => html`<span class="muted">${one}</span>`)}
          </div>
          ${prompts.map(
            (prompt, row) => html`
              <div class="r">
                <span class="p" title="${prompt}">${prompt}</span>
                ${cells[row].map((one, column) => cell(one, row, column))}
              </div>
            `,
          )}
        </div>
      `,
    );
    const drawn = root.querySelector(".smp");
    // The newest are what one waits for.
    if (drawn !== grid) drawn.scrollLeft = atEnd ? drawn.scrollWidth : left;
  }
  function place(element) {
    root = element;
    run = null;
    root.addEventListener("click", press);
  }
  function show(id, all) {
    root.hidden = !all?.length;
    if (id !== run) picked = null;
    run = id;
    if (root.hidden) return;
    table = tableOf(all);
    draw();
  }
  const DO = {
    pick: () => (picked = new Set()),
    leave: () => (picked = null),
    compare: () => viewer.compare([...picked].sort().map((place) => at(place))),
  };
  const at = (place) => {
    const [row, column] = place.split(",");
    return table.cells[row][column];
  };
  function press(event) {
    const { samples, cell: place } = event.target.closest("button")?.dataset ?? {};
    if (samples) DO[samples]();
    if (place && picked) picked[picked.has(place) ? "delete" : "add"](place);
    else if (place) viewer.open(table.cells, ...place.split(",").map(Number));
    if (samples || picked) draw();
  }
  return { place, show };
};
Studio.samples = Studio.samplesTable(() => Studio.t("run.samples"));
