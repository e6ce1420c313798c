/* Paths that were used before, per kind of path; kept by the browser, the newest first. */
"use strict";
Studio.recent = (() => {
  const { kept, keep } = Studio;
  const MOST = 8;
  const all = () => kept("studio.recent", {});

  const of = (kind) => all()[kind] ?? [];
  function change(kind, paths) {
    keep("studio.recent", { ...all(), [kind]: paths.slice(0, MOST) });
  }
  const add = (kind, path) => path && change(kind, [path, ...of(kind).filter((one) => one !== path)]);
  const remove = (kind, path) =>
    change(
      kind,
      of(kind).filter((one) => one !== path),
    );
  return { of, add, remove };
})();
