/* The summary beside Start: figures, what each rests on, and its parts for whoever opens it. */
"use strict";
Studio.summary = (() => {
  const { html, attr, patch } = Studio;
  const MOST = 40;
  const open = new Set(); /* names of figures whose parts are shown; they stay open while figures change */

  const parts = (rows) => html`
    <dl class="parts">
      ${rows.slice(0, MOST).map(
        ([name, value]) => html`
          <dt>${name}</dt>
          <dd>${value}</dd>
        `,
      )}
      ${
        rows.length > MOST
          ? html`
              <dt>…</dt>
              <dd></dd>
            `
          : ""
      }
    </dl>
  `;
  const line = ({ name, value }) => html`
    <span class="k">${name}</span>
    <span class="v">${value}</span>
  `;
  const fact = (one) => html`
    <div class="fact">
      ${
        one.rows.length
          ? html`
              <details data-fact="${one.name}" ${attr("open", open.has(one.name))}>
                <summary class="line">${line(one)}</summary>
                ${parts(one.rows)}
              </details>
            `
          : html`
              <div class="line">${line(one)}</div>
            `
      }
      ${
        one.offer
          ? html`
              <div class="offer">
                <p class="basis">${one.note}</p>
                <button type="button" class="btn sm" data-do="fit">${one.offer}</button>
              </div>
            `
          : one.note &&
            html`
              <p class="basis">${one.note}</p>
            `
      }
    </div>
  `;

  const remember = (parts) => open[parts.open ? "add" : "delete"](parts.dataset.fact);
  function draw(place, facts) {
    /* What was opened a moment ago may not have been heard of yet. */
    place.querySelectorAll("details").forEach(remember);
    patch(place, facts.map(fact));
  }
  const attend = (place) => place.addEventListener("toggle", ({ target }) => remember(target), true);
  return { draw, attend };
})();
