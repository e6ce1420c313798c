/* News by the system, when a run ends while nobody looks at the page; and in words where the browser refuses them. */
"use strict";
Studio.notify = (() => {
  const { t, on, page, dialog, kept, keep, fire } = Studio;

  /* no: the browser has none, or refuses them on plain http; else what the user said: default, granted, denied. */
  const state = () => (!page.secure || !window.isSecureContext || !window.Notification ? "no" : Notification.permission);
  async function ask() {
    if (state() === "default") await Notification.requestPermission();
    dialog.say(t(`notify.${state()}`), { warning: state() !== "granted" });
  }
  function tell(sentence, id) {
    if (state() !== "granted" || (!document.hidden && document.hasFocus())) return;
    try {
      const news = new Notification(sentence, { tag: id, lang: page.lang });
      news.onclick = () => {
        window.focus();
        news.close();
        fire("show run", id);
      };
    } catch {
      /* Chrome on Android has none for pages; the page's own note and the window's title tell it. */
    }
  }
  /* The first start says it where no notification can come: once. */
  on("started", () => {
    if (state() !== "no" || kept("studio.notify_told", false)) return;
    keep("studio.notify_told", true);
    dialog.say(t("notify.no"), { warning: true });
  });
  return { state, ask, tell };
})();
