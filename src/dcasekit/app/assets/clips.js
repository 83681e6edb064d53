/* The table of clips: rows that the server sends, of few clips all of them, so that a filter is answered with the next frame. Texts become text nodes. */
(function () {
  "use strict";
  const ROWS = 15, PAUSE = 120; // rows of a page; milliseconds without a letter, before the server is asked
  const COLUMNS = ["Clip", "Labels", "Fold", "Group", "Length"], FILTERS = ["q", "label", "fold", "min", "max"];
  const PAGES = ["/", "/data"];
  let all = { source: null, rows: null }; // every row of a source, once they are there
  let shown = null; // the address whose rows are in the table, or will be
  let ended = new AbortController(), waiting = 0; // of the question that the server is asked
  let typed = null; // a text and until when the address may still lack it
  let usual = ""; // the source that an address without one means
  let ahead = null; // the rows of the first page, asked for before there is a table
  let laid = ""; // the source whose controls the page has
  let place = null; // the table's, the last time that there was one

  function make(name, properties, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties || {})) key in made ? (made[key] = value) : made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  const visible = (text) => text.replace(/[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/gu, (one) => // as core.tables.visible
    /\s|[\x1c-\x1f\x85]/.test(one) ? " " : one < " " ? String.fromCharCode(0x2400 + one.charCodeAt(0)) : one === "\x7f" ? "\u2421" : "\ufffd");
  const length = (value) => value === null ? "-" : value < 60 ? `${value.toFixed(1)} s`
    : value < 3600 ? `${Math.floor(value / 60)} min ${Math.round(value % 60)} s` : `${(value / 3600).toFixed(1)} h`;
  const number = (text) => (text && isFinite(text) && +text >= 0 ? +text : null);

  function filter(rows, query) {
    const text = (query.get("q") || "").trim().toLowerCase(), label = query.get("label"), fold = query.get("fold");
    const low = number(query.get("min")), high = number(query.get("max"));
    const found = rows.filter(([id, labels, of, , seconds]) => (!text || id.toLowerCase().includes(text)) && (!label || (labels || []).includes(label))
      && (!fold || of === fold) && (low === null || (seconds || 0) >= low) && (high === null || (seconds || 0) <= high));
    const page = Math.min(Math.max(Math.floor(+query.get("page")) || 1, 1), Math.max(1, Math.ceil(found.length / ROWS)));
    return { rows: found.slice((page - 1) * ROWS, page * ROWS), page, clips: found.length };
  }

  function link(text, query, changes) {
    const to = new URLSearchParams(query);
    for (const [name, value] of Object.entries(changes)) to.set(name, value);
    return make("a", { href: `?${to}` }, text);
  }

  function table(rows, query) {
    const head = make("tr", {}, ...COLUMNS.map((name, n) => make("th", { scope: "col", className: n === 4 ? "n" : "", "data-name": name }, name)));
    const body = rows.map(([id, labels, fold, group, seconds]) => {
      const cells = [link(visible(id), query, { clip: id }), labels === null ? "unknown" : visible(labels.join(", ")) || "none", visible(fold), visible(group),
        length(seconds)];
      return make("tr", { className: query.get("clip") === id ? "chosen" : "" },
        ...cells.map((cell, n) => make("td", { className: n === 4 ? "n" : "", "data-name": COLUMNS[n] }, cell)));
    });
    return make("div", { className: "scroll", tabIndex: 0 },
      make("table", { "aria-label": "Clips" }, make("thead", {}, head), make("tbody", {}, ...body)));
  }

  function pager({ page, clips }, query) {
    const pages = Math.ceil(clips / ROWS), many = clips.toLocaleString("en");
    const told = `${many} clip${clips === 1 ? "" : "s"}${pages > 1 ? `, page ${page.toLocaleString("en")} of ${pages.toLocaleString("en")}` : ""}`;
    const steps = [["First", page > 1 ? 1 : 0], ["Previous", page - 1], ["Next", page < pages ? page + 1 : 0], ["Last", page < pages ? pages : 0]];
    return make("nav", { className: "pager", "aria-label": "Pages of clips" }, make("span", { className: "soft", role: "status" }, told),
      ...(pages > 1 ? steps.map(([text, to]) => to ? link(text, query, { page: to }) : make("span", { className: "soft" }, text)) : []));
  }

  function draw(found, query) {
    const box = document.getElementById("data-table");
    if (!box) return;
    const at = [...box.querySelectorAll("a")].indexOf(document.activeElement);
    box.replaceChildren(...(found.clips ? [table(found.rows, query), pager(found, query)] : [make("div", { className: "empty" },
      make("h2", {}, "No clip fits"), make("p", {}, "Take a filter away, or search for less."))]));
    if (at >= 0) (box.querySelectorAll("a")[at] || box.querySelector("a"))?.focus({ preventScroll: true });
  }

  const source = (query) => query.get("source") || usual;

  function same(query) { // the address of the same rows, whatever the order of its parts
    const sorted = new URLSearchParams(query);
    sorted.set("source", source(query));
    sorted.sort();
    return `${sorted}`;
  }

  async function question(query, signal) {
    const answer = await fetch(`/clips?${query}`, { signal }), found = await answer.json();
    if (found.source && !query.has("source")) usual = found.source;
    laid = laid || usual;
    return found;
  }

  async function ask(query) {
    ended.abort();
    ended = new AbortController();
    const { signal } = ended;
    try {
      const early = await ahead?.answer, fits = early && same(query) === same(ahead.query);
      ahead = null;
      const found = fits ? early : await question(query, signal), box = document.getElementById("data-table");
      if (signal.aborted || !box) return;
      if (found.problem) box.replaceChildren(make("p", { className: "problem", role: "alert" }, found.problem));
      else draw(found, query);
      if (!found.few || all.source === source(query)) return;
      const mine = all = { source: source(query), rows: null };
      mine.rows = await (await fetch(`/clips?${new URLSearchParams({ source: mine.source, all: 1 })}`)).json();
    } catch (error) { if (error.name !== "AbortError") throw error; }
  }

  function show(search, pause) {
    const query = new URLSearchParams(search || ""), box = document.getElementById("data-table");
    if (!box || (box.firstChild && shown && same(query) === same(shown))) return;
    shown = query;
    clearTimeout(waiting);
    if (all.rows && all.source === source(query)) draw(filter(all.rows, query), query);
    else waiting = setTimeout(() => ask(query), pause || 0);
  }

  function changed(values, before) { // the address for what the controls say
    const query = new URLSearchParams(before), old = query.toString();
    ["source", ...FILTERS].forEach((name, n) => {
      const value = values[n];
      value === null || value === undefined || value === "" ? query.delete(name) : query.set(name, value);
    });
    if (source(query) !== source(new URLSearchParams(before))) ["label", "fold", "clip"].forEach((name) => query.delete(name));
    if (query.toString() === old) return null;
    if (new URLSearchParams(old).has("source")) query.delete("page");
    return `?${query}`;
  }

  if (PAGES.includes(window.location.pathname)) {
    const query = new URLSearchParams(window.location.search);
    ahead = { query, answer: question(query).catch(() => null) };
  }

  new MutationObserver(() => { // the table is drawn as soon as it has a place, which is before Dash asks for it
    const box = document.getElementById("data-table");
    if (box === place) return;
    place = box;
    laid = source(new URLSearchParams(window.location.search));
    show(window.location.search);
  }).observe(document.documentElement, { childList: true, subtree: true });

  document.addEventListener("input", ({ target }) => { // before Dash hears of it
    if (target.id !== "data-q") return;
    const query = new URLSearchParams(window.location.search);
    typed = target.value === (query.get("q") || "") ? null : { text: target.value, until: Date.now() + 2000 };
    target.value ? query.set("q", target.value) : query.delete("q");
    query.delete("page");
    show(`?${query}`, PAUSE);
  }, true);

  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("#data-table a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const to = link.getAttribute("href"), query = new URLSearchParams(to);
    if (!link.closest(".pager")) {
      window.dash_clientside.dcasekit.fetchAhead(source(query), query.get("clip"));
      window.scrollTo(0, 0);
    }
    show(to);
    window.dash_clientside.set_props("address", { search: to });
  });

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.clips = {
    search(...values) {
      const to = changed(values, values[FILTERS.length + 1]);
      if (to === null) return window.dash_clientside.no_update;
      show(to);
      return to;
    },
    show(search, path, ...values) { // draw what the address says, and have the controls say it
      const query = new URLSearchParams(search), none = window.dash_clientside.no_update;
      const late = typed && Date.now() < typed.until && (query.get("q") || "") !== typed.text;
      if (late || !PAGES.includes(path)) return Array(values.length + 1).fill(none); // more was typed since
      typed = null;
      show(search);
      if (laid !== source(query)) { // other data have other labels
        laid = source(query);
        window.dash_clientside.dcasekit.again();
        return Array(values.length + 1).fill(none);
      }
      return [search, ...["source", ...FILTERS].map((name, n) => {
        const value = name === "source" ? source(query) : query.get(name) || "";
        return `${values[n] ?? ""}` === value || (name === "source" && !value) ? none : value || null;
      })];
    },
  };
})();
