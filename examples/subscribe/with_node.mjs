// The same in JavaScript: zeromq and msgpack on the messages of docs/wire.md.
//
//   npm install --prefix examples/subscribe
//   node examples/subscribe/with_node.mjs [ENDPOINT]

import { decode } from "@msgpack/msgpack";
import { Subscriber } from "zeromq";

// Arrays are little-endian, as is every machine on which Node runs today.
const ARRAYS = { "<f4": Float32Array, "<i2": Int16Array, "|u1": Uint8Array };

// A slow subscriber should miss frames, not show old ones.
const socket = new Subscriber({ receiveHighWaterMark: 2 });
socket.subscribe("strain");
socket.connect(process.argv[2] ?? "tcp://127.0.0.1:5556");
for await (const [topic, packed, ...buffers] of socket) {
  const header = decode(packed);
  // ZeroMQ compares prefixes only, and another major version has another meaning.
  if (topic.toString() !== "strain" || header.schema.split(".")[0] !== "rtelasto/1") continue;
  const arrays = {};
  header.arrays.forEach(({ name, dtype, shape }, i) => {
    // A copy, because a typed array has to begin at a multiple of its element's size.
    arrays[name] = { shape, values: new ARRAYS[dtype](new Uint8Array(buffers[i]).buffer) };
  });
  const [pre, post] = header.frame_ids;
  const [nLines, nDepths] = arrays.axial_strain.shape;
  // What is not known is nil.
  const applied = 100 * (header.applied_strain ?? NaN);
  const quality = header.quality ?? NaN;
  console.log(
    `frames ${pre} and ${post}: ${nLines} x ${nDepths} pixels, ` +
      `applied strain ${applied.toFixed(2)} %, quality ${quality.toFixed(2)}`,
  );
}
