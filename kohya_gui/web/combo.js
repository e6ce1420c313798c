/* A text field with names to choose from, in groups: the button shows all of them, typing those that contain what is
   typed. Anything else may be typed too. */
"use strict";
Studio.combo = (() => {
  const { html, attr, icon, put, t } = Studio;
  const FEW = 12; /* so few names are not narrowed down */

  /* `attributes`: what every text field of a form carries, as markup. `groups`: [heading, names], heading "" for none. */
  const draw = (id, attributes, label, groups) => html`
    <div class="combo">
      <input
        class="in"
        id="${id}"
        role="combobox"
        aria-expanded="false"
        aria-controls="${id}-l"
        aria-autocomplete="list"
        data-groups="${JSON.stringify(groups)}"
        ${attributes}
      />
      <button type="button" tabindex="-1" data-names-open aria-label="${t("field.names", { label })}">
        ${icon("down")}
      </button>
      <ul class="names" id="${id}-l" role="listbox" aria-label="${label}" hidden></ul>
    </div>
  `;
  const partsOf = (place) => {
    const box = place.closest(".combo");
    return box && { input: box.querySelector("input"), list: box.querySelector("ul") };
  };
  const groupsOf = ({ input }) => JSON.parse(input.dataset.groups);
  const namesOf = (groups) => groups.flatMap(([, names]) => names);
  const optionsOf = ({ list }) => [...list.querySelectorAll("[role=option]")];
  /* The groups with the names that contain a text. */
  const containing = (groups, text) =>
    groups.map(([heading, names]) => [heading, names.filter((name) => name.toLowerCase().includes(text.toLowerCase()))]);

  function show(parts, groups, chosen) {
    const { input, list } = parts;
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    put(
      list,
      groups
        .filter(([, names]) => names.length)
        .flatMap(([heading, names]) => [
          heading &&
            html`
              <li role="none" class="head">${t(`names.${heading}`)}</li>
            `,
          ...names.map(
            (name) => html`
              <li role="option" id="${list.id}-${name}" data-name="${name}" aria-selected="${name === chosen}"
                ${attr("data-now", name === input.value)}>${name}</li>
            `,
          ),
        ]),
    );
    // Near the window's edge it opens to the left.
    list.classList.remove("left");
    list.classList.toggle("left", list.getBoundingClientRect().right > document.documentElement.clientWidth);
    const place = list.querySelector("[aria-selected=true]");
    input.setAttribute("aria-activedescendant", place?.id ?? "");
    place?.scrollIntoView({ block: "nearest" });
  }
  function hide({ input, list }) {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
  const isOpen = ({ list }) => !list.hidden;
  function take(parts, name) {
    parts.input.value = name;
    parts.input.dispatchEvent(new Event("input", { bubbles: true }));
    hide(parts);
  }
  /* What is shown, as groups. */
  function shown(parts) {
    const names = new Set(optionsOf(parts).map((one) => one.dataset.name));
    return groupsOf(parts).map(([heading, all]) => [heading, all.filter((name) => names.has(name))]);
  }
  function pressed(event) {
    const parts = partsOf(event.target);
    if (!parts) return;
    const open = isOpen(parts),
      groups = open ? shown(parts) : groupsOf(parts),
      names = namesOf(groups),
      chosen = open ? parts.list.querySelector("[aria-selected=true]")?.dataset.name : parts.input.value;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      const at = names.indexOf(chosen),
        next = at < 0 ? (step > 0 ? 0 : names.length - 1) : (at + step + names.length) % names.length;
      event.preventDefault();
      show(parts, groups, open || at < 0 ? names[next] : chosen);
    } else if (event.key === "Enter" && open && chosen) {
      event.preventDefault();
      take(parts, chosen);
    } else if (event.key === "Escape" && open) hide(parts);
  }
  function typed(event) {
    const parts = partsOf(event.target);
    if (!parts) return;
    const groups = groupsOf(parts),
      text = parts.input.value.trim(),
      near = containing(groups, text),
      found = namesOf(near);
    const helps = event.isTrusted && text && found.length && found[0].toLowerCase() !== text.toLowerCase();
    if (helps && namesOf(groups).length > FEW) show(parts, near);
    else hide(parts);
  }
  /* Serves every such field below an element. */
  function attend(root) {
    root.addEventListener("keydown", pressed);
    root.addEventListener("mousedown", (event) => {
      const parts = partsOf(event.target),
        name = event.target.closest("[data-name]");
      if (!parts || event.target === parts.input) return;
      event.preventDefault(); /* the cursor stays in the field */
      if (name) take(parts, name.dataset.name);
      else if (event.target.closest(".head")) return;
      else if (isOpen(parts)) hide(parts);
      else {
        parts.input.focus();
        Studio.tip.hide();
        show(parts, groupsOf(parts), parts.input.value);
      }
    });
    root.addEventListener("focusout", (event) => partsOf(event.target) && hide(partsOf(event.target)));
    root.addEventListener("input", typed);
  }
  return { draw, attend };
})();
