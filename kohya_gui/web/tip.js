/* The help of a field: one bubble, on hover over its label and on focus; Escape closes it. */
"use strict";
Studio.tip = (() => {
  const { html, put, t, store, field } = Studio;
  let bubble, timer;

  function range({ low, high }) {
    if (low !== undefined && high !== undefined) return t("field.between", { low, high });
    return low !== undefined ? t("field.at_least", { low }) : "";
  }
  function show(stage, box) {
    const flag = box.dataset.flag,
      facts = store.fields(stage)[flag];
    if (!bubble) {
      bubble = document.body.appendChild(document.createElement("div"));
      bubble.className = "kg kg-tip";
      bubble.setAttribute("role", "tooltip");
    }
    const more = [
      range(facts),
      facts.required ? t("field.required") : t("field.default", { value: field.shownDefault(facts) }),
    ].filter(Boolean);
    put(
      bubble,
      html`
        ${field.words(stage, flag, "help")}
        <br />
        <span class="mono">${more.join(t("field.comma"))}</span>
      `,
    );
    bubble.hidden = false;
    const place = box.getBoundingClientRect();
    const below = place.bottom + 4 + bubble.offsetHeight < window.innerHeight - 50;
    bubble.style.left = `${Math.max(8, Math.min(place.left, window.innerWidth - bubble.offsetWidth - 8))}px`;
    bubble.style.top = `${window.scrollY + (below ? place.bottom + 4 : place.top - bubble.offsetHeight - 4)}px`;
  }
  function hide() {
    clearTimeout(timer);
    if (bubble) bubble.hidden = true;
  }

  function attend(root, stage) {
    root.addEventListener("mouseover", (event) => {
      const box = event.target.closest(".f");
      if (!box || !event.target.closest(".l, .sub")) return;
      clearTimeout(timer);
      timer = setTimeout(() => show(stage, box), 250);
    });
    root.addEventListener("mouseout", (event) => event.target.closest(".l, .sub") && hide());
    root.addEventListener("focusin", (event) => {
      hide();
      const box = event.target.closest(".f");
      if (box && event.target.matches(":focus-visible") && event.target.matches(".in, input")) show(stage, box);
    });
    root.addEventListener("focusout", hide);
    root.addEventListener("input", hide);
  }
  Studio.on("tab", hide);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  return { attend, hide };
})();
