/* Prompts for samples, written while a training runs. */
"use strict";
Studio.prompts = (() => {
  const { html, t, call, dialog } = Studio;

  /* Asks for prompts, and the training for their samples. `first`: it has none, so the pictures' texts are offered. */
  function write(id, first) {
    const body = html`
      <form class="mark">
        <p>${t(first ? "prompts.none" : "prompts.more")}</p>
        <label for="sp-text">${t("prompts.label")}</label>
        <textarea class="in mono" id="sp-text" name="text" rows="5" required spellcheck="false" placeholder="${t("prompts.example")}"></textarea>
        <p class="muted help">${t("prompts.help")}</p>
        <p class="c-err" role="alert" hidden></p>
        <div class="acts">
          <button type="button" class="btn" data-close>${t("cancel")}</button>
          ${first ? html`<button type="button" class="btn" data-texts>${t("prompts.texts")}</button>` : ""}
          <button class="btn pri">${t("prompts.draw")}</button>
        </div>
      </form>
    `;
    const ready = (box, close) => {
      const wrong = box.querySelector("[role=alert]"),
        asked = (answer, said) => {
          wrong.hidden = !answer.error;
          wrong.textContent = answer.error ?? "";
          if (answer.error) return;
          close();
          dialog.say(t(said));
          Studio.poller.tick();
        };
      box.querySelector("textarea").focus();
      box.querySelector("form").addEventListener("submit", async (event) => {
        event.preventDefault();
        asked(await call("run_sample", { id, prompts: event.target.elements.text.value }), "said.sample");
      });
      box.querySelector("[data-texts]")?.addEventListener("click", async () =>
        asked(await call("run_request", { id, request: "sample" }), "said.sample_texts"),
      );
    };
    dialog.open({ title: t("prompts.title"), body, ready });
  }
  return { write };
})();
