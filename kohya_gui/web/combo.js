/* A text field with names to choose from: all of them are shown when it is opened, and anything may be typed. */
"use strict";
Studio.combo = (() => {
  const { html, attr, icon, put, t } = Studio;

  /* `attributes`: what every text field of a form carries, as markup. */
  const draw = (id, attributes, label, names) => html`
    <div class="combo">
      <input
        class="in"
        id="${id}"
        role="combobox"
        aria-expanded="false"
        aria-controls="${id}-l"
        aria-autocomplete="none"
        data-names="${JSON.stringify(names)}"
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
  function show({ input, list }, at) {
    const names = JSON.parse(input.dataset.names);
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    put(
      list,
      names.map(
        (name, i) => html`
          <li role="option" id="${list.id}-${i}" data-i="${i}" aria-selected="${i === at}"
            ${attr("data-now", name === input.value)}>${name}</li>
        `,
      ),
    );
    const chosen = list.children[at];
    input.setAttribute("aria-activedescendant", chosen?.id ?? "");
    chosen?.scrollIntoView({ block: "nearest" });
  }
  function hide({ input, list }) {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }
  const isOpen = ({ list }) => !list.hidden;
  const chosenAt = ({ list }) => [...list.children].findIndex((one) => one.ariaSelected === "true");
  function take(parts, at) {
    parts.input.value = JSON.parse(parts.input.dataset.names)[at];
    parts.input.dispatchEvent(new Event("input", { bubbles: true }));
  }
  function pressed(event) {
    const parts = partsOf(event.target);
    if (!parts) return;
    const names = JSON.parse(parts.input.dataset.names),
      at = isOpen(parts) ? chosenAt(parts) : names.indexOf(parts.input.value);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      show(parts, isOpen(parts) ? (at + step + names.length) % names.length : Math.max(at, 0));
    } else if (event.key === "Enter" && isOpen(parts) && at >= 0) {
      event.preventDefault();
      take(parts, at);
    } else if (event.key === "Escape" && isOpen(parts)) hide(parts);
  }
  /* Serves every such field below an element. */
  function attend(root) {
    root.addEventListener("keydown", pressed);
    root.addEventListener("mousedown", (event) => {
      const parts = partsOf(event.target),
        name = event.target.closest("[data-i]");
      if (!parts || event.target === parts.input) return;
      event.preventDefault(); /* the cursor stays in the field */
      if (name) take(parts, Number(name.dataset.i));
      else if (isOpen(parts)) hide(parts);
      else {
        parts.input.focus();
        Studio.tip.hide();
        show(parts, JSON.parse(parts.input.dataset.names).indexOf(parts.input.value));
      }
    });
    const leave = (event) => partsOf(event.target) && hide(partsOf(event.target));
    root.addEventListener("focusout", leave);
    root.addEventListener("input", leave);
  }
  return { draw, attend };
})();
