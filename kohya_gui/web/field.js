/* One field of a form: its label, input, flag line and error. */
"use strict";
Studio.field = (() => {
  const { html, attr, icon, t, has, data, store, combo } = Studio;

  /* The words of an option: a stage, a family of models or a tab may have its own for a flag that others
     share. */
  function words(stage, flag, part) {
    const keys = [stage, data.trainers[stage]?.[1], data.tabOf[stage]].map((whose) => `stage_option.${whose}.${flag}.${part}`);
    const found = [...keys, `option.${flag}.${part}`].find(has);
    return found ? t(found) : "";
  }
  const label = (stage, flag) => words(stage, flag, "label");
  const unit = (field) => (field.unit && has(`unit.${field.unit}`) ? t(`unit.${field.unit}`) : (field.unit ?? ""));
  const id = (stage, flag) => `f-${stage}-${flag}`;

  function shownDefault(field) {
    if (field.kind === "bool") return t(field.default ? "field.on" : "field.off");
    const text = store.plain(field);
    return text === "" ? t("field.empty") : text;
  }
  function choice(stage, flag, value) {
    const field = store.fields(stage)[flag],
      empty = words(stage, flag, "empty") || t("field.automatic");
    const all = (field.optional || field.default === "" ? [""] : []).concat(field.choices.map(String));
    if (!all.includes(value)) all.push(value);
    return all.map(
      (one) => html`
        <option value="${one}" ${attr("selected", one === value)}>${one === "" ? empty : one}</option>
      `,
    );
  }
  function input(stage, flag, field, value) {
    const me = id(stage, flag),
      about = `${me}-s ${me}-e`;
    if (field.kind === "bool") {
      return html`
        <label class="sw" for="${me}">
          <input
            type="checkbox"
            role="switch"
            id="${me}"
            ${attr("checked", value)}
            aria-describedby="${about}"
            aria-label="${label(stage, flag)}"
          />
          ${
            words(stage, flag, "short")
              ? html`
                  <span aria-hidden="true">${words(stage, flag, "short")}</span>
                `
              : html`
                  <span class="is-on" aria-hidden="true">${t("field.on")}</span>
                  <span class="is-off muted" aria-hidden="true">${t("field.off")}</span>
                `
          }
        </label>
      `;
    }
    if (field.choices)
      return html`
        <select class="in" id="${me}" aria-describedby="${about}">
          ${choice(stage, flag, value)}
        </select>
      `;
    const keys = { int: "numeric", float: "decimal", number: "decimal" }[field.kind] ?? "text";
    /* What is typed is kept by the browser, so secrets are not typed here: the help says where they go. */
    const attributes = html`
      ${attr("readonly", field.secret)}
      value="${value}"
      placeholder="${store.plain(field) || words(stage, flag, "empty")}"
      type="${field.secret ? "password" : "text"}"
      inputmode="${keys}"
      spellcheck="false"
      autocomplete="off"
      aria-describedby="${about}"
      ${attr("aria-required", field.required && "true")}
    `;
    if (field.lines)
      return html`
        <textarea class="in" id="${me}" rows="4" spellcheck="false" aria-describedby="${about}">${value}</textarea>
      `;
    const box = field.suggested
      ? combo.draw(me, attributes, label(stage, flag), field.suggested)
      : html`
          <input class="in" id="${me}" ${attributes} />
        `;
    if (field.unit)
      return html`
        <div class="uin">
          ${box}
          <span aria-hidden="true">${unit(field)}</span>
        </div>
      `;
    if (field.path) {
      return html`
        <div class="pathrow">
          ${box}
          <button
            type="button"
            class="btn"
            data-browse
            aria-label="${t("field.browse", { label: label(stage, flag) })}"
          >
            ${icon("folder")}
          </button>
        </div>
      `;
    }
    return box;
  }

  function draw(stage, flag) {
    const field = store.fields(stage)[flag],
      me = id(stage, flag);
    const name = label(stage, flag),
      back = t("field.reset", { label: name });
    return html`
      <div class="f ${field.wide ? "w2" : ""}" data-flag="${flag}">
        <div class="l">
          <label for="${me}">
            ${name}${
              field.unit &&
              html`
                <span class="sr">(${unit(field)})</span>
              `
            }
          </label>
          <span class="from" hidden></span>
          <button type="button" class="reset" hidden aria-label="${back}" title="${back}">${icon("reset")}</button>
        </div>
        ${input(stage, flag, field, store.value(stage, flag))}
        <div class="sub" id="${me}-s">
          <span class="flag">${field.positional ? flag : `--${flag}`}</span>
          <span class="found"></span>
        </div>
        <div class="err" id="${me}-e" role="alert"></div>
      </div>
    `;
  }

  /* Shows where the value comes from, what the server found, or what is wrong. */
  function mark(box, stage, flag, { error, found }) {
    const from = store.link(stage, flag),
      typed = store.isTyped(stage, flag);
    const link = box.querySelector(".from");
    link.hidden = !from;
    link.textContent = from
      ? t("field.from", { source: has(`tab.${from.toLowerCase()}`) ? t(`tab.${from.toLowerCase()}`) : from })
      : "";
    box.querySelector(".reset").hidden = !typed;
    box.classList.toggle("bad", Boolean(error));
    Studio.patch(
      box.querySelector(".err"),
      error
        ? html`
            ${icon("warn")}
            <span>${error}</span>
          `
        : "",
    );
    const text = box.querySelector(".found");
    text.textContent = found ?? "";
    text.title = found ?? "";
    const place = box.querySelector(".in, input");
    place.setAttribute("aria-invalid", String(Boolean(error)));
    if (store.fields(stage)[flag].path) Studio.showEnd(place);
  }
  /* Puts a value from elsewhere (a preset, a link, a reset) into the input, unless it already stands there. */
  function fill(box, stage, flag) {
    const value = store.value(stage, flag),
      place = box.querySelector(".in, input");
    if (place.type === "checkbox") place.checked = value;
    else if (place.tagName === "SELECT") Studio.put(place, choice(stage, flag, value));
    else if (place.value !== value) place.value = value;
  }

  /* The options of all forms, for the search; those that are wanted. */
  const index = (wanted = () => true) =>
    Object.values(data.forms).flatMap((form) =>
      [...form.groups, ...form.sections].flatMap((place) =>
        place.flags
          .filter((flag) => wanted(form.stage, flag))
          .map((flag) => ({
            stage: form.stage,
            flag,
            section: place.name,
            label: label(form.stage, flag),
            help: words(form.stage, flag, "help"),
          })),
      ),
    );

  return { draw, mark, fill, label, words, shownDefault, index, id };
})();
