/* The form of a stage: groups of essentials, folded sections, rules of visibility, marks and jumps. */
"use strict";
Studio.form = (() => {
  const { html, put, icon, t, on, fire, data, store, check, field, recent } = Studio;
  const forms = {};
  const trouble = {}; /* stage -> {flag: {error, found}} as the server last said */
  const named = {}; /* stage -> flags that errors and warnings speak of */
  const finished = {}; /* stage -> flags of paths that were typed to their end: recent ones once they are found */
  const strict = new Set(); /* stages whose Start was pressed: from then on, what is missing is marked too */

  const listed = (form) => [...form.groups, ...form.sections];
  const name = (place) => t(`section.${place.name}`);

  const RULES = {
    never: () => false,
    any: (stage, rule) => rule.any.some((one) => holds(stage, one)),
    all: (stage, rule) => rule.all.every((one) => holds(stage, one)),
    is: (stage, rule) => rule.is.includes(String(store.value(stage, rule.flag))),
    given: (stage, rule) => {
      const value = store.value(stage, rule.flag);
      /* 0 is no share, and no time. */
      return (value !== "" && value !== false && Number(value) !== 0) === rule.given;
    },
  };
  const holds = (stage, rule) => RULES[Object.keys(RULES).find((kind) => kind in rule)](stage, rule);
  /* Somebody looked for it, or a finding speaks of it. */
  const isAskedFor = (stage, flag) => forms[stage]?.found.has(flag) || named[stage]?.has(flag);
  const shown = (stage, flag) => {
    const rule = store.fields(stage)[flag].shown;
    return !rule || store.isTyped(stage, flag) || isAskedFor(stage, flag) || holds(stage, rule);
  };

  /* What is wrong with a field: first by its own rules, then as the server says. */
  function errorOf(stage, flag) {
    const facts = store.fields(stage)[flag],
      value = store.value(stage, flag);
    const mine = facts.required && value === "" ? "" : check(facts, value);
    return mine || trouble[stage]?.[flag]?.error || "";
  }
  /* A field that is still empty is only listed in Checks, until Start was pressed. */
  const marked = (stage, flag) => (strict.has(stage) || store.value(stage, flag) !== "" ? errorOf(stage, flag) : "");
  function errors(stage) {
    return Object.keys(store.fields(stage))
      .map((flag) => ({ flag, error: errorOf(stage, flag) }))
      .filter((one) => one.error);
  }

  const sectionId = (stage, place) => `sec-${stage}-${place.name}`;
  const grid = (stage, flags) => html`
    <div class="kg-grid">${flags.map((flag) => field.draw(stage, flag))}</div>
  `;

  function draw(root, stage) {
    const form = data.forms[stage];
    forms[stage] = { root, found: forms[stage]?.found ?? new Set() };
    put(
      root,
      html`
        <div class="card" id="sec-${stage}-essentials">
          ${form.groups.map(
            (group) => html`
              <div class="kg-group" role="group" aria-label="${name(group)}">
                <h3>${name(group)}</h3>
                ${grid(stage, group.flags)}
              </div>
            `,
          )}
        </div>
        ${form.sections.map(
          (place) => html`
            <details class="card kg-sec" id="${sectionId(stage, place)}" data-section="${place.name}">
              <summary>
                ${icon("chev")}
                <span>${name(place)}</span>
                <span class="what"></span>
                <span class="sp"></span>
                <span class="chip acc cnt" hidden></span>
              </summary>
            </details>
          `,
        )}
      `,
    );
    update(stage);
  }
  function build(stage, details) {
    if (details.dataset.built) return;
    details.dataset.built = "yes";
    const place = data.forms[stage].sections.find((one) => one.name === details.dataset.section);
    details.insertAdjacentHTML("beforeend", grid(stage, place.flags).text);
    update(stage);
  }

  function update(stage) {
    const root = forms[stage]?.root;
    if (!root?.isConnected) return;
    for (const box of root.querySelectorAll(".f")) {
      const flag = box.dataset.flag,
        place = box.querySelector(".in, input");
      const typing = document.activeElement === place && check.unfinished(store.fields(stage)[flag], place.value ?? "");
      box.hidden = !shown(stage, flag);
      field.mark(box, stage, flag, { error: typing ? "" : marked(stage, flag), found: trouble[stage]?.[flag]?.found });
    }
    for (const place of data.forms[stage].sections) summarize(stage, root, place);
    fire("form", { stage });
  }
  function summarize(stage, root, place) {
    const details = root.querySelector(`#${sectionId(stage, place)}`);
    const visible = place.flags.filter((flag) => shown(stage, flag));
    const changed = place.flags.filter((flag) => store.isTyped(stage, flag)).length;
    details.hidden = !visible.length;
    details.querySelector(".what").textContent = visible
      .slice(0, 4)
      .map((flag) => field.label(stage, flag))
      .join(t("field.comma"));
    const chip = details.querySelector(".cnt");
    chip.hidden = !changed;
    chip.textContent = t("changed", { n: changed });
  }
  function refill(stage) {
    const root = forms[stage]?.root;
    root?.querySelectorAll(".f").forEach((box) => field.fill(box, stage, box.dataset.flag));
    update(stage);
  }

  function listen(root, stage) {
    root.addEventListener("toggle", (event) => event.target.open && build(stage, event.target), true);
    root.addEventListener("input", (event) => {
      const flag = event.target.closest(".f")?.dataset.flag;
      if (flag) store.set(stage, flag, event.target.type === "checkbox" ? event.target.checked : event.target.value);
    });
    root.addEventListener("change", (event) => {
      const flag = event.target.closest(".f")?.dataset.flag;
      if (!flag || !store.fields(stage)[flag].path) return;
      (finished[stage] ??= new Set()).add(flag);
      fire("path finished", { stage });
    });
    root.addEventListener("focusout", (event) => event.target.closest(".f") && update(stage));
    root.addEventListener("click", async (event) => {
      const box = event.target.closest(".f"),
        flag = box?.dataset.flag;
      if (event.target.closest(".reset")) {
        store.reset(stage, flag);
        field.fill(box, stage, flag);
        box.querySelector(".in, input").focus();
      } else if (event.target.closest("[data-browse]")) {
        const chosen = await Studio.browse({
          path: store.lastPath(stage, flag),
          kind: store.fields(stage)[flag].path,
          title: field.label(stage, flag),
        });
        if (chosen !== null) {
          store.set(stage, flag, store.withPath(stage, flag, chosen));
          field.fill(box, stage, flag);
        }
      }
    });
    Studio.tip.attend(root, stage);
    Studio.combo.attend(root);
  }
  /* Draws the form into an empty element, and keeps it true. */
  function place(root, stage) {
    draw(root, stage);
    listen(root, stage);
  }
  on("typed", ({ stage }) => update(stage));
  on("loaded", ({ stage }) => refill(stage));

  /* Opens what hides a field, scrolls to it and puts the cursor there. */
  function jump(stage, flag) {
    const { root, found } = forms[stage];
    found.add(flag);
    const section = data.forms[stage].sections.find((one) => one.flags.includes(flag));
    if (section) openSection(stage, section.name);
    update(stage);
    const box = root.querySelector(`[data-flag="${flag}"]`);
    box.scrollIntoView({ block: "center" });
    box.classList.add("hit");
    setTimeout(() => box.classList.remove("hit"), 1700);
    box.querySelector(".in, input").focus({ preventScroll: true });
  }
  function openSection(stage, section) {
    const details = forms[stage].root.querySelector(`#sec-${stage}-${section}`);
    if (details.tagName === "DETAILS") {
      details.hidden = false;
      details.open = true;
      build(stage, details);
    }
    return details;
  }
  /* What the server says of fields, and of the whole: an error of the whole stands beside its field too. */
  function answered(stage, fields, findings) {
    trouble[stage] = { ...fields };
    for (const flag of finished[stage] ?? [])
      if (fields[flag]?.found) {
        recent.add(store.fields(stage)[flag].path, store.value(stage, flag));
        finished[stage].delete(flag);
      }
    named[stage] = new Set(findings.filter((one) => one.level !== "fine").map((one) => one.field));
    for (const { level, field: flag, text } of findings) {
      if (level === "error" && flag) trouble[stage][flag] = { error: text, ...trouble[stage][flag] };
    }
    update(stage);
  }
  function insist(stage) {
    strict.add(stage);
    update(stage);
  }

  return {
    place,
    update,
    errors,
    errorOf,
    jump,
    openSection,
    answered,
    insist,
    listed,
    name,
    sectionId,
    drawn: (stage) => Boolean(forms[stage]?.root.isConnected),
  };
})();
