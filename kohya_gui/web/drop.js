/* Paths dropped onto a path field. A browser tells the path of what is dropped as text, never that of a file itself. */
"use strict";
(() => {
  const { t, dialog } = Studio;
  const fieldOf = (event) => event.target.closest?.(".kg .pathrow");
  const inputOf = (row) => row.querySelector("input");
  /* What a file manager or an editor gives: file:// addresses, one a line, or the path as text. */
  function pathOf(given) {
    const lines = (given.getData("text/uri-list") || given.getData("text/plain")).split(/\r?\n/);
    const first = lines.map((line) => line.trim()).find((line) => line && !line.startsWith("#")) ?? "";
    if (!first.startsWith("file:")) return /^[a-z][\w+.-]+:\/\//i.test(first) ? "" : first;
    try {
      const path = decodeURIComponent(new URL(first).pathname);
      return /^\/[A-Za-z]:/.test(path) ? path.slice(1) : path;
    } catch {
      return "";
    }
  }
  const over = (row) => document.querySelectorAll(".pathrow.over").forEach((one) => one !== row && one.classList.remove("over"));

  document.addEventListener("dragover", (event) => {
    const row = fieldOf(event);
    over(row);
    if (row) {
      event.preventDefault();
      row.classList.add("over");
    }
  });
  document.addEventListener("dragleave", (event) => fieldOf(event) || over(null));
  document.addEventListener("dragend", () => over(null));
  document.addEventListener("drop", (event) => {
    over(null);
    const row = fieldOf(event);
    if (!row) {
      /* Beside a field, a dropped file would take the place of the page. */
      if (!event.target.closest?.(".drop")) event.preventDefault();
      return;
    }
    event.preventDefault();
    const path = pathOf(event.dataTransfer),
      [file] = event.dataTransfer.files;
    if (!path) {
      dialog.say(file ? t("drop.no_path", { name: file.name }) : t("drop.nothing"), { warning: true });
      return;
    }
    const input = inputOf(row);
    input.value = path;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.dispatchEvent(new Event("change", { bubbles: true }));
    input.focus();
  });
})();
