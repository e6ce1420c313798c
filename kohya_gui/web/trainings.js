/* What is trained, of which family of models: two switches, which together name a stage. */
"use strict";
Studio.trainings = (() => {
  const { html, attr, t, data } = Studio;
  const all = Object.entries(data.trainers).map(([stage, [method, family]]) => ({ stage, method, family }));
  const families = [...new Set(all.map((one) => one.family))];
  const factsOf = (stage) => all.find((one) => one.stage === stage);
  const within = (family) => all.filter((one) => one.family === family);

  /* The training of another family by the same method; where there is none, the first one of that family. */
  function ofFamily(stage, family) {
    const { method } = factsOf(stage);
    return (within(family).find((one) => one.method === method) ?? within(family)[0]).stage;
  }
  const segments = (name, label, values, chosen) => html`
    <div class="kg-seg" role="radiogroup" aria-label="${label}">
      ${values.map(
        ([value, word]) => html`
          <label>
            <input type="radio" name="${name}" value="${value}" ${attr("checked", value === chosen)} />
            ${word}
          </label>
        `,
      )}
    </div>
  `;
  function draw(stage) {
    const { family } = factsOf(stage),
      here = within(family);
    const missing = [...new Set(all.map((one) => one.method))].filter((one) => !here.some(({ method }) => method === one));
    const methods = missing.map((one) => t(`train_method.${one}`)).join(t("field.comma"));
    const names = families.map((one) => [one, t(`family.${one}`)]);
    return html`
      <h2 class="sr">${t(`stage.${stage}`)}</h2>
      <div class="kg-bar kg-switch">
        ${segments("family", t("method.family"), names, family)}
        ${segments(
          "method-train",
          t("method.train"),
          here.map((one) => [one.stage, t(`train_method.${one.method}`)]),
          stage,
        )}
        <span class="muted">
          ${t(`about.${stage}`)}
          ${missing.length ? t("family.without", { family: t(`family.${family}`), methods }) : ""}
        </span>
      </div>
    `;
  }
  return { draw, ofFamily };
})();
