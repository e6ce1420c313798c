/* The whole pipeline, on the Project tab: how far each stage is, what is switched on, and the start of it all. */
"use strict";
Studio.plan = (() => {
  const { html, attr, icon, t, call, store, dialog, findings, fire, data, kept, keep } = Studio;
  const STAGE_TABS = ["caption", "tag", "metadata", "latents", "train"];
  let wanted = { caption: "blip", tagger: "wd14", clean: true, ...kept("studio.plan", {}) };

  const pick = (name, values) => html`
    <div class="kg-seg sm" role="radiogroup" aria-label="${t(`plan.${name}`)}">
      ${values.map(
        (one) => html`
          <label>
            <input type="radio" name="plan-${name}" value="${one}" ${attr("checked", one === wanted[name])} />
            ${t(`plan.${one}`)}
          </label>
        `,
      )}
    </div>
  `;
  const toggle = (name) => html`
    <label class="sw">
      <input
        type="checkbox"
        role="switch"
        name="plan-${name}"
        ${attr("checked", wanted[name])}
        aria-label="${t(`plan.${name}`)}"
      />
      <span aria-hidden="true">${t("plan.clean_on")}</span>
    </label>
  `;
  const row = (tab, control) => html`
    <li data-tab="${tab}">
      <span class="mark"></span>
      <button type="button" class="name" data-do="goto" data-tab="${tab}">${t(`tab.${tab}`)}</button>
      <span class="what muted"></span>
      <span class="sp"></span>
      ${control}
    </li>
  `;
  const always = () => html`
    <span class="muted always"></span>
  `;
  /* The training is the one that its tab shows; not all of them read prepared latents. */
  function drawTraining() {
    const train = Studio.stage.current("train");
    const say = (tab, text) => document.querySelectorAll(`.plan [data-tab="${tab}"] .always`).forEach((one) => (one.textContent = text));
    say("train", t(`stage.${train}`));
    say("latents", t(data.without_latents.includes(train) ? "plan.in_training" : "plan.always"));
  }
  Studio.on("stage", drawTraining);
  function draw() {
    found = [];
    requestAnimationFrame(drawTraining);
    return frame();
  }
  const frame = () => html`
    <section class="card pad" aria-labelledby="pl-title">
      <div class="hd"><h2 id="pl-title">${t("plan.title")}</h2></div>
      <p class="muted">${t("plan.help")}</p>
      <ol class="plan">
        ${row("caption", pick("caption", ["blip", "git", "none"]))}${row("tag", pick("tagger", ["wd14", "deepdanbooru", "none"]))}
        ${row("metadata", toggle("clean"))}${row("latents", always())}${row("train", always())}
      </ol>
      <div class="acts">
        <button type="button" class="btn pri" data-do="pipeline">${icon("play")}${t("plan.start")}</button>
        <button type="button" class="btn" data-do="anyway" hidden>${t("start_anyway")}</button>
      </div>
      <ul class="finds" data-plan tabindex="-1" aria-live="polite"></ul>
    </section>
  `;
  /* `tabs`: how far the project is, by tab. */
  function mark(root, tabs) {
    for (const tab of STAGE_TABS) {
      const line = root.querySelector(`.plan [data-tab="${tab}"]`);
      if (!line) continue;
      line.dataset.state = tabs[tab] ?? "todo";
      line.querySelector(".what").textContent = t(`mark.${tabs[tab] ?? "todo"}`);
    }
  }
  let found = []; /* what stands against the start, as it was last said */
  function drawFound(root) {
    const list = root.querySelector("[data-plan]"),
      wrong = found.some((one) => one.level === "error");
    if (!list.dataset.attended) {
      list.dataset.attended = "yes";
      findings.attend(list, null, (at) => {
        found = found.filter((_, i) => i !== at);
        drawFound(root);
      });
    }
    findings.draw(list, found, null);
    root.querySelector("[data-do=anyway]").hidden = wrong || !found.length;
  }
  function say(root, findings_said) {
    found = findings_said;
    drawFound(root);
  }
  /* `anyway`: in spite of the warnings that are shown. */
  async function start(root, anyway = false) {
    const confirm = anyway ? found.filter((one) => one.level === "warning").map((one) => one.text) : [];
    const values = Object.fromEntries(Object.keys(data.forms).map((one) => [one, store.typed(one)]));
    const answer = await call("pipeline", { project: store.state.project, skip: [], ...wanted, train: Studio.stage.current("train"), values, confirm });
    const refused = answer.error && [{ level: "error", field: null, text: answer.error, fixes: [] }];
    say(root, refused || answer.findings || []);
    if (dialog.trouble(answer) || answer.findings) return;
    fire("started", answer.chain[0]);
    fire("show run", answer.chain[0]);
  }
  /* A switch of the plan was moved: it is kept for the next time, and what stood against the start is asked anew. */
  function choose(root, input) {
    const chosen = input.name?.match(/^plan-(.+)/)?.[1];
    if (!chosen) return;
    wanted = { ...wanted, [chosen]: input.type === "checkbox" ? input.checked : input.value };
    keep("studio.plan", wanted);
    say(root, []);
  }
  return { draw, mark, start, choose };
})();
