// The WebSocket: asks for a frame by a credit, and connects again when it is lost.

import { decodeFrame } from "./wire.js";

const RETRY_MS = [250, 500, 1000, 2000];
// Without even a status for so long (one comes each second), the connection is dead.
const SILENCE_MS = 5000;

export class Connection {
  /** Callbacks: onFrame(frame), onStatus(status), onLost(). */
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
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.failures = 0;
      this.heard();
      this.grant();
    };
    socket.onmessage = (event) => {
      this.heard();
      if (typeof event.data === "string") this.onStatus(JSON.parse(event.data));
      else this.onFrame(decodeFrame(event.data));
    };
    socket.onclose = () => {
      clearTimeout(this.watch);
      this.onLost();
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
