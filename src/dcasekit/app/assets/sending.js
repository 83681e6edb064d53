/* Sends recordings: a file that is chosen or dropped, or what the microphone gives. The server takes them as they come. */
(function () {
  "use strict";
  const LONGEST = 600; // seconds of a recording from the microphone

  function make(name, properties, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties || {})) key in made ? (made[key] = value) : made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function wave(blocks, rate) {
    const samples = blocks.reduce((sum, block) => sum + block.length, 0);
    const view = new DataView(new ArrayBuffer(44 + 2 * samples));
    const write = (at, text) => [...text].forEach((letter, n) => view.setUint8(at + n, letter.charCodeAt(0)));
    write(0, "RIFF"); view.setUint32(4, 36 + 2 * samples, true); write(8, "WAVEfmt "); view.setUint32(16, 16, true);
    view.setUint16(20, 1, true); view.setUint16(22, 1, true); view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true);
    view.setUint16(32, 2, true); view.setUint16(34, 16, true); write(36, "data"); view.setUint32(40, 2 * samples, true);
    let at = 44;
    for (const block of blocks) for (const value of block) { view.setInt16(at, Math.max(-1, Math.min(1, value)) * 32767, true); at += 2; }
    return new Blob([view], { type: "audio/wav" });
  }

  function build(box, store) {
    const choose = make("input", { type: "file", accept: "audio/*", id: "predict-file", className: "hidden" });
    const record = make("button", { type: "button", className: "button" }, "Record");
    const bar = make("progress", { max: 1, value: 0, hidden: true, "aria-label": "Sent" });
    const said = make("p", { className: "said-of", role: "status" });
    const zone = make("label", { className: "drop", htmlFor: "predict-file" }, make("span", { className: "button main" }, "Choose a file"),
      make("span", { className: "soft" }, "or drop one here: wav, flac, ogg, mp3, aiff …"), choose);
    box.replaceChildren(zone, make("div", { className: "row" }, record), bar, said);

    function send(body, name) {
      const request = new XMLHttpRequest(); // fetch tells nothing of how far it is
      request.open("POST", `/upload?name=${encodeURIComponent(name)}`);
      request.responseType = "json";
      bar.hidden = false;
      said.textContent = `Sending ${name}`;
      request.upload.onprogress = (event) => { bar.value = event.loaded / event.total; if (event.loaded === event.total) said.textContent = "Decoding"; };
      request.onerror = () => { bar.hidden = true; said.textContent = "The connection broke. Is the server still running, or is the file too large?"; };
      request.onload = () => {
        bar.hidden = true;
        const answer = request.response || {};
        said.textContent = answer.clip ? "" : answer.problem || "The server refused this file.";
        if (answer.clip) window.dash_clientside.set_props(store, { data: answer.clip });
      };
      request.send(body);
    }

    choose.onchange = () => { if (choose.files[0]) send(choose.files[0], choose.files[0].name); choose.value = ""; };
    zone.ondragover = (event) => { event.preventDefault(); zone.classList.add("over"); };
    zone.ondragleave = () => zone.classList.remove("over");
    zone.ondrop = (event) => { event.preventDefault(); zone.classList.remove("over"); const file = event.dataTransfer.files[0]; if (file) send(file, file.name); };

    let stop = null;
    record.onclick = async () => {
      if (stop) { stop(); return; }
      if (!navigator.mediaDevices) { said.textContent = "Browsers lend the microphone only to https and to this machine's own pages."; return; }
      try {
        const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
        const context = new AudioContext(), blocks = [], began = new Date();
        await context.audioWorklet.addModule("/assets/worklet.js");
        const recorder = new AudioWorkletNode(context, "dcasekit-recorder", { numberOfOutputs: 0 });
        recorder.port.onmessage = ({ data }) => {
          blocks.push(data);
          const seconds = (blocks.length * data.length) / context.sampleRate;
          said.textContent = `Recording, ${seconds.toFixed(1)} s`;
          if (seconds > LONGEST && stop) stop();
        };
        context.createMediaStreamSource(stream).connect(recorder);
        record.textContent = "Stop recording";
        stop = () => {
          stop = null;
          record.textContent = "Record";
          recorder.port.onmessage = null;
          stream.getTracks().forEach((track) => track.stop());
          context.close();
          send(wave(blocks, context.sampleRate), `recording ${began.toTimeString().slice(0, 8)}.wav`);
        };
      } catch (error) { said.textContent = `The microphone cannot be used: ${error.message}`; }
    };
  }

  setInterval(() => fetch("/alive", { method: "POST" }).catch(() => {}), 240000);

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.dcasekit = Object.assign(window.dash_clientside.dcasekit || {}, {
    sending(id, store) {
      const box = document.getElementById(id);
      if (box && !box.childElementCount) build(box, store);
      return "";
    },
    chosen(model, threshold, clip, search) {
      const query = new URLSearchParams(search), before = query.toString();
      const sent = window.dash_clientside.callback_context.triggered.some(({ prop_id: id }) => id === "predict-sent.data");
      if (model) query.set("model", model);
      if (threshold !== null && threshold !== undefined && (threshold !== 0.5 || query.has("threshold"))) query.set("threshold", threshold);
      if (sent && clip) { query.set("source", "uploads"); query.set("clip", clip); }
      return query.toString() === before ? window.dash_clientside.no_update : `?${query}`;
    },
  });
})();
