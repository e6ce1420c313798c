/* The page's tabs are Gradio's; here they are opened by name, and carry the marks of how far the project is. */
"use strict";
Studio.tabs = (() => {
  const { on, fire, call, store, t, page, kept, keep } = Studio;
  const bar = () => document.querySelector("#kg-tabs .tab-wrapper");
  let marks = {};

  function mark() {
    for (const tab of document.querySelectorAll("#kg-tabs [role=tab]")) {
      const state = marks[tab.dataset.tabId];
      if (state === "none") {
        delete tab.dataset.state;
        tab.removeAttribute("title");
      } else if (state && tab.dataset.state !== state) tab.dataset.state = state;
      if (state && state !== "none" && tab.title !== t(`mark.${state}`)) tab.title = t(`mark.${state}`);
      if (tab.getAttribute("aria-selected") === "true" && page.tab !== tab.dataset.tabId) {
        page.tab = tab.dataset.tabId;
        fire("tab", page.tab);
      }
    }
  }
  /* Gradio makes the tab buttons late, and uses them again for other tabs. */
  function watch() {
    if (!bar()) {
      setTimeout(watch, 30);
      return;
    }
    const last = kept("studio.tab");
    mark();
    if (last in Studio.data.marks) open(last);
    on("tab", (tab) => keep("studio.tab", tab));
    new MutationObserver(mark).observe(bar(), {
      childList: true,
      subtree: true,
      attributes: true,
      attributeFilter: ["data-tab-id", "aria-selected"],
    });
  }
  watch();

  /* A tab's button: in the bar, or folded away on narrow screens, where only its label names it, for a moment in the
     language that was spoken before. */
  function buttonOf(id) {
    const labels = Object.values(Studio.data.words).map((words) => words[`tab.${id}`]);
    const folded = [...document.querySelectorAll("#kg-tabs .overflow-dropdown button")];
    return (
      bar()?.querySelector(`[role=tab][data-tab-id="${id}"]`) ??
      folded.find((one) => labels.includes(one.textContent.trim()))
    );
  }
  /* Opens a tab as soon as it has a button; resolves when it is drawn and can be seen. */
  function open(id) {
    let clicked = false;
    return new Promise((resolve) => {
      const wait = () => {
        const button = clicked ? null : buttonOf(id);
        button?.click();
        clicked ||= Boolean(button);
        const view = document.querySelector(`[data-view="${id}"]`);
        if (clicked && view?.children.length && view.checkVisibility()) resolve();
        else setTimeout(wait, 20);
      };
      wait();
    });
  }

  async function refresh() {
    if (!store.state.project) {
      set({});
      return;
    }
    const { name } = store.state.project,
      answer = await call("project_state", { name });
    if (answer.error || name !== store.state.project?.name) return;
    set(answer.tabs);
    fire("project state", answer);
  }
  function set(found) {
    marks = Object.fromEntries(Object.keys(Studio.data.marks).map((tab) => [tab, found[tab] ?? Studio.data.marks[tab]]));
    mark();
  }
  on("project", refresh);
  on("runs changed", refresh);
  on("lang", () => {
    mark();
    refresh();
  });
  return { open, refresh };
})();
