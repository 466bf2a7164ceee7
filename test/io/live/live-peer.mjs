/**
 * A live interface in a process of its own, for tests that need one inside a network namespace:
 * live-peer.mjs URI COUNT [MAC]. Says `ready`; sends each frame that standard input has as a line of hexadecimal digits; ends when COUNT frames
 * were received and standard input has ended, or is closed by `end`; then prints what was received and the counters as JSON.
 */
import { createInterface } from "node:readline";
import { openCap, openRawIp, PlainMemory } from "../../../dist/io/index.js";

const [, , uri, count, mac] = process.argv;
const memory = new PlainMemory();
const rows = memory.allocate(256 * 64);
const scratch = memory.allocate(70_000);
const received = [];
let isEnded = false;

try {
  const face = uri.startsWith("cap:")
    ? await openCap(uri, memory)
    : openRawIp(uri, memory, mac === undefined ? {} : { mac: Number(mac) });

  const end = () => {
    const counters = face.counters();
    face.close();
    process.stdout.write(`${JSON.stringify({ mtu: face.mtu, received, counters })}\n`, () => process.exit());
  };
  const round = () => {
    for (let got = 1; got > 0; ) {
      got = face.receive(rows, 256, 5n);
      for (let row = rows; row < rows + got * 64; row += 64) {
        const [offset, length] = [memory.u32(row), memory.u32(row + 4)];
        received.push(Buffer.from(memory.bytes.slice(offset, offset + length)).toString("hex"));
      }
      face.release();
    }
    if (isEnded && received.length >= Number(count)) end();
  };
  face.onArrival = () => setImmediate(round);
  setInterval(round, 20);

  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    if (line === "end") return end();
    if (line === "events") return process.stdout.write(`${JSON.stringify(face.counters().events)}\n`);
    const frame = Buffer.from(line, "hex");
    memory.bytes.set(frame, scratch);
    face.send(scratch, frame.length);
    face.flush();
  });
  lines.on("close", () => {
    isEnded = true;
    round();
  });
  process.stdout.write("ready\n");
} catch (error) {
  process.stdout.write(`${error.name}: ${error.message}\n`);
  process.exitCode = 1;
}
