/* Windows over the page: dialogs, menus of a button, and short notes at the edge. */
"use strict";
Studio.dialog = (() => {
  const { html, attr, put, icon, t, focusKeeper } = Studio;

  /* Within Gradio's own box: only there do its styles for narrow windows hold. */
  const home = () => document.querySelector(".gradio-container .contain") ?? document.body;
  const layer = () =>
    document.getElementById("studio-layer") ??
    Object.assign(home().appendChild(document.createElement("div")), { id: "studio-layer", className: "kg" });

  /* Opens a dialog; `close(result)` ends it, Escape ends it with null. Resolves to the result. */
  function open({ title, body, wide, ready }) {
    const box = document.createElement("dialog");
    box.className = wide ? "kg-dialog wide" : "kg-dialog";
    box.setAttribute("aria-label", title);
    put(
      box,
      html`
        <div class="hd">
          <h2>${title}</h2>
          <button type="button" class="btn sm quiet" data-close aria-label="${t("close")}">${icon("cross")}</button>
        </div>
        <div class="body">${body}</div>
      `,
    );
    layer().append(box);
    return new Promise((resolve) => {
      const giveBack = focusKeeper();
      const close = (result = null) => {
        if (box.open) box.close();
        box.remove();
        giveBack();
        resolve(result);
      };
      box.addEventListener("close", () => box.isConnected && close());
      box.addEventListener("click", (event) => {
        const beside = event.target === box && event.detail < 2; /* the second click of a double click is not meant so */
        if (beside || event.target.closest("[data-close]")) close();
      });
      box.showModal();
      ready?.(box, close);
    });
  }

  /* Asks before something that cannot be undone. */
  function confirm(title, sentence, action) {
    const body = html`
      <p>${sentence}</p>
      <div class="acts">
        <button class="btn" data-close>${t("cancel")}</button>
        <button class="btn danger" data-yes autofocus>${action}</button>
      </div>
    `;
    return open({
      title,
      body,
      ready: (box, close) => box.querySelector("[data-yes]").addEventListener("click", () => close(true)),
    });
  }

  /* A menu below a button: items {label, note, checked, pick}. Arrow keys, Enter, Escape. */
  function menu(button, items) {
    const list = document.createElement("div");
    list.className = "kg-menu";
    list.setAttribute("role", "menu");
    put(
      list,
      items.map(
        (item, i) => html`
          <button
            type="button"
            role="${item.checked === undefined ? "menuitem" : "menuitemradio"}"
            ${attr("aria-checked", item.checked === undefined ? null : String(item.checked))}
            class="${item.danger ? "danger" : ""}"
            data-i="${i}"
            tabindex="-1"
          >
            <span>${item.label}</span>
            ${
              item.note &&
              html`
                <small>${item.note}</small>
              `
            }
          </button>
        `,
      ),
    );
    layer().append(list);
    const place = button.getBoundingClientRect();
    list.style.top = `${Math.max(8, Math.min(place.bottom + 4, window.innerHeight - list.offsetHeight - 8))}px`;
    list.style.left = `${Math.max(8, Math.min(place.left, window.innerWidth - list.offsetWidth - 8))}px`;
    const buttons = [...list.children];
    const close = () => {
      list.remove();
      button.setAttribute("aria-expanded", "false");
      document.removeEventListener("pointerdown", outside, true);
    };
    const outside = (event) => {
      if (!list.contains(event.target)) close();
    };
    button.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", outside, true);
    list.addEventListener("click", (event) => {
      const chosen = event.target.closest("button");
      if (chosen) {
        close();
        button.focus();
        items[chosen.dataset.i].pick();
      }
    });
    list.addEventListener("keydown", (event) => {
      const at = buttons.indexOf(document.activeElement);
      const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
      if (to !== undefined) {
        event.preventDefault();
        buttons.at(to % buttons.length)?.focus();
      }
      if (event.key === "Escape" || event.key === "Tab") {
        close();
        button.focus();
      }
    });
    (buttons.find((one) => one.getAttribute("aria-checked") === "true") ?? buttons[0])?.focus();
  }

  /* Says something at the edge of the page, for a while; trouble and warnings are read out at once and stay longer. */
  function say(sentence, { trouble = false, warning = false, action } = {}) {
    const note = document.createElement("div");
    const heed = trouble || warning;
    note.className = trouble ? "kg-note bad" : warning ? "kg-note mind" : "kg-note";
    note.setAttribute("role", heed ? "alert" : "status");
    put(
      note,
      html`
        ${icon(heed ? "warn" : "ok")}
        <span>${sentence}</span>
        ${
          action &&
          html`
            <button class="btn sm">${action.label}</button>
          `
        }
        <button class="btn sm quiet" data-close aria-label="${t("close")}">${icon("cross")}</button>
      `,
    );
    let notes = document.getElementById("studio-notes");
    if (!notes) {
      notes = layer().appendChild(document.createElement("div"));
      notes.id = "studio-notes";
    }
    notes.append(note);
    note.addEventListener("click", (event) => {
      const pressed = event.target.closest("button");
      if (!pressed) return;
      if (!("close" in pressed.dataset)) action.pick();
      note.remove();
    });
    const stay_ms = heed ? 15000 : 6000;
    /* What is pointed at, or has the focus, stays. */
    const leave = () => (note.matches(":hover, :focus-within") ? setTimeout(leave, 1000) : note.remove());
    setTimeout(leave, stay_ms);
    return note;
  }
  /* What was said in the other language is not said again: it stands where it belongs. */
  Studio.on("lang", () => document.getElementById("studio-notes")?.replaceChildren());
  /* Tells of an answer's trouble, if there is any; true when there was. */
  function trouble(answer) {
    if (answer.error) say(answer.error, { trouble: true });
    return Boolean(answer.error);
  }

  return { open, confirm, menu, say, trouble };
})();
