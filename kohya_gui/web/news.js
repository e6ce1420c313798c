/* How a run goes, in words and figures: its head with what can be asked of it, trouble, phases, facts. */
"use strict";
Studio.news = (() => {
  const { html, attr, icon, t, chart, number, short, duration, clock, asDate } = Studio;
  const rounded = (value) => short(Number(value.toPrecision(3)));
  const LIVE = ["running", "stalled", "paused"];
  const live = (row) => LIVE.includes(row.state);

  function top({ row, ways_on: ways, branch }) {
    const running = live(row),
      training = row.stage in Studio.data.trainers;
    const ask = (request, sign, tone = "") => html`
      <button type="button" class="btn sm ${tone}" data-request="${request}">
        ${icon(sign)}${t(`run.${request}`)}
      </button>
    `;
    const form = row.stage in Studio.data.forms;
    const act = (name, label, { sign, to, tone = "" } = {}) => html`
      <button type="button" class="btn sm ${tone}" data-act="${name}" ${attr("data-to", to)}>
        ${sign ? icon(sign) : ""}${t(label)}
      </button>
    `;
    const meta = [
      row.title,
      row.devices?.join(t("field.comma")),
      row.started && t("run.started", { time: clock(row.started) }),
      row.ended && row.started && t("run.took", { time: duration((asDate(row.ended) - asDate(row.started)) / 1000) }),
      row.exit_code != null && t("run.exit", { code: row.exit_code }),
    ];
    return html`
      <div class="top">
        <h2>${row.name}</h2>
        <button
          type="button"
          class="btn sm quiet star"
          data-act="star"
          aria-pressed="${String(row.starred)}"
          aria-label="${t("run.star")}"
        >
          ${icon("star")}
        </button>
        <span class="st ${row.state}">${row.word}</span>
        <span class="muted meta">${meta.filter(Boolean).join(t("field.comma"))}</span>
        <span class="sp"></span>
        ${running && training ? [ask("sample", "camera"), ask("save", "save"), ask("stop_after_epoch", "flag")] : ""}
        ${running ? ask("stop", "stop", "danger") : ""}
        ${
          row.state === "waiting"
            ? [
                act("move", "run.first", { sign: "next", to: "first" }),
                form && act("edit", "run.edit", { sign: "edit" }),
                act("remove", "run.cancel", { sign: "cross", tone: "danger" }),
              ]
            : ""
        }
        ${["failed", "stopped", "cancelled"].includes(row.state) ? act("again", "run.retry", { tone: ways?.length ? "" : "pri" }) : ""}
        ${goOn(ways, row.state === "done" ? "" : "pri")}${row.state === "done" ? [next(row), act("again", "run.again")] : ""}${
          row.state !== "waiting" && form
            ? act("settings", row.state === "failed" ? "run.with_changes" : "run.settings", { tone: row.state === "failed" ? "" : "hide-s" })
            : ""
        }
        <button type="button" class="btn sm quiet" data-more aria-haspopup="menu" aria-label="${t("more")}">
          ${icon("dots")}
        </button>
      </div>
      ${
        ["waiting", "stopped", "cancelled"].includes(row.state) &&
        row.why &&
        html`
          <p class="muted why">${row.why}</p>
        `
      }
      ${
        row.note &&
        html`
          <p class="note">${row.note}</p>
        `
      }
      ${branch ? branched(branch) : ""}
    `;
  }
  /* A training that has ended goes on in one of several ways. Where it did not come to its end, that is what is wanted. */
  function goOn(ways, tone) {
    return ways?.length
      ? html`
          <button type="button" class="btn sm ${tone}" data-ways aria-haspopup="menu">${t("run.go_on")}</button>
        `
      : "";
  }
  /* What a branch goes on from, and each setting that it changed. */
  function branched({ state, step, changes }) {
    const rows = Object.entries(changes);
    return html`
      <div class="branched">
        ${t("run.branched", { step: number(step) })}
        <span class="mono">${state}</span>
        ${
          rows.length
            ? html`
                <ul>
                  ${rows.map(
                    ([flag, [before, after]]) => html`
                      <li>
                        <span class="mono">${flag}</span>
                        ${Studio.difference.say(before)} → ${Studio.difference.say(after)}
                      </li>
                    `,
                  )}
                </ul>
              `
            : t("run.branched_same")
        }
      </div>
    `;
  }
  const NEXT = { caption: "tag", tag: "metadata", metadata: "latents", latents: "train" };
  function next(row) {
    const tab = NEXT[Studio.stage.tabOf(row.stage)];
    return tab
      ? html`
          <button type="button" class="btn sm pri" data-tab="${tab}">${t("run.next", { tab: t(`tab.${tab}`) })}</button>
        `
      : "";
  }
  const changed = (changes) =>
    Object.entries(changes)
      .map(([flag, value]) => `${flag} ${Studio.difference.say(value)}`)
      .join(t("field.comma"));
  /* It waits for a place to write to: what stands in the way, and the three ways out. */
  const pause = ({ kind, title, text, elsewhere }) => html`
    <div class="stall" role="alert">
      ${icon("warn")}
      <div>
        <h2>${title}</h2>
        <p>${text}</p>
        <p>${t("pause.kept")}</p>
        <p class="acts">
          ${
            kind === "pictures"
              ? ""
              : html`
                  <button type="button" class="btn sm pri" data-request="try_again">${t("run.try_again")}</button>
                `
          }
          ${
            elsewhere
              ? html`
                  <button type="button" class="btn sm" data-elsewhere>${t("pause.elsewhere")}</button>
                `
              : ""
          }
          <button type="button" class="btn sm danger" data-request="stop">${icon("stop")}${t(kind === "pictures" ? "stop" : "pause.leave")}</button>
        </p>
      </div>
    </div>
  `;
  function failure({ row, failure: trouble, saved: files, paused }) {
    if (paused) return pause(paused);
    if (row.state === "stalled")
      return html`
        <div class="stall">
          ${icon("warn")}
          <p>${row.why}</p>
        </div>
      `;
    if (!trouble) return "";
    const kept = (files ?? []).filter((one) => one.kind === "model").length;
    const option = trouble.option && Studio.data.forms[row.stage]?.fields[trouble.option];
    return html`
      <div class="fail" role="alert">
        ${icon("warn")}
        <div>
          <h2>${trouble.sentence}</h2>
          <p>${kept ? t("run.kept", { n: kept }) : t("run.kept_nothing")}</p>
          ${
            trouble.remedies?.length
              ? html`
                  <h3>${t("run.try")}</h3>
                  <div class="remedies">
                    ${trouble.remedies.map(
                      (one, i) => html`
                        <button type="button" class="btn" data-remedy="${i}" title="${changed(one.changes)}">
                          ${one.label}<small>${one.help}</small>
                        </button>
                      `,
                    )}
                  </div>
                `
              : ""
          }
          ${
            option
              ? html`
                  <p>
                    <button type="button" class="btn sm" data-stage="${row.stage}" data-option="${trouble.option}">
                      ${t("run.go_option", { label: Studio.field.label(row.stage, trouble.option) })}
                    </button>
                  </p>
                `
              : ""
          }
          ${
            trouble.tail
              ? html`
                  <div class="hd">
                    <h3>${t("run.tail")}</h3>
                    <span class="sp"></span>
                    <button type="button" class="btn sm quiet" data-tail="log">${t("run.full_log")}</button>
                    <button type="button" class="btn sm quiet" data-tail="copy">${icon("copy")}${t("copy")}</button>
                  </div>
                  <pre role="region" tabindex="0" aria-label="${t("run.tail")}">${trouble.tail}</pre>
                `
              : ""
          }
        </div>
      </div>
    `;
  }
  function phases({ phases: all, row }) {
    if (!all?.length) return "";
    return html`
      <div class="card phs">
        ${all.map((phase) => {
          const now = phase.state === "running" && LIVE.includes(row.state),
            counted = phase.total
              ? t("run.of", { done: number(phase.done ?? 0), total: number(phase.total) })
              : phase.done
                ? number(phase.done)
                : "";
          const ahead = phase.state === "waiting" ? t("run.ahead") : "",
            left = now && phase.eta_s != null ? t("left", { time: duration(phase.eta_s) }) : "",
            rate = now && phase.rate_per_s ? t("run.rate", { rate: rounded(phase.rate_per_s) }) : "",
            took = !now && phase.seconds != null ? duration(phase.seconds) : "";
          const mark =
            phase.state === "done"
              ? html`
                  <span class="c-ok">${icon("ok")}</span>
                `
              : phase.state === "failed"
                ? html`
                    <span class="c-err">${icon("warn")}</span>
                  `
                : "";
          return html`
            <div class="ph ${now ? "now" : ""} ${ahead ? "ahead" : ""}">
              <div class="t">${mark}${phase.title}</div>
              <div class="d">
                ${[counted, rate, left, took, ahead].filter(Boolean).join(t("field.comma")) || (now ? t("run.working") : "")}
              </div>
              ${
                now && phase.total
                  ? html`
                      <div class="meter"><i style="width:${((phase.done / phase.total) * 100).toFixed(1)}%"></i></div>
                    `
                  : ""
              }
            </div>
          `;
        })}
      </div>
    `;
  }
  /* While it runs, as in the run bar; afterwards where the curve ends. */
  const smoothed = (row, metrics) => row.loss ?? chart.smooth(metrics.loss.map(asNumber)).at(-1);
  /* A loss that was no number comes as null. */
  const asNumber = (value) => (value === null ? NaN : value);
  const lastOf = (values) => values?.findLast((one) => Number.isFinite(one));
  function facts({ metrics, last: { row, times } }) {
    const { progress } = row,
      found = [];
    const add = (value, name) =>
      found.push(html`
        <div>
          <b>${value}</b>
          <span>${name}</span>
        </div>
      `);
    if (progress?.total) add(number(progress.done), t("run.fact_of", { total: number(progress.total) }));
    if (progress?.eta_s != null && LIVE.includes(row.state)) {
      const end = new Date(Date.now() + progress.eta_s * 1000).toLocaleTimeString(Studio.page.lang, {
        hour: "2-digit",
        minute: "2-digit",
        hour12: false,
      });
      add(duration(progress.eta_s), t("run.fact_eta", { end }));
    }
    if (metrics.loss?.length) add(smoothed(row, metrics).toFixed(4), t("run.fact_loss"));
    if (lastOf(metrics.lr) !== undefined) add(short(lastOf(metrics.lr)), t("run.fact_lr"));
    // A step's time and memory have a card of their own.
    if (progress?.rate_per_s && LIVE.includes(row.state) && !times?.step_s)
      add(
        progress.rate_per_s < 1 ? `${rounded(1 / progress.rate_per_s)} s` : `${rounded(progress.rate_per_s)}/s`,
        t(progress.rate_per_s < 1 ? "run.fact_each" : "run.fact_rate"),
      );
    if (lastOf(metrics.grad_norm) !== undefined) add(short(lastOf(metrics.grad_norm)), t("run.fact_grad"));
    return found.length
      ? html`
          <div class="card facts">${found}</div>
        `
      : "";
  }

  return { top, live, failure, phases, facts, lastOf, asNumber };
})();
