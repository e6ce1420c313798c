/* Find an option of any stage: type, choose, and the page goes there. The key / comes here. */
"use strict";
Studio.search = (() => {
  const { html, put, icon, t, data, field, form, stage, tabs } = Studio;
  const MOST = 40;
  let goBack = null; /* gives the focus back to where / was pressed */

  const draw = () => html`
    <div class="kg-search" role="search">
      ${icon("search")}
      <input
        role="combobox"
        aria-expanded="false"
        aria-controls="kg-hits"
        aria-autocomplete="list"
        aria-label="${t("find")}"
        placeholder="${t("find")}"
        spellcheck="false"
        autocomplete="off"
      />
      <kbd aria-hidden="true">/</kbd>
      <ul id="kg-hits" role="listbox" aria-label="${t("find")}" hidden></ul>
    </div>
  `;

  /* Label, flag or help as typed count most; then options in which every single word stands somewhere. */
  function score(one, words) {
    const label = one.label.toLowerCase(),
      flag = one.flag.toLowerCase(),
      asked = words.replace(/^--/, ""),
      all = `${label} ${flag} ${one.help.toLowerCase()}`;
    const tests = [
      flag === asked,
      label === words,
      label.startsWith(words),
      flag.startsWith(asked.replace(/ /g, "_")),
      label.includes(words),
      flag.includes(asked.replace(/ /g, "_")),
      one.help.toLowerCase().includes(words),
      words.split(/\s+/).every((word) => all.includes(word)),
    ];
    const first = tests.indexOf(true);
    return first < 0 ? 0 : tests.length - first;
  }
  /* Of an option that several trainings have, the one of the chosen training, else of the first that has it. */
  function isShown(of, flag) {
    if (!(of in data.trainers)) return true;
    const having = Object.keys(data.trainers).filter((one) => flag in data.forms[one].fields),
      chosen = stage.current("train");
    return of === (having.includes(chosen) ? chosen : having[0]);
  }
  function find(words) {
    const here = Studio.page.tab;
    return field
      .index(isShown)
      .map((one) => ({ ...one, score: score(one, words) + (stage.tabOf(one.stage) === here ? 0.5 : 0) }))
      .filter((one) => one.score >= 1)
      .sort((a, b) => b.score - a.score)
      .slice(0, MOST);
  }
  async function go({ stage: at, flag }) {
    const tab = stage.tabOf(at);
    await tabs.open(tab);
    if (tab !== "metadata") stage.choose(tab, at);
    form.jump(at, flag);
  }

  function attend(root) {
    const box = root.querySelector(".kg-search input"),
      list = root.querySelector("#kg-hits");
    let hits = [],
      at = 0;
    const show = () => {
      list.hidden = !box.value.trim();
      put(
        list,
        hits.length
          ? hits.map(
              (one, i) => html`
                <li role="option" id="hit-${i}" aria-selected="${i === at}" data-i="${i}">
                  <b>${one.label}</b>
                  <span class="mono muted">--${one.flag}</span>
                  <small>
                    ${t(`stage.${one.stage}`)} › ${t(`section.${one.section}`)}${t("field.comma")}${one.help}
                  </small>
                </li>
              `,
            )
          : html`
              <li class="muted">${t("find_none")}</li>
            `,
      );
      box.setAttribute("aria-expanded", String(!list.hidden));
      box.setAttribute("aria-activedescendant", hits.length ? `hit-${at}` : "");
    };
    const end = () => {
      hits = [];
      box.value = "";
      show();
    };
    const choose = (one) => {
      end();
      box.blur();
      go(one);
    };
    box.addEventListener("input", () => {
      at = 0;
      hits = box.value.trim() ? find(box.value.trim().toLowerCase()) : [];
      show();
    });
    box.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step && hits.length) {
        event.preventDefault();
        at = (at + step + hits.length) % hits.length;
        show();
        list.children[at].scrollIntoView({ block: "nearest" });
      }
      if (event.key === "Enter" && hits[at]) choose(hits[at]);
      if (event.key === "Escape") {
        end();
        goBack ? goBack() : box.blur();
      }
    });
    list.addEventListener("mousedown", (event) => {
      const hit = event.target.closest("[data-i]");
      if (hit) {
        event.preventDefault();
        choose(hits[hit.dataset.i]);
      }
    });
    box.addEventListener("blur", end);
  }
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable=true], dialog");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      goBack = document.activeElement === document.body ? null : Studio.focusKeeper();
      document.querySelector(".kg-search input")?.focus();
    }
  });
  return { draw, attend, go, find, isShown };
})();
