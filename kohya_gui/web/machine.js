/* What a step costs: how its time is shared out, and the memory that it needs. */
"use strict";
Studio.machine = (() => {
  const { html, t, short, bytes } = Studio;
  const PARTS = ["data", "forward", "backward", "optimizer"];
  const seconds = (value) => (value < 1 ? `${short(Number((value * 1000).toPrecision(3)))} ms` : `${short(Number(value.toPrecision(3)))} s`);

  /* Where weights change in the backward pass, that has no time of its own. */
  const nameOf = (part, times) => t(part === "backward" && !("optimizer_s" in times) ? "step.backward_optimizer" : `step.${part}`);
  function split(times, onGpu) {
    if (!times?.step_s) return "";
    const parts = PARTS.filter((part) => `${part}_s` in times).map((part) => ({
      part,
      name: nameOf(part, times),
      share: times[`${part}_s`] / times.step_s,
      took: seconds(times[`${part}_s`]),
    }));
    const percent = (share) => `${Math.round(share * 100)}%`;
    return html`
      <div class="split">
        <div class="cap">
          <b>${seconds(times.step_s)}</b>
          <span class="muted">${t("step.each")}</span>
          <span class="sp"></span>
          <span class="muted hide-s">${t(onGpu ? "step.by_gpu" : "step.by_host")}</span>
        </div>
        <div class="bar" role="img" aria-label="${parts.map((one) => `${one.name} ${percent(one.share)}`).join(t("field.comma"))}">
          ${parts.map((one) => html`<i class="${one.part}" style="flex-grow:${one.share.toFixed(4)}"></i>`)}
        </div>
        <div class="keys">
          ${parts.map(
            (one) => html`
              <span class="key" title="${one.took}">
                <i class="${one.part}"></i>
                ${one.name}
                <b class="num">${percent(one.share)}</b>
              </span>
            `,
          )}
        </div>
      </div>
    `;
  }
  function memory(machine) {
    const gpu = machine.gpu_total_bytes,
      share = gpu ? machine.gpu_peak_bytes / gpu : null;
    const line = (value, name) => html`
      <span><b class="num">${value}</b> <span class="muted">${name}</span></span>
    `;
    return html`
      <div class="mem">
        ${
          gpu
            ? html`
                ${line(bytes(machine.gpu_peak_bytes), t("memory.peak", { total: bytes(gpu) }))}
                <span class="meter"><i class="${share > 0.95 ? "full" : ""}" style="width:${(share * 100).toFixed(1)}%"></i></span>
                ${line(bytes(machine.gpu_bytes), t("memory.now"))}
              `
            : ""
        }
        ${line(bytes(machine.memory_bytes), t("memory.process"))}
      </div>
    `;
  }
  const draw = ({ times, machine }) =>
    times?.step_s || machine?.memory_bytes
      ? html`
          <div class="card machine">
            ${split(times, Boolean(machine?.gpu_total_bytes))}${machine?.memory_bytes ? memory(machine) : ""}
          </div>
        `
      : "";
  return { draw };
})();
