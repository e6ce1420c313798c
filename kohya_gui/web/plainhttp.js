/* What browsers refuse to pages on plain http, other than those of this machine: it is said, and there is another way. */
"use strict";
Studio.plainHttp = (() => {
  const { t, kept, keep, dialog } = Studio;

  /* Copies an element's text; where that is refused, it is selected for the keyboard. */
  async function copy(element) {
    try {
      await navigator.clipboard.writeText(element.textContent);
      dialog.say(t("said.copied"));
    } catch {
      getSelection().selectAllChildren(element);
      element.focus();
      dialog.say(t(window.isSecureContext ? "said.select_copy" : "said.select_copy_http"), { warning: true });
    }
  }
  /* Asks once for permission to tell of a run's end; where a page cannot ask, says once how it is told instead. */
  function askToNotify() {
    if (window.isSecureContext) {
      if (window.Notification?.permission === "default") Notification.requestPermission();
    } else if (!kept("studio.told_http", false)) {
      keep("studio.told_http", true);
      dialog.say(t("said.no_notifications"), { warning: true });
    }
  }
  return { copy, askToNotify };
})();
