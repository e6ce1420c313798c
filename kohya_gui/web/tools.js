/* The tools: a list by groups, which is searched by word. */
"use strict";
Studio.tools = (() => {
  const { html, attr, t, data } = Studio;
  const all = () => data.tabs.tools ?? [];
  const groups = () => [...new Set(all().map((one) => data.groups[one]))];
  const within = (group) => all().filter((one) => data.groups[one] === group);

  const item = (one, stage) => html`
    <li>
      <label title="${t(`about.${one}`)}">
        <input type="radio" name="method-tools" value="${one}" ${attr("checked", one === stage)} />
        ${t(`stage.${one}`)}
      </label>
    </li>
  `;
  const group = (name, stage) => html`
    <section data-group="${name}">
      <h3>${t(`tool_group.${name}`)}</h3>
      <ul>
        ${within(name).map((one) => item(one, stage))}
      </ul>
    </section>
  `;
  /* On narrow windows the list is a menu. */
  const menu = (stage) => html`
    <select class="in" name="method-tools" aria-label="${t("method.tools")}">
      ${groups().map(
        (name) => html`
          <optgroup label="${t(`tool_group.${name}`)}">
            ${within(name).map(
              (one) => html`
                <option value="${one}" ${attr("selected", one === stage)}>${t(`stage.${one}`)}</option>
              `,
            )}
          </optgroup>
        `,
      )}
    </select>
  `;
  const list = (stage) => html`
    <nav class="kg-tools" aria-label="${t("tab.tools")}">
      <input class="in" type="search" placeholder="${t("tools_find")}" aria-label="${t("tools_find")}" />
      <div class="groups" role="radiogroup" aria-label="${t("method.tools")}">
        ${groups().map((name) => group(name, stage))}
        <p class="muted" hidden>${t("find_none")}</p>
      </div>
      ${menu(stage)}
    </nav>
  `;

  /* Leaves the tools whose name, or whose sentence, has all the words. */
  function filter(nav, text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (one) => words.every((word) => `${t(`stage.${one}`)} ${t(`about.${one}`)} ${one}`.toLowerCase().includes(word));
    for (const row of nav.querySelectorAll("li")) row.hidden = !fits(row.querySelector("input").value);
    for (const part of nav.querySelectorAll("section")) part.hidden = !part.querySelector("li:not([hidden])");
    nav.querySelector("p").hidden = Boolean(nav.querySelector("section:not([hidden])"));
  }
  document.addEventListener("input", ({ target }) => {
    const nav = target.closest?.(".kg-tools");
    if (nav && target.type === "search") filter(nav, target.value);
  });
  return { list };
})();
