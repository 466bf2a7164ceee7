/** The slow path's tools on bytes: what do parsing, checksums and dissection of one frame cost? */
import { parseFrame } from "../dist/dataplane/packet/index.js";
import { checksum, dissect, Toeplitz } from "../dist/dataplane/wire/index.js";
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

// The Toeplitz hash, and the two ways that were left: a bit at a time, and four bits at a time from a table an eighth as large.
const KEY = Uint8Array.from({ length: 40 }, (_, at) => (at * 157 + 91) & 0xff);
const toeplitz = new Toeplitz(KEY);
const PORTS4 = 14 + 20;
const PORTS6 = 14 + 40;

function toeplitzByBits(bytes, at, end) {
  let hash = 0;
  for (let bit = 0; bit < (end - at) * 8; bit++) {
    if ((bytes[at + (bit >>> 3)] << (bit & 7)) & 0x80) hash ^= windowAt(bit);
  }
  return hash >>> 0;
}

function windowAt(bit) {
  const at = bit >>> 3;
  const shift = bit & 7;
  const word = (KEY[at] << 24) | (KEY[at + 1] << 16) | (KEY[at + 2] << 8) | KEY[at + 3];
  return shift === 0 ? word : (word << shift) | (KEY[at + 4] >>> (8 - shift));
}

const nibbles = new Int32Array(36 * 2 * 16);
for (let place = 0; place < 72; place++)
  for (let value = 1; value < 16; value++)
    for (let bit = 0; bit < 4; bit++)
      if (value & (8 >>> bit)) nibbles[(place << 4) | value] ^= windowAt(place * 4 + bit);

function toeplitzByNibbles(bytes, at, end) {
  let hash = 0;
  for (let row = 0; at < end; at++, row += 32)
    hash ^= nibbles[row | (bytes[at] >>> 4)] ^ nibbles[(row + 16) | (bytes[at] & 15)];
  return hash >>> 0;
}

for (const way of [toeplitzByBits, toeplitzByNibbles]) {
  if (way(plain6, 22, 58) !== toeplitz.hash(plain6, 22, 58)) throw new Error(`${way.name} differs`);
}

await bennySuite("wire: one frame", "wire", PER_CALL, {
  "parse IPv4": repeat(() => parseFrame(plain, 0, plain.length).networkAt),
  "parse IPv6": repeat(() => parseFrame(plain6, 0, plain6.length).networkAt),
  "checksum, 64 bytes": repeat(() => checksum(plain, 0, plain.length)),
  "checksum, 1500 bytes": repeat(() => checksum(long, 0, long.length)),
  "dissect NVGRE": repeat(() => dissect(wrapped).length),
  "Toeplitz IPv4 with ports": repeat(() => toeplitz.hashIp(plain, 4, 14, PORTS4)),
  "Toeplitz IPv6 with ports": repeat(() => toeplitz.hashIp(plain6, 6, 14, PORTS6)),
  "Toeplitz, 36 bytes by nibbles": repeat(() => toeplitzByNibbles(plain6, 22, 58)),
  "Toeplitz, 36 bytes by bits": repeat(() => toeplitzByBits(plain6, 22, 58)),
});
const text = dissect(wrapped).join("\n");
console.log(`digest ${hex(digestOf(new TextEncoder().encode(text)))}`);
if (sum === 0) process.exitCode = 1;
