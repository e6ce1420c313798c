/* A run in the lists of the Runs tab: what it is, how it stands, and where it can be moved. */
"use strict";
Studio.runRow = (() => {
  const { html, attr, icon, t, clock, duration } = Studio;

  function right(row) {
    const { progress } = row;
    if (row.state === "running" && progress?.total) return `${Math.floor((progress.done / progress.total) * 100)}%`;
    return "";
  }
  function below(row) {
    if (row.state === "running" && row.progress?.eta_s != null)
      return t("left", { time: duration(row.progress.eta_s) });
    return row.ended ? clock(row.ended) : "";
  }
  const waits = (row) => row.state === "waiting" && Boolean(row.why);
  const pickable = (row) => row.state !== "waiting";
  /* The runs of a chain stand together: a line joins them. */
  function joint(row, rows, i) {
    const same = (other) => other?.chain && other.chain === row.chain;
    return `${same(rows[i - 1]) ? "after " : ""}${same(rows[i + 1]) ? "before" : ""}`;
  }
  /* For fingers, which drag nothing: shown where there is no mouse. */
  const place = (row, to) => html`
    <button type="button" class="btn sm quiet place" data-place="${to}" data-of="${row.id}" aria-label="${t(`run.${to}_name`, { name: row.name })}">
      ${icon(to === "up" ? "higher" : "down")}
    </button>
  `;
  /* `rows`: the list that it stands in; `chosen`: the run that is shown; `picked`: ids for a comparison, or null. */
  const draw = (row, i, rows, { chosen, picked }) => html`
    <div class="row ${joint(row, rows, i)}" data-row="${row.id}" ${attr("draggable", row.state === "waiting" && "true")}>
      ${
        picked && pickable(row)
          ? html`
              <input
                type="checkbox"
                data-pick="${row.id}"
                ${attr("checked", picked.has(row.id))}
                aria-label="${t("compare.pick", { name: row.name })}"
              />
            `
          : ""
      }
      <button
        type="button"
        class="run"
        data-run="${row.id}"
        tabindex="${row.id === chosen ? 0 : -1}"
        aria-current="${row.id === chosen}"
        ${attr("aria-keyshortcuts", row.state === "waiting" && "Alt+ArrowUp Alt+ArrowDown")}
      >
        <span class="t">
          <span>
            ${
              row.starred
                ? html`
                    <span class="starred">
                      ${icon("star")}
                      <span class="sr">${t("history.is_starred")}</span>
                    </span>
                  `
                : ""
            }
            ${row.name}
            <small class="muted">${row.title}</small>
          </span>
          <span class="muted">${right(row)}</span>
        </span>
        <span class="s">
          <span class="st ${row.state}" ${attr("title", waits(row) && row.why)}>${waits(row) ? row.why : row.word}</span>
          <span>${below(row)}</span>
        </span>
        ${row.note && html`<span class="n">${row.note}</span>`}
      </button>
      ${row.state === "waiting" ? [place(row, "up"), place(row, "down")] : ""}
      <button
        type="button"
        class="btn sm quiet more"
        data-menu="${row.id}"
        tabindex="${row.id === chosen ? 0 : -1}"
        aria-haspopup="menu"
        aria-label="${t("run.actions", { name: row.name })}"
      >
        ${icon("dots")}
      </button>
    </div>
  `;

  return { draw, pickable };
})();
