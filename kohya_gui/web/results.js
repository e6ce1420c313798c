/* What a run left: samples, saved files, skipped items, tables. */
"use strict";
Studio.results = (() => {
  const { html, t, has, dialog, number, bytes, fileUrl } = Studio;

  /* One row a prompt, one column a step: the latest four. */
  function samples(all) {
    const steps = [...new Set(all.map((one) => one.step))].sort((a, b) => a - b).slice(-4);
    const prompts = [...new Set(all.map((one) => one.index))].sort((a, b) => a - b);
    const at = (index, step) => all.find((one) => one.index === index && one.step === step);
    const cell = (one) =>
      one
        ? html`
            <button
              type="button"
              data-sample="${fileUrl(one.url)}"
              data-says="${`${one.prompt}${t("field.comma")}${t("run.step", { step: number(one.step) })}`}"
              aria-label="${t("run.enlarge", { prompt: one.prompt, step: number(one.step) })}"
            >
              <img loading="lazy" alt="" src="${fileUrl(one.url)}" />
            </button>
          `
        : html`
            <span></span>
          `;
    const columns = `grid-template-columns:78px repeat(${Math.max(3, steps.length)},minmax(0,1fr))`;
    return html`
      <div class="hd"><h2>${t("run.samples")}</h2></div>
      <div class="smp">
        <div class="r h" style="${columns}">
          <span></span>
          ${steps.map(
            (step) => html`
              <span class="muted">${t("run.step", { step: number(step) })}</span>
            `,
          )}
        </div>
        ${prompts.map(
          (index) => html`
            <div class="r" style="${columns}">
              <span class="p">${all.find((one) => one.index === index).prompt}</span>
              ${steps.map((step) => cell(at(index, step)))}
            </div>
          `,
        )}
      </div>
    `;
  }
  const saved = (files) => html`
    <div class="hd"><h2>${t("run.saved")}</h2></div>
    <ul class="files">
      ${files
        .slice(-40)
        .reverse()
        .map(
          (one) => html`
            <li title="${one.path}">
              <span class="path">${one.path.split(/[\\/]/).pop()}</span>
              <span class="sp"></span>
              <span class="muted num">${bytes(one.size_bytes)}</span>
            </li>
          `,
        )}
    </ul>
  `;
  const skipped = ({ failures, notices }) => html`
    ${
      failures?.length
        ? html`
            <div class="hd"><h2>${t("run.skipped", { n: failures.length })}</h2></div>
            <ul class="files bad">
              ${failures.slice(0, 200).map(
                (one) => html`
                  <li>
                    <span class="path" title="${one.item}">${one.item.split(/[\\/]/).pop()}</span>
                    <span class="muted">${one.reason}</span>
                  </li>
                `,
              )}
            </ul>
          `
        : ""
    }${
      notices?.length
        ? html`
            <div class="hd"><h2>${t("run.notices")}</h2></div>
            <ul class="files bad">
              ${notices.map(
                (one) => html`
                  <li><span>${one.text ?? one}</span></li>
                `,
              )}
            </ul>
          `
        : ""
    }
  `;
  const tables = (all) =>
    Object.entries(all).map(([name, rows]) => (name === "buckets" ? Studio.buckets(rows) : table(name, rows)));
  const heading = (key) => (has(`column.${key}`) ? t(`column.${key}`) : key.replace(/_/g, " "));
  const table = (name, rows) => html`
    <div class="hd"><h2>${heading(name)}</h2></div>
    <div class="scroll">
      <table class="tab">
        <thead>
          <tr>
            ${Object.keys(rows[0] ?? {}).map(
              (key) => html`
                <th>${heading(key)}</th>
              `,
            )}
          </tr>
        </thead>
        <tbody>
          ${rows.slice(0, 200).map(
            (row) => html`
              <tr>
                ${Object.values(row).map(
                  (value) => html`
                    <td>${value}</td>
                  `,
                )}
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
  `;

  function enlarge(url, says) {
    dialog.open({
      title: says,
      wide: true,
      body: html`
        <img class="big" src="${url}" alt="${says}" />
      `,
    });
  }

  return { samples, saved, skipped, tables, enlarge };
})();
