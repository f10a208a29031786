// The health line: rates in and out, losses by cause, latency, engine and device.

const RATE_MS = 2000;

/** Rate of events over the last two seconds, or since the first if that is less. */
export class Rate {
  constructor() {
    this.times = [];
    this.first = null;
  }

  add(now) {
    this.first ??= now;
    this.times.push(now);
    this.forget(now);
  }

  perSecond(now) {
    this.forget(now);
    if (this.first === null || now <= this.first) return 0;
    return (1000 * this.times.length) / Math.min(RATE_MS, now - this.first);
  }

  forget(now) {
    while (this.times.length && this.times[0] < now - RATE_MS) this.times.shift();
  }
}

const fixed = (value, digits) => (value == null ? "–" : value.toFixed(digits));

/** Text of the line's four parts; `age` is the age of the frame on the screen and the event it counts from. */
export function healthTexts(status, shownPerSecond, age) {
  const pipeline = status?.pipeline;
  const rates = pipeline?.rates ?? {};
  const losses = Object.entries(status?.losses ?? {});
  const total = losses.reduce((sum, [, count]) => sum + count, 0);
  const causes = losses.map(([cause, count]) => `${cause} ${count}`).join(", ");
  const screen = age ? `on screen ${age.ms.toFixed(0)} ms after ${age.from}` : "";
  return {
    rates:
      `in ${fixed(rates.received, 1)}/s · strain ${fixed(rates["strain.out"], 1)}/s · ` +
      `shown ${shownPerSecond.toFixed(1)}/s`,
    drops: total ? `dropped ${total} (${causes})` : "nothing dropped",
    lost: total > 0,
    latency:
      `latency p50 ${fixed(rates.latency_p50_ms, 0)} ms, p99 ${fixed(rates.latency_p99_ms, 0)} ms` +
      (screen && ` · ${screen}`),
    engine: pipeline ? `${pipeline.info.engine ?? "–"} on ${pipeline.info.device ?? "–"}` : "",
  };
}

// If the share of incoming frames that are shown is lower, the machine or the page does not keep up.
const KEEPS_UP = 0.8;

/** On overload, how many of the frames are shown; else empty. */
export function overloadWords(status, shownPerSecond) {
  const received = status?.pipeline?.rates.received;
  if (!received || !(shownPerSecond > 0) || shownPerSecond >= KEEPS_UP * received) return "";
  return `${shownPerSecond.toFixed(0)} of ${received.toFixed(0)} frames/s shown`;
}
