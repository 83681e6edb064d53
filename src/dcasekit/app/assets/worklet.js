/* Hands what a microphone gives to the page, block by block. */
registerProcessor("dcasekit-recorder", class extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input[0].slice());
    return true;
  }
});
