/**
 * What the capture tests share: a scratch folder, foreign tools, a collection of captures made by them, and a stand-in for the
 * kernel that passes frames from a reader to an output.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";
import { ROW, ROW_SIZE, STREAM, STREAM_ITEM } from "../../src/dataplane/packet/layout.js";
import {
  allocateStream,
  type CapturedFrame,
  CaptureError,
  type CaptureOutput,
  type CaptureReader,
  type CaptureRewriter,
  createRewriter,
  openCapture,
  PlainMemory,
  readFrames,
  type StreamBuffer,
} from "../../src/io/index.js";

/** A folder that goes away with the test file. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "hnv-io-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Is this program installed? If not, one loud line says what is left out. */
export function hasTool(command: string, ...probe: readonly string[]): boolean {
  try {
    execFileSync(command, probe, { stdio: "ignore" });
    return true;
  } catch {
    console.warn(`SKIPPED: "${command} ${probe.join(" ")}" does not run here; the tests that need it are left out`);
    return false;
  }
}

/** Debian's own Python sees Debian's scapy; another one that stands first in the path may not. */
export const PYTHON = "/usr/bin/python3";

export function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], maxBuffer: 1 << 28 });
}

/** Everything that a capture gives, and the error that ended it. */
export async function readAll(path: string): Promise<{ frames: CapturedFrame[]; error: CaptureError | undefined }> {
  const frames: CapturedFrame[] = [];
  try {
    for await (const frame of readFrames(path)) frames.push(frame);
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error;
    return { frames, error };
  }
  return { frames, error: undefined };
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** Puts a frame into a stream as the kernel does. */
export function putFrame(
  stream: StreamBuffer,
  frame: Uint8Array,
  {
    timestampNs,
    sequence,
    source = 0,
    missing = 0,
  }: { timestampNs: bigint; sequence: number; source?: number; missing?: number },
): void {
  const view = new DataView(stream.memory.memory.buffer);
  const get = (field: number): number => view.getUint32(stream.address + field, true);
  const set = (field: number, value: number): void => view.setUint32(stream.address + field, value, true);
  const at = get(STREAM.CURSOR) + get(STREAM.GAP);
  const count = get(STREAM.LIST_COUNT);
  if (at + frame.length > get(STREAM.END) || count === get(STREAM.LIST_CAPACITY))
    throw new Error("no room in the stream");
  stream.memory.bytes.set(frame, at);
  const item = stream.itemAt(count);
  view.setUint32(item + STREAM_ITEM.OFFSET, at, true);
  view.setUint32(item + STREAM_ITEM.LENGTH, frame.length, true);
  view.setUint32(item + STREAM_ITEM.SEQUENCE, sequence, true);
  view.setBigUint64(item + STREAM_ITEM.TIMESTAMP, timestampNs, true);
  view.setUint32(item + STREAM_ITEM.MISSING, missing, true);
  view.setUint32(item + STREAM_ITEM.SOURCE, source, true);
  if (count > 0 && ((sequence - get(STREAM.LAST_SEQUENCE)) | 0) < 0) set(STREAM.DISORDERED, 1);
  set(STREAM.LAST_SEQUENCE, sequence);
  set(STREAM.LIST_COUNT, count + 1);
  set(STREAM.CURSOR, at + frame.length);
}

const BURST = 32;
const BURST_BYTES = 300_000;

/**
 * Passes every whole frame of a reader through `change` to an output; undefined drops it. Returns how many frames were seen.
 */
export async function pump(
  reader: CaptureReader,
  memory: PlainMemory,
  output: CaptureOutput & Partial<CaptureRewriter>,
  change: (frame: Uint8Array, index: number) => Uint8Array | undefined,
): Promise<number> {
  const rows = memory.allocate(BURST * ROW_SIZE);
  const stream = allocateStream(memory, 2 * 1024 * 1024, 4096, output.gapBytes);
  let seen = 0;
  do {
    for (let count = 1; count > 0; ) {
      count = reader.fill(rows, 0, BURST, BURST_BYTES);
      const view = new DataView(memory.memory.buffer);
      for (let index = 0; index < count; index++, seen++) {
        const row = rows + index * ROW_SIZE;
        const offset = view.getUint32(row + ROW.OFFSET, true);
        const frame = change(memory.bytes.slice(offset, offset + view.getUint32(row + ROW.LENGTH, true)), seen);
        if (!frame || view.getUint32(row + ROW.MISSING, true) > 0) continue;
        const timestampNs = view.getBigUint64(row + ROW.TIMESTAMP, true);
        putFrame(stream, frame, { timestampNs, sequence: seen, source: view.getUint32(row + ROW.SOURCE, true) });
      }
      if (!stream.hasRoom(2 * BURST_BYTES, BURST)) await output.drainStream(stream);
    }
    await output.drainStream(stream);
  } while (await reader.more());
  return seen;
}

/** Rewrites a capture as `hnv encap` and `hnv decap` do, with `growth` more (or fewer) bytes in front of each frame. */
export async function rewrite(input: string, outputPath: string, growth: number): Promise<void> {
  const memory = new PlainMemory();
  const reader = await openCapture(input, memory, { keepsBlocks: true, chunkBytes: 65_536 });
  const output = await createRewriter(reader, outputPath, { frameGrowth: growth > 0 ? 66 : -66 });
  await pump(reader, memory, output, (frame) => {
    if (growth < 0) return frame.slice(-growth);
    const longer = new Uint8Array(frame.length + growth).fill(0x5a);
    longer.set(frame, growth);
    return longer;
  });
  await reader.close();
  await output.finish();
  if (reader.damage) throw reader.damage;
}

/** A capture written by a tool that is not ours, and what it holds. */
export interface Specimen {
  readonly name: string;
  readonly path: string;
}

/**
 * Makes the collection in a folder: by scapy, by the tools of Wireshark, and by struct in Python where no tool writes the form.
 * Returns the frames that each holds (blocks-*.pcapng with frames 7 and 8 the other way round) and the files.
 */
export function makeSpecimens(folder: string): {
  readonly frames: readonly string[];
  readonly files: readonly Specimen[];
} {
  run(PYTHON, fileURLToPath(new URL("make-specimens.py", import.meta.url)), folder);
  const at = (name: string): string => join(folder, name);
  for (const [format, name] of [
    ["pcap", "editcap-micro.pcap"],
    ["nsecpcap", "editcap-nano.pcap"],
    ["modpcap", "editcap-modified.pcap"],
    ["pcapng", "editcap.pcapng"],
  ] as const)
    run("editcap", "-F", format, at("big-nano.pcap"), at(name));
  run("mergecap", "-a", "-w", at("mergecap.pcapng"), at("little-nano.pcap"), at("big-micro.pcap"));
  run("tcpdump", "-r", at("big-micro.pcap"), "-w", at("tcpdump.pcap"));
  const names = [
    ...["big-micro.pcap", "big-nano.pcap", "little-nano.pcap", "modified-big.pcap", "snaplen.pcap", "scapy.pcap"],
    ...["editcap-micro.pcap", "editcap-nano.pcap", "editcap-modified.pcap", "tcpdump.pcap"],
    ...["scapy.pcapng", "editcap.pcapng", "mergecap.pcapng", "blocks-big.pcapng", "blocks-little.pcapng"],
  ];
  const frames = run("cat", at("frames.hex")).trim().split("\n");
  return { frames, files: names.map((name) => ({ name, path: at(name) })) };
}

export const HAS_TOOLS =
  hasTool(PYTHON, "-c", "import scapy") && hasTool("tshark", "--version") && hasTool("tcpdump", "--version");
