/**
 * Sends frames that are wrong in some way out of a device, as fast as it takes them: fuzz-sender.mjs DEVICE SECONDS SEED CAPTURE….
 *
 * Each is a frame of the captures, one in sixteen as it is, the others with some octets changed (mostly in the headers), with noise from
 * some octet on, cut, or with a length that is not theirs. Same seed, same frames. Prints how many left as JSON.
 */

import { PlainMemory, readFrames } from "../../dist/io/index.js";
import { AfPacketInterface } from "../../dist/io/live/afpacket.js";

const [, , device, seconds, seed, ...captures] = process.argv;
const SLOT = 2048;
const BURST = 64;
const HEADERS = 110;
const FRAMES_PER_CAPTURE = 200;

let state = (Math.imul(Number(seed), 0x9e37_79b1) ^ 0x5bd1_e995) >>> 0 || 1;
const below = (limit) => {
  state ^= state << 13;
  state ^= state >>> 17;
  state = (state ^ (state << 5)) >>> 0;
  return Math.floor(((Math.imul(state, 0x2c1b_3c6d) >>> 0) / 0x1_0000_0000) * limit);
};

const bases = [];
for (const capture of captures) {
  let count = 0;
  for await (const { data } of readFrames(capture)) {
    if (data.length > 1514 + 42 || count++ === FRAMES_PER_CAPTURE) continue;
    bases.push(data.slice());
  }
}

/** Writes the next frame to `at`, and gives its length. */
function write(bytes, at) {
  const base = bases[below(bases.length)];
  bytes.set(base, at);
  const { length } = base;
  switch (below(16)) {
    case 0:
      return length;
    case 1:
    case 2: // cut
      return 14 + below(length - 13);
    case 3:
    case 4: // noise behind some header
      for (let i = 14 + below(HEADERS); i < length; i++) bytes[at + i] = below(256);
      return length;
    case 5: {
      // longer than its headers say
      const more = below(1514 - Math.min(length, 1513));
      bytes.fill(below(256), at + length, at + length + more);
      return length + more;
    }
    default:
      for (let changes = 1 + below(3); changes > 0; changes--) {
        const reach = below(8) === 0 ? length : Math.min(length, HEADERS);
        bytes[at + below(reach)] = below(256);
      }
      return length;
  }
}

const memory = new PlainMemory();
const slots = memory.allocate(BURST * SLOT, 64);
const face = new AfPacketInterface(device, memory);
const end = performance.now() + Number(seconds) * 1000;
while (performance.now() < end) {
  for (let i = 0; i < BURST; i++) face.send(slots + i * SLOT, write(memory.bytes, slots + i * SLOT));
  face.flush(); // what comes back is not taken, and lost in the receive ring
}
const { sent, sendDrops } = face.counters();
face.close();
process.stdout.write(`${JSON.stringify({ sent, refused: sendDrops })}\n`);
