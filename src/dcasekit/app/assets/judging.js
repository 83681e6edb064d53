/* The views that judge: from controls to the address, and keys that press what is marked with them (data-key, data-choices). */
(function () {
  "use strict";
  const OF_A_RUN = ["true", "said", "clip", "label", "threshold", "example", "layer", "with"];

  function search(...values) {
    const { inputs_list: inputs } = window.dash_clientside.callback_context;
    const query = new URLSearchParams(values.pop()), before = query.toString(), run = query.get("run"), source = query.get("source");
    inputs.forEach(({ id }, n) => {
      const value = Array.isArray(values[n]) ? values[n].join(",") : values[n];
      const name = id.slice(id.indexOf("-") + 1);
      value === null || value === undefined || value === "" ? query.delete(name) : query.set(name, value);
    });
    if (run && query.get("run") !== run) OF_A_RUN.forEach((name) => query.delete(name));
    if (source && query.get("source") !== source) query.delete("clip");
    return query.toString() === before ? window.dash_clientside.no_update : `?${query}`;
  }

  function choose(clip, now, options) { // of many clips the list of all has only the first
    const none = window.dash_clientside.no_update;
    return clip && clip !== now ? [clip, options.includes(clip) ? none : [...options, clip]] : [none, none];
  }

  const typing = (target) => target.closest("input:not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable], [role=listbox], .dash-dropdown");

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event.target)) return;
    const choices = /^[1-9]$/.test(event.key) ? document.querySelectorAll("[data-choices] input")[event.key - 1] : null;
    const marked = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    const pressed = choices || (marked && (marked.querySelector("a, button") || marked));
    if (!pressed || pressed.disabled) return;
    event.preventDefault();
    pressed.click();
  });

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.judging = {
    search,
    click: (data, now, options) => choose(data && data.points[0].customdata, now, options || []),
    follow: (query, now, options, path) => choose(path === "/explore" && new URLSearchParams(query).get("clip"), now, options || []),
  };
})();
