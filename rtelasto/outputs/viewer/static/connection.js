// The WebSocket: requests a frame with a credit, and reconnects when the connection is lost.

import { decodeFrame } from "./wire.js";

const RETRY_MS = [250, 500, 1000, 2000];
// If not even a status arrives for this long (one is sent every second), the connection is dead.
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

  /** Request the next frame; called when the last one is on the screen. */
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
      this.received();
      this.grant();
    };
    socket.onmessage = (event) => {
      this.received();
      if (typeof event.data === "string") this.onStatus(JSON.parse(event.data));
      else this.onFrame(decodeFrame(event.data));
    };
    socket.onclose = async ({ code }) => {
      clearTimeout(this.watch);
      this.onLost(false);
      if ((!opened || code === POLICY_VIOLATION) && (await isRefused())) {
        // The same address would be refused again, and logged each time.
        this.onLost(true);
        return;
      }
      const wait = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
      this.failures += 1;
      setTimeout(() => this.open(), wait);
    };
    this.socket = socket;
  }

  received() {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => this.socket.close(), SILENCE_MS);
  }
}

/** Whether the viewer refuses this page: a browser does not report why a WebSocket could not be opened. */
async function isRefused() {
  try {
    const address = new URL("access", location.href);
    address.search = location.search;
    return (await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(2000) })).status === 403;
  } catch {
    return false;
  }
}
