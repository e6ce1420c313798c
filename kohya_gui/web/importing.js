/* Settings from elsewhere: a file of this computer, pasted text, or a model that lies with the server; and the report. */
"use strict";
Studio.importing = (() => {
  const { html, put, icon, t, call, dialog, field, difference } = Studio;
  const LONGEST_BYTES = 2_000_000;
  const LONGEST_HEADER_BYTES = 100_000_000;
  const LONGEST_FACT = 20_000;
  const STATES = ["changed", "left", "taken", "unused"];

  /* Asks for settings; resolves to the server's report, or null. */
  function open(stage) {
    const body = html`
      <form class="imp">
        <p class="muted">${t("import.help")}</p>
        <label class="drop">
          ${icon("file")}
          <span>${t("import.choose")}</span>
          <input type="file" class="sr" name="file" accept=".json,.toml,.txt,.sh,.bat,.cmd,.ps1,.safetensors" />
        </label>
        <label>
          <span>${t("import.paste")}</span>
          <textarea class="in mono" name="text" rows="6" spellcheck="false" placeholder="accelerate launch …"></textarea>
        </label>
        <label for="imp-path">${t("import.path")}</label>
        <div class="pathrow">
          <input class="in" id="imp-path" name="path" spellcheck="false" autocomplete="off" />
          <button type="button" class="btn" data-browse aria-label="${t("import.path_browse")}">${icon("folder")}</button>
        </div>
        <div class="err" role="alert"></div>
        <div class="acts">
          <button type="button" class="btn" data-close>${t("cancel")}</button>
          <button class="btn pri">${t("import.read")}</button>
        </div>
      </form>
    `;
    return dialog.open({ title: t("import.title"), body, ready: (box, close) => begin(box, close, stage) });
  }

  function begin(box, close, stage) {
    const { file, text, path } = box.querySelector("form").elements,
      drop = box.querySelector(".drop");
    const refuse = (sentence) =>
      put(
        box.querySelector(".err"),
        html`
          ${icon("warn")}
          <span>${sentence}</span>
        `,
      );
    async function send(name, args) {
      const answer = await call(name, args);
      if (answer.error) refuse(answer.error);
      else close(answer.report);
    }
    async function read(chosen) {
      try {
        await send("preset_import", { stage, file_name: chosen.name, text: await textOf(chosen) });
      } catch {
        refuse(t("import.unreadable", { name: chosen.name }));
      }
    }
    file.addEventListener("change", () => file.files[0] && read(file.files[0]));
    for (const [name, over] of [
      ["dragover", true],
      ["dragleave", false],
      ["drop", false],
    ])
      drop.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.toggle("over", over);
      });
    drop.addEventListener("drop", (event) => event.dataTransfer.files[0] && read(event.dataTransfer.files[0]));
    box.querySelector("[data-browse]").addEventListener("click", async () => {
      const found = await Studio.browse({ path: path.value, kind: "model", title: t("import.path") });
      if (found) path.value = found;
    });
    box.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (text.value.trim() || !path.value.trim()) send("preset_import", { stage, text: text.value });
      else send("preset_import_model", { path: path.value });
    });
  }

  /* A file's text; of a model only its header, so that files of any size are quick. */
  async function textOf(file) {
    if (file.name.toLowerCase().endsWith(".safetensors")) return JSON.stringify({ __metadata__: await headerOf(file) });
    if (file.size > LONGEST_BYTES) throw new Error("too long");
    return file.text();
  }
  async function headerOf(file) {
    const length = Number(new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true));
    if (length > Math.min(file.size, LONGEST_HEADER_BYTES)) throw new Error("no header");
    const metadata = JSON.parse(await file.slice(8, 8 + length).text()).__metadata__ ?? {};
    return Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, brief(key, value)]));
  }
  /* Lists of all tags are no settings, and may be long. */
  function brief(key, value) {
    const kept = key === "ss_datasets" ? value.replace(/"tag_frequency": \{(?:[^{}]|\{[^{}]*\})*\}/g, '"tag_frequency": {}') : value;
    return kept.length > LONGEST_FACT ? "…" : kept;
  }

  /* What became of every value; of those that were not taken, all with the same reason stand together. */
  function report({ stage, about, lines }) {
    const of = (state) => lines.filter((line) => line.state === state);
    return html`
      <div class="rep">
        ${about.map(
          (text) => html`
            <p class="c-warn">${icon("warn")} ${text}</p>
          `,
        )}
        ${STATES.filter((state) => of(state).length).map(
          (state) => html`
            <details ${state === "changed" || state === "left" ? "open" : ""} data-state="${state}">
              <summary>${t(`import.${state}`, { n: of(state).length })}</summary>
              ${state === "taken" || state === "changed" ? of(state).map((line) => became(stage, line)) : reasons(of(state))}
            </details>
          `,
        )}
      </div>
    `;
  }
  const became = (stage, { key, given, flag, value, why }) => html`
    <div class="line">
      <code>${key}</code>
      <span class="muted">${given}</span>
      →
      <b>${field.label(stage, flag)}: ${difference.say(value)}</b>
      ${
        why &&
        html`
          <small class="muted">${why}</small>
        `
      }
    </div>
  `;
  function reasons(lines) {
    return [...grouped(lines)].map(
      ([why, all]) => html`
        <div class="line">
          <span>${why}</span>
          ${all.map(
            ({ key, given }) => html`
              <code>
                ${key}${
                  given &&
                  html`
                    <span class="muted">${given}</span>
                  `
                }
              </code>
            `,
          )}
        </div>
      `,
    );
  }
  function grouped(lines) {
    const found = new Map();
    for (const line of lines) found.set(line.why, [...(found.get(line.why) ?? []), line]);
    return found;
  }
  return { open, report };
})();
