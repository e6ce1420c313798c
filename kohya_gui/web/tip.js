/* The help of a field: one bubble, on hover over its label and on focus; Escape closes it. */
"use strict";
Studio.tip = (() => {
  const { html, put, t, has, store, field } = Studio;
  let bubble, timer;

  function range({ low, high, zero, unit }) {
    const limits =
      low !== undefined && high !== undefined
        ? t("field.between", { low, high })
        : low !== undefined
          ? t("field.at_least", { low })
          : high !== undefined
            ? t("field.at_most", { high })
            : "";
    const inUnit = limits && unit && has(`unit.${unit}`) ? `${limits} (${t(`unit.${unit}`)})` : limits;
    return inUnit && zero && low > 0 ? t("field.or_zero", { limits: inUnit }) : inUnit;
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
    const place = box.getBoundingClientRect(),
      top = document.querySelector("#kg-tabs .tab-wrapper")?.getBoundingClientRect().bottom ?? 0;
    /* Above the field, where it hides neither the field nor what is wrong with it; below only where there is no room. */
    const above = place.top - bubble.offsetHeight - 4 > Math.max(0, top);
    bubble.style.left = `${Math.max(8, Math.min(place.left, window.innerWidth - bubble.offsetWidth - 8))}px`;
    bubble.style.top = `${window.scrollY + (above ? place.top - bubble.offsetHeight - 4 : place.bottom + 4)}px`;
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
