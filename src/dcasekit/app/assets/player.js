/* What runs in the browser: players, and the way from a page's controls to its address. Texts become text nodes, never markup. */
(function () {
  "use strict";
  const open = new Map(); // id of a player -> what ends what it shows
  let ahead = null; // what was asked for before the page said so
  const LEFT = 44; // pixels of the frequency axis
  const RANGE = 0.7; // of 100 dB, that are shown below the loudest
  const HEIGHT = { wave: 56, spectrum: 192 };
  const STOPS = ["000004", "0b0924", "20114b", "3b0f70", "57157e", "721f81", "8c2981", "a8327d", "c43c75", "de4968", "f1605d", "fa7f5e", "fe9f6d",
    "febf84", "fddea0", "fcfdbf"];
  const MAGMA = new Uint32Array(256);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (STOPS.length - 1), low = Math.min(Math.floor(at), STOPS.length - 2), part = at - low;
    const [r, g, b] = [0, 2, 4].map((k) => {
      const [x, y] = [STOPS[low], STOPS[low + 1]].map((stop) => parseInt(stop.slice(k, k + 2), 16));
      return Math.round(x + (y - x) * part);
    });
    MAGMA[i] = (255 << 24) | (b << 16) | (g << 8) | r;
  }

  function make(name, properties, ...children) {
    const made = document.createElement(name);
    const { style, ...rest } = properties || {};
    for (const [key, value] of Object.entries(rest)) key in made ? (made[key] = value) : made.setAttribute(key, value);
    Object.assign(made.style, style || {});
    made.append(...children);
    return made;
  }

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(2).padStart(5, "0")}`;
  const mel = (hz) => 2595 * Math.log10(1 + hz / 700);

  function axis(sr) {
    const ticks = [0, 500, 1000, 2000, 4000, 8000, 16000, 32000].filter((hz) => hz <= sr / 2 && (hz !== 500 || sr < 12000));
    return make("div", { className: "player-axis", style: { height: `${HEIGHT.spectrum}px`, top: `${HEIGHT.wave}px` } },
      make("span", { className: "player-unit" }, "kHz"),
      ...ticks.map((hz) => make("span", { style: { bottom: `${(100 * mel(hz)) / mel(sr / 2)}%` } }, String(hz / 1000))));
  }

  function scores() { // the axis of curves of scores, on the right
    return make("div", { className: "player-axis right", style: { height: `${HEIGHT.spectrum}px`, top: `${HEIGHT.wave}px` } },
      make("span", { className: "player-unit" }, "score"), ...[0, 0.5, 1].map((value) => make("span", { style: { bottom: `${100 * value}%` } }, String(value))));
  }

  function paint(bytes, { rows, top }) {
    const columns = bytes.length / rows, canvas = make("canvas", { width: columns, height: rows });
    const picture = new ImageData(columns, rows), pixels = new Uint32Array(picture.data.buffer);
    const ink = Uint32Array.from({ length: 256 }, (_, level) => MAGMA[Math.max(0, Math.min(255, Math.round(255 - (top - level) / RANGE)))]);
    for (let y = 0; y < rows; y++) {
      const row = (rows - 1 - y) * columns;
      for (let x = 0; x < columns; x++) pixels[row + x] = ink[bytes[y * columns + x]];
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
    return canvas;
  }

  const of = (source, clip) => `source=${encodeURIComponent(source)}&clip=${encodeURIComponent(clip)}`;
  const tile = (address, n, signal) => fetch(`/sound/tile?${address}&n=${n}`, { signal });

  function ask(address) { // for what it is and for its first picture at once, not one after the other
    const asked = ahead?.address === address ? ahead : { address, about: fetch(`/sound/about?${address}`), first: tile(address, 0) };
    [asked.about, asked.first].forEach((each) => each.catch(() => {}));
    return (ahead = asked);
  }

  async function fill(spectrum, about, address, first, signal) {
    for (let n = 0; n * about.tile < about.columns; n++) {
      const answer = await (n ? tile(address, n, signal) : first);
      if (!answer.ok) return;
      const canvas = paint(new Uint8Array(await answer.arrayBuffer()), about);
      Object.assign(canvas.style, { position: "absolute", top: 0, height: "100%", left: `${(100 * n * about.tile) / about.columns}%`,
        width: `${(100 * canvas.width) / about.columns}%` });
      spectrum.prepend(canvas);
    }
  }

  function labels(events, duration) {
    const lanes = []; // when the last event of a lane ends
    return [...events].sort((a, b) => a.onset - b.onset).map((event) => {
      let lane = lanes.findIndex((end) => end <= event.onset);
      if (lane < 0) lane = lanes.length;
      lanes[lane] = event.offset;
      const span = (100 * (event.offset - event.onset)) / duration;
      return make("div", { className: "event", title: `${event.label}, ${event.onset.toFixed(2)} to ${event.offset.toFixed(2)} s`, style: {
        position: "absolute", left: `${(100 * event.onset) / duration}%`, width: `max(${span}%, 2px)`, top: `${4 + 22 * (lane % 8)}px`, height: "19px",
        borderLeft: "2px solid #fff", borderRight: "2px solid #fff", borderTop: `4px solid ${event.color}`, background: "rgb(0 0 0 / .62)",
        color: "#fff", font: "12px/15px system-ui, sans-serif", padding: "0 3px", overflow: "hidden", whiteSpace: "nowrap", boxSizing: "border-box",
        textOverflow: "ellipsis", zIndex: 3, pointerEvents: "none" } }, event.label);
    });
  }

  function curves(clip, duration) {
    if (!clip.curves) return [];
    const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", `0 0 ${duration} 1`);
    svg.setAttribute("preserveAspectRatio", "none");
    Object.assign(svg.style, { position: "absolute", inset: 0, width: "100%", height: "100%", zIndex: 2, pointerEvents: "none" });
    for (const curve of clip.curves) {
      const points = curve.values.flatMap((value, n) => [`${clip.edges[n]},${1 - value}`, `${clip.edges[n + 1]},${1 - value}`]).join(" ");
      for (const [stroke, width] of [["#000", 5], ["#fff", 3.6], [curve.color, 2.2]]) {
        const line = document.createElementNS(space, "polyline");
        for (const [name, value] of Object.entries({ points, fill: "none", stroke, "stroke-width": width, "vector-effect": "non-scaling-stroke" }))
          line.setAttribute(name, value);
        if (curve.dashed && stroke === curve.color) line.setAttribute("stroke-dasharray", "7 5");
        svg.append(line);
      }
    }
    return [svg];
  }

  function legend(clip) {
    return clip.curves ? [make("ul", { className: "legend" }, ...clip.curves.map((curve) =>
      make("li", {}, make("span", { className: "key", style: { background: curve.dashed
        ? `repeating-linear-gradient(90deg, ${curve.color} 0 4px, transparent 4px 6px)` : curve.color } }), curve.label)))] : [];
  }

  async function show(box, clip, signal) {
    const address = of(clip.source, clip.clip), { about: asked, first } = ask(address);
    ahead = null; // an answer is read once
    const answer = await asked;
    if (signal.aborted) return;
    if (!answer.ok) {
      box.replaceChildren(make("p", { className: "problem", role: "alert" }, "This recording cannot be read. Is the file damaged, or is it gone?"));
      return;
    }
    const about = await answer.json();
    const play = make("button", { type: "button", className: "button main", "data-does": "play" }, "Play");
    const part = make("button", { type: "button", className: "button", disabled: true, "data-does": "part" }, "Play selection");
    const time = make("output", { className: "time" }, `${clock(0)} / ${clock(about.duration)}`);
    const zoom = make("input", { type: "range", min: 0, max: 6, step: 0.25, value: 0, "aria-label": "Zoom" });
    const stage = make("div", { className: "player-stage" }), overview = make("div", { className: "player-map" });
    box.replaceChildren(
      make("div", { className: "player-bar" }, play, part, time, make("label", { className: "zoom" }, "Zoom", zoom)),
      make("div", { className: "player-grid", style: { paddingLeft: `${LEFT}px`, paddingRight: clip.curves ? `${LEFT}px` : 0 } },
        axis(about.sr), stage, overview, ...(clip.curves ? [scores()] : [])),
      ...legend(clip),
      make("p", { className: "soft hint" }, "Drag over the picture to select a part. Space plays, arrows move by a second, + and − zoom, Escape deselects."));

    const media = new Audio();
    media.preload = "auto";
    media.src = `/sound/audio?${address}`;
    const regions = WaveSurfer.Regions.create();
    const ws = WaveSurfer.create({ container: stage, media, peaks: [about.peaks], duration: about.duration, height: HEIGHT.wave, normalize: true,
      waveColor: color("--wave"), progressColor: color("--c0"), cursorColor: color("--c1"), cursorWidth: 2, dragToSeek: false,
      plugins: [regions, WaveSurfer.Hover.create({ lineColor: color("--c1"), labelBackground: "#000", labelColor: "#fff", labelSize: "12px" })] });
    signal.addEventListener("abort", () => { media.pause(); ws.destroy(); media.removeAttribute("src"); media.load(); });
    const spectrum = make("div", { part: "spectrum", style: { position: "relative", height: `${HEIGHT.spectrum}px`, overflow: "hidden", background: "#000004" } },
      ...curves(clip, about.duration), ...labels(clip.events, about.duration));
    ws.getWrapper().append(spectrum);
    ws.registerPlugin(WaveSurfer.Timeline.create({ height: 18, timeInterval: about.duration <= 3 ? 0.25 : undefined, primaryLabelSpacing: 2, style: { fontSize: "11px", color: color("--soft") },
      formatTimeCallback: (seconds) => `${+seconds.toFixed(2)} s` }));

    let chosen = null;
    regions.enableDragSelection({ color: "rgb(255 255 255 / .22)" });
    regions.on("region-created", (region) => { regions.getRegions().filter((one) => one !== region).forEach((one) => one.remove()); chosen = region; part.disabled = false; });
    const toggle = () => ws.playPause();
    const hear = () => chosen && ws.play(chosen.start, chosen.end);
    let map = null; // all of the recording, and which part of it is in view: where that is not all
    const magnify = (value) => {
      zoom.value = value;
      map = map || ws.registerPlugin(WaveSurfer.Minimap.create({ container: overview, height: 24, waveColor: color("--wave"), progressColor: color("--c0"),
        cursorColor: color("--c1"), overlayColor: "rgb(128 160 200 / .3)" }));
      overview.classList.toggle("shown", value > 0);
      ws.zoom(value > 0 ? (stage.clientWidth / about.duration) * 2 ** value : 0);
    };
    play.onclick = toggle;
    part.onclick = hear;
    zoom.oninput = () => magnify(+zoom.value);
    ws.on("play", () => { play.textContent = "Pause"; });
    ws.on("pause", () => { play.textContent = "Play"; });
    ws.on("timeupdate", (now) => { time.textContent = `${clock(now)} / ${clock(about.duration)}`; });
    box.onkeydown = (event) => {
      if (event.target !== box && event.target.tagName === "INPUT") return;
      const keys = {
        " ": () => event.target.tagName !== "BUTTON" && toggle(), ArrowLeft: () => ws.setTime(Math.max(0, ws.getCurrentTime() - 1)),
        ArrowRight: () => ws.setTime(Math.min(about.duration, ws.getCurrentTime() + 1)), "+": () => magnify(Math.min(6, +zoom.value + 0.5)),
        "-": () => magnify(Math.max(0, +zoom.value - 0.5)), Enter: () => event.target === box && (chosen ? hear() : toggle()),
        Escape: () => { regions.clearRegions(); chosen = null; part.disabled = true; } };
      if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
      if (!(event.key === " " && event.target.tagName === "BUTTON") && !(event.key === "Enter" && event.target !== box)) event.preventDefault();
      keys[event.key]();
    };
    const redraw = (next) => {
      spectrum.querySelectorAll(".event, svg").forEach((one) => one.remove());
      spectrum.append(...curves(next, about.duration), ...labels(next.events, about.duration));
      box.querySelector(".legend")?.replaceWith(...legend(next));
      if (next.play) ws.play().catch(() => {});
    };
    box.player = { ws, media, regions, redraw, of: address };
    await fill(spectrum, about, address, first, signal);
    box.dataset.drawn = clip.clip;
    if (clip.play) ws.play().catch(() => {});
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.dcasekit = Object.assign(window.dash_clientside.dcasekit || {}, {
    fetchAhead(source, clip) { if (source && clip) ask(of(source, clip)); },
    show(clip, id) {
      const name = JSON.stringify(id), box = document.getElementById(JSON.stringify({ name: id.name, type: id.type }));
      const old = box?.player;
      if (old && clip && old.of === of(clip.source, clip.clip) && box.dataset.drawn) { old.redraw(clip); return clip.clip; } // other events of what is shown: it plays on
      if (box) box.player = null;
      open.get(name)?.abort();
      if (!box) return window.dash_clientside.no_update;
      const end = new AbortController();
      open.set(name, end);
      delete box.dataset.drawn;
      if (!clip) { box.replaceChildren(); box.onkeydown = null; return null; }
      show(box, clip, end.signal).catch((error) => { if (error.name !== "AbortError") throw error; });
      return clip.clip;
    },
  });
})();
