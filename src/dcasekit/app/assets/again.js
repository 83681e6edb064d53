/* Lays a view out again where its controls would not say what its address does: when somebody goes back or forward. */
(function () {
  "use strict";
  let path = window.location.pathname;

  window.addEventListener("_dashprivate_pushstate", () => { path = window.location.pathname; });
  window.addEventListener("popstate", () => {
    if (path === window.location.pathname) window.dash_clientside.dcasekit.again(); // else Dash does
    path = window.location.pathname;
  });

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.dcasekit = Object.assign(window.dash_clientside.dcasekit || {}, {
    again() { window.dash_clientside.set_props("again", { data: Date.now() }); },
  });
})();
