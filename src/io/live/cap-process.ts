/**
 * The process in which libpcap captures and sends for `cap.ts`; never imported. The package `cap` ends its whole process when an
 * interface goes down (an assertion in its poll callback), and does not return to the event loop while frames keep coming: both are harmless here.
 *
 * Arguments: interface, filter. Standard output: records, each a 32-bit length (little-endian) and so many octets of a frame; with
 * the highest bit set, of text: first `ready` or why not, later what could not be sent. Standard input: frames to send, in the same form.
 */
import { writeSync } from "node:fs";
import { createRequire } from "node:module";

const TEXT = 0x8000_0000;
const BATCH_BYTES = 256 * 1024;
/** The event loop may not get a turn for as long as frames come without a pause. */
const BATCH_AGE_MS = 1;
const FRAME_BYTES = 65_536;
const CAPTURE_BYTES = 32 * 1024 * 1024;

interface CapPackage {
  readonly Cap: new () => Cap;
}
interface Cap {
  open(device: string, filter: string, bufferBytes: number, buffer: Buffer): string;
  on(event: "packet", listener: (bytes: number, truncated: boolean) => void): void;
  send(frame: Buffer, length: number): void;
}

const batch = Buffer.allocUnsafe(BATCH_BYTES);
let filled = 0;
let begunMs = 0;
let isScheduled = false;

/** Standard output blocks: what the other side does not take in time waits, and in the end is lost, in libpcap's buffer. */
function write(): void {
  isScheduled = false;
  for (let at = 0; at < filled; ) at += writeSync(1, batch, at, filled - at);
  filled = 0;
}

function put(octets: Uint8Array, length: number, flag = 0): void {
  const nowMs = performance.now();
  if (filled + 4 + length > BATCH_BYTES || (filled > 0 && nowMs - begunMs > BATCH_AGE_MS)) write();
  if (filled === 0) begunMs = nowMs;
  batch.writeUInt32LE((length | flag) >>> 0, filled);
  batch.set(octets.subarray(0, length), filled + 4);
  filled += 4 + length;
  if (isScheduled) return;
  isScheduled = true;
  setImmediate(write);
}

function say(text: string): void {
  const octets = Buffer.from(text.split("\n")[0]!);
  put(octets, octets.length, TEXT);
}

function run(device: string, filter: string): void {
  const { Cap } = createRequire(import.meta.url)("cap") as CapPackage;
  const cap = new Cap();
  const frame = Buffer.alloc(FRAME_BYTES);
  const linkType = cap.open(device, filter, CAPTURE_BYTES, frame);
  if (linkType !== "ETHERNET") throw new Error(`carries no Ethernet frames (${linkType})`);
  cap.on("packet", (bytes, truncated) => {
    if (!truncated) put(frame, bytes);
  });

  let rest: Buffer = Buffer.alloc(0);
  process.stdin.on("data", (chunk: Buffer) => {
    const input = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    let at = 0;
    for (let end: number; at + 4 <= input.length; at = end) {
      end = at + 4 + input.readUInt32LE(at);
      if (end > input.length) break;
      try {
        cap.send(input.subarray(at + 4, end), end - at - 4);
      } catch (error) {
        say((error as Error).message);
      }
    }
    rest = input.subarray(at);
  });
  process.stdin.on("end", () => process.exit());
}

// The terminal's signals are the parent's business; it ends us by closing standard input.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
try {
  run(process.argv[2]!, process.argv[3]!);
  say("ready");
} catch (error) {
  say((error as Error).message);
  write();
  process.exit(1);
}
