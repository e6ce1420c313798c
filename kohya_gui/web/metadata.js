/* The Metadata tab: three cards, in the order in which they are run. */
"use strict";
Studio.view("metadata", (place) => {
  const { html, put, t, data, form, rail } = Studio;
  put(
    place,
    html`
      <div class="kg-steps">
        ${data.tabs.metadata.map(
          (stage, i) => html`
            <section class="kg-step" aria-labelledby="step-${stage}">
              <div class="hd">
                <span class="no" aria-hidden="true">${i + 1}</span>
                <h2 id="step-${stage}">${t(`stage.${stage}`)}</h2>
                <span class="muted">${t(`about.${stage}`)}</span>
              </div>
              <div class="kg-stage two">
                <div class="kg-fields" data-stage="${stage}"></div>
                <aside class="kg-rail" aria-label="${t("before_start")}${t("field.comma")}${t(`stage.${stage}`)}" data-stage="${stage}"></aside>
              </div>
            </section>
          `,
        )}
      </div>
    `,
  );
  for (const stage of data.tabs.metadata) {
    form.place(place.querySelector(`.kg-fields[data-stage="${stage}"]`), stage);
    rail.place(place.querySelector(`.kg-rail[data-stage="${stage}"]`), stage);
  }
});
