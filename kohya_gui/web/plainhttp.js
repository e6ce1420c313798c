/* Copying, which browsers refuse to pages on plain http other than those of this machine: then there is another way. */
"use strict";
Studio.plainHttp = (() => {
  const { t, dialog } = Studio;

  /* Copies an element's text; where that is refused, it is selected for the keyboard. `isWhole`: nothing is left out. */
  async function copy(element, isWhole = true) {
    try {
      await navigator.clipboard.writeText(element.textContent);
      dialog.say(t(isWhole ? "said.copied" : "said.copied_in_part"), { warning: !isWhole });
    } catch {
      getSelection().selectAllChildren(element);
      element.focus();
      dialog.say(t(window.isSecureContext ? "said.select_copy" : "said.select_copy_http"), { warning: true });
    }
  }
  return { copy };
})();
