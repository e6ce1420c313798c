/* The bucket table of the last Latents run: below that tab's form, and in the run's monitor. */
"use strict";
Studio.buckets = (() => {
  const { html, patch, t, on, call, number, clock } = Studio;
  const MOST = 24;
  let place, stage;

  const size = (row) => row.bucket ?? `${row.width}x${row.height}`;
  function draw(rows, note = "") {
    const most = Math.max(...rows.map((row) => row.images), 1);
    return html`
      <div class="hd">
        <h2>${t(note ? "buckets.title" : "column.buckets")}</h2>
        <span class="muted">${note}</span>
      </div>
      <div class="scroll">
        <table class="tab buckets">
          <thead>
            <tr>
              <th>${t("buckets.size")}</th>
              <th colspan="2">${t("buckets.images")}</th>
              <th>${t("buckets.error")}</th>
            </tr>
          </thead>
          <tbody>
            ${rows.slice(0, MOST).map(
              (row) => html`
                <tr>
                  <td class="num">${String(size(row)).replace("x", " × ")}</td>
                  <td class="num">${number(row.images)}</td>
                  <td class="bar"><i style="width:${((row.images / most) * 100).toFixed(1)}%"></i></td>
                  <td class="num">${aspectError(row)}</td>
                </tr>
              `,
            )}
          </tbody>
        </table>
      </div>
      ${
        rows.length > MOST
          ? html`
              <p class="muted pad">${t("buckets.more", { n: rows.length - MOST })}</p>
            `
          : ""
      }
    `;
  }
  const aspectError = ({ mean_aspect_error: error }) => error?.toFixed(3) ?? "";

  async function refresh() {
    if (!place?.isConnected || stage !== "latents") return;
    const answer = await call("runs");
    const last = (answer.history ?? []).find((row) => row.stage === "latents" && row.state === "done");
    const run = last && (await call("run", { id: last.id, since_event: 0 }));
    const rows = run?.summary?.tables?.buckets;
    patch(
      place,
      rows?.length
        ? html`
            <section class="card">${draw(rows, t("buckets.of", { name: last.name, time: clock(last.ended) }))}</section>
          `
        : "",
    );
  }
  on("stage drawn", (drawn) => {
    if (drawn.stage !== "latents") return;
    place = drawn.extra;
    stage = drawn.stage;
    refresh();
  });
  on("runs changed", refresh);
  return draw;
})();
