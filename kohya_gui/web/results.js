/* What a run left: saved files, skipped items, tables. */
"use strict";
Studio.results = (() => {
  const { html, t, has, bytes } = Studio;

  /* Saved twice under one name is one file; what was removed since, to make room or by hand, is none. */
  const kept = (files) => [...new Map(files.map((one) => [one.path, one])).values()].filter((one) => !one.gone);
  const saved = (files) => html`
    <div class="hd">
      <h2>${t("run.saved")}</h2>
      <span class="muted num">
        ${t(kept(files).length === 1 ? "run.saved_of_one" : "run.saved_of", { n: kept(files).length, size: bytes(kept(files).reduce((sum, one) => sum + one.size_bytes, 0)) })}
      </span>
    </div>
    <ul class="files">
      ${files
        .slice(-40)
        .reverse()
        .map(
          (one) => html`
            <li title="${one.path}" class="${one.gone ? "gone" : ""}">
              <span class="path">${one.path.split(/[\\/]/).pop()}</span>
              <span class="sp"></span>
              <span class="muted num">${one.gone ? t("run.gone") : bytes(one.size_bytes)}</span>
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
  /* One without rows says nothing, nor does its heading. */
  const tables = (all) =>
    Object.entries(all)
      .filter(([, rows]) => rows.length)
      .map(([name, rows]) => (name === "buckets" ? Studio.buckets(rows) : table(name, rows)));
  const word = (key, otherwise) => (has(key) ? t(key) : otherwise);
  const heading = (key) => word(`column.${key.replace(/ /g, "_")}`, key.replace(/_/g, " "));
  const table = (name, rows) => html`
    <div class="hd"><h2>${heading(name)}</h2></div>
    <div class="scroll">
      <table class="tab">
        <thead>
          <tr>
            ${Object.keys(rows[0]).map(
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
                    <td>${word(`cell.${name}.${value}`, value)}</td>
                  `,
                )}
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
  `;

  return { saved, skipped, tables };
})();
