// The WebSocket: asks for a frame by a credit, and connects again when it is lost.

import { decodeFrame } from "./wire.js";

const RETRY_MS = [250, 500, 1000, 2000];
// Without even a status for so long (one comes each second), the connection is dead.
const SILENCE_MS = 5000;
const POLICY_VIOLATION = 1008;

export class Connection {
  /** Callbacks: onFrame(frame), onStatus(status), onLost(refused). */
  constructor({ onFrame, onStatus, onLost }) {
    this.onFrame = onFrame;
    this.onStatus = onStatus;
    this.onLost = onLost;
    this.failures = 0;
    this.watch = 0;
    this.open();
  }

  /** Ask for the next frame: to be called when the last one is on the screen. */
  grant() {
    if (this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify({ now_ms: performance.now() }));
    }
  }

  open() {
    const address = new URL("stream", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = location.search;
    const socket = new WebSocket(address);
    let opened = false;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      opened = true;
      this.failures = 0;
      this.heard();
      this.grant();
    };
    socket.onmessage = (event) => {
      this.heard();
      if (typeof event.data === "string") this.onStatus(JSON.parse(event.data));
      else this.onFrame(decodeFrame(event.data));
    };
    socket.onclose = async ({ code }) => {
      clearTimeout(this.watch);
      this.onLost(false);
      if ((!opened || code === POLICY_VIOLATION) && (await isRefused())) {
        // The same address will be refused again, and each time logged.
        this.onLost(true);
        return;
      }
      const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
      this.failures += 1;
      setTimeout(() => this.open(), wait);
    };
    this.socket = socket;
  }

  heard() {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => this.socket.close(), SILENCE_MS);
  }
}

/** Whether the viewer lets this page in: a browser does not say why a WebSocket could not be opened. */
async function isRefused() {
  try {
    const address = new URL("access", location.href);
    address.search = location.search;
    return (await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(2000) })).status === 403;
  } catch {
    return false;
  }
}
