/* A stage's tab: a switch between its methods, the list of sections or of tools, the form and the rail. */
"use strict";
Studio.stage = (() => {
  const { html, attr, put, t, kept, keep, data, form, rail, fire, glide, trainings } = Studio;
  const SWITCHED = ["caption", "tag"]; /* tabs of several methods */
  const PASSED_PX = 120; /* so far below the window's top a section counts as the one that is read */
  const chosen = {};
  const followers = {}; /* stage -> its section list; pinned: it was chosen there, and nobody scrolled since */
  const stagesOf = (tab) => data.tabs[tab];
  const current = (tab) =>
    (chosen[tab] ??= stagesOf(tab).find((one) => one === kept(`studio.method.${tab}`)) ?? stagesOf(tab)[0]);

  function methods(tab) {
    const stage = current(tab);
    if (tab === "train") return trainings.draw(stage);
    if (!SWITCHED.includes(tab))
      return html`
        <div class="kg-bar">
          <h2>${t(`stage.${stage}`)}</h2>
          <span class="muted">${t(`about.${stage}`)}</span>
        </div>
      `;
    return html`
      <h2 class="sr">${t(`stage.${stage}`)}</h2>
      <div class="kg-bar">
        <div class="kg-seg" role="radiogroup" aria-label="${t(`method.${tab}`)}">
          ${stagesOf(tab).map(
            (one) => html`
              <label>
                <input type="radio" name="method-${tab}" value="${one}" ${attr("checked", one === stage)} />
                ${t(`method_name.${one}`)}
              </label>
            `,
          )}
        </div>
        <span class="muted">${t(`about.${stage}`)}</span>
      </div>
    `;
  }
  function sections(stage) {
    return html`
      <nav class="kg-nav" aria-label="${t("sections")}">
        ${["essentials", ...data.forms[stage].sections.map((one) => one.name)].map(
          (one, i) => html`
            <a href="#sec-${stage}-${one}" data-section="${one}" tabindex="${i ? -1 : 0}" class="${i ? "" : "on"}">
              ${t(`section.${one}`)}
            </a>
          `,
        )}
      </nav>
    `;
  }
  function drawStage(place, tab) {
    const stage = current(tab);
    put(
      place,
      html`
        ${methods(tab)}
        <div class="kg-stage">
          ${tab === "tools" ? Studio.tools.list(stage) : sections(stage)}
          <div class="kg-form">
            <div class="kg-fields"></div>
            <div class="kg-extra"></div>
          </div>
          <aside class="kg-rail" aria-label="${t("before_start")}"></aside>
        </div>
      `,
    );
    form.place(place.querySelector(".kg-fields"), stage);
    rail.place(place.querySelector(".kg-rail"), stage);
    if (tab !== "tools") listSections(place.querySelector(".kg-nav"), stage);
    fire("stage drawn", { stage, extra: place.querySelector(".kg-extra") });
  }
  /* The section list is one stop of the Tab key; arrows move within it. It follows the page as that is scrolled. */
  function listSections(nav, stage) {
    const links = [...nav.children];
    const show = (link) =>
      links.forEach((one) => {
        one.tabIndex = one === link ? 0 : -1;
        one.classList.toggle("on", one === link);
        one[one === link ? "setAttribute" : "removeAttribute"]("aria-current", "location");
      });
    const choose = (link) => {
      show(link);
      followers[stage].pinned = true;
      form.openSection(stage, link.dataset.section).scrollIntoView({ block: "start", behavior: glide() });
    };
    const part = (link) => document.getElementById(`sec-${stage}-${link.dataset.section}`);
    const isPassed = (link) => part(link)?.offsetParent && part(link).getBoundingClientRect().top <= PASSED_PX;
    const follow = () => {
      const link = links.findLast(isPassed) ?? links[0];
      show(link);
      nav.scrollTop = link.offsetTop - nav.clientHeight / 2;
    };
    followers[stage] = { nav, follow, pinned: false };
    nav.addEventListener("click", (event) => {
      const link = event.target.closest("a");
      if (link) {
        event.preventDefault();
        choose(link);
      }
    });
    nav.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      links[(links.indexOf(document.activeElement) + step + links.length) % links.length].focus();
    });
  }
  const followAll = () =>
    Object.values(followers).forEach(({ nav, follow, pinned }) => !pinned && nav.offsetParent && follow());
  addEventListener("scroll", followAll);
  // What was scrolled meanwhile was another tab.
  Studio.on("tab", () => requestAnimationFrame(followAll));
  /* A section near the end cannot come up to the top: what was chosen stays chosen until somebody scrolls. */
  for (const news of ["wheel", "touchmove", "pointerdown", "keydown"])
    addEventListener(news, ({ target }) => {
      if (!target.closest?.(".kg-nav")) Object.values(followers).forEach((one) => (one.pinned = false));
    });
  function draw(place, tab) {
    drawStage(place, tab);
    if (place.dataset.listening) return;
    place.dataset.listening = "yes";
    place.addEventListener("change", (event) => {
      const { name, value } = event.target;
      const stage = name === "family" ? trainings.ofFamily(current(tab), value) : value;
      if (!["family", `method-${tab}`].includes(name)) return;
      choose(tab, stage);
      place.querySelector(`[name="${name}"]:checked, select[name="${name}"]`).focus();
    });
    choosers[tab] = () => place.isConnected && drawStage(place, tab);
  }
  const choosers = {};
  function choose(tab, stage) {
    if (current(tab) === stage) return;
    chosen[tab] = stage;
    keep(`studio.method.${tab}`, stage);
    choosers[tab]?.();
    fire("stage", stage);
  }
  ["caption", "tag", "latents", "train", "try", "tools"].forEach((tab) => Studio.view(tab, (place) => draw(place, tab)));
  return {
    current,
    choose,
    stagesOf,
    tabOf: (stage) => data.tabOf[stage],
  };
})();
