/* Checks what was typed, by the rules of sd_scripts/options/values.py: a sentence, or nothing. Nothing is changed. */
"use strict";
Studio.check = (() => {
  const { t } = Studio;
  const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;
  const UNFINISHED = /^[-+]?(\d+\.?\d*|\.\d+)?(e[-+]?)?$/i;

  function word(field, text) {
    if (field.kind === "bool") return "";
    if (field.kind !== "str") {
      /* Where a number may be a share of all steps, it may also be given in percent. */
      if (field.kind === "number" && text.trim().endsWith("%")) text = text.trim().slice(0, -1);
      if (!NUMBER.test(text.trim()))
        return t("check.not_a_number", { value: text, example: field.kind === "int" ? "8" : t("check.example") });
      const value = Number(text);
      if (field.kind === "int" && !Number.isInteger(value)) return t("check.not_whole", { value: text });
      if (field.zero && value === 0) return "";
      if (field.choices && !field.choices.map(Number).includes(value))
        return t("check.not_a_choice", { value: text, choices: field.choices.join(", ") });
      if (field.low !== undefined && value < field.low) return t("check.too_low", { low: field.low });
      if (field.high !== undefined && value > field.high) return t("check.too_high", { high: field.high });
    } else if (field.choices && !field.choices.includes(text)) {
      return t("check.not_a_choice", { value: text, choices: field.choices.join(", ") });
    }
    return "";
  }
  function check(field, value) {
    const text = String(value ?? "");
    if (text === "") return field.required ? t("check.required") : "";
    return field.many
      ? (text
          .trim()
          .split(/\s+/)
          .map((one) => word(field, one))
          .find(Boolean) ?? "")
      : word(field, text);
  }
  /* "5e-" or "-" while the cursor is still in the field: not wrong yet. */
  check.unfinished = (field, text) =>
    field.kind !== "str" && field.kind !== "bool" && UNFINISHED.test(text) && !NUMBER.test(text);
  return check;
})();
