/** The slow path's tools on bytes: what do parsing, checksums and dissection of one frame cost? */
import { parseFrame } from "../dist/dataplane/packet/index.js";
import { checksum, dissect } from "../dist/dataplane/wire/index.js";
import { writeFrame, writeWrapped } from "./support/frames.mjs";
import { bennySuite, digestOf, hex } from "./support/measure.mjs";

const PER_CALL = 100;
const bytes = (write) => {
  const room = new Uint8Array(2048);
  return room.subarray(0, write(new DataView(room.buffer)));
};
const plain = bytes((view) => writeFrame(view, 0, { family: 4, length: 64, flow: 1 }));
const plain6 = bytes((view) => writeFrame(view, 0, { family: 6, length: 128, flow: 1 }));
const wrapped = bytes((view) => writeWrapped(view, 0, 4, { family: 4, length: 64, flow: 1 }));
const long = bytes((view) => writeFrame(view, 0, { family: 4, length: 1500, flow: 1 }));
let sum = 0;
const repeat = (work) => () => {
  for (let k = 0; k < PER_CALL; k++) sum = (sum + work()) >>> 0;
};

await bennySuite("wire: one frame", "wire", PER_CALL, {
  "parse IPv4": repeat(() => parseFrame(plain, 0, plain.length).networkAt),
  "parse IPv6": repeat(() => parseFrame(plain6, 0, plain6.length).networkAt),
  "checksum, 64 bytes": repeat(() => checksum(plain, 0, plain.length)),
  "checksum, 1500 bytes": repeat(() => checksum(long, 0, long.length)),
  "dissect NVGRE": repeat(() => dissect(wrapped).length),
});
const text = dissect(wrapped).join("\n");
console.log(`digest ${hex(digestOf(new TextEncoder().encode(text)))}`);
if (sum === 0) process.exitCode = 1;
