/** Runs the built program as a user does, in a directory of its own, and reads and writes captures without any code of ours. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { HNV, ROOT } from "./paths.js";

export { HNV, LABS, ROOT } from "./paths.js";

/** The lab of a file, with all off that hosts hear of on the wire and go by for all flows, so that frames from there may go to several workers. */
export const withoutLessonsFromWire = (labFile: string): string =>
  `${readFileSync(labFile, "utf8")}\nsettings: { sendControlMessages: false, acceptRedirect: false, learnPathMtu: false }\n`;

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output as it came. */
  readonly bytes: Buffer;
}

export interface HowToRun {
  readonly cwd?: string;
  readonly input?: Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
}

/** `hnv …args` */
export const hnv = (args: readonly string[], how: HowToRun = {}): Promise<Ended> => run(HNV, args, how);

/**
 * Many command lines in one process, one after the other, for tests that need hundreds: most of a short run is starting up.
 * Standard error is not kept apart.
 */
export async function hnvMany(lines: readonly (readonly string[])[]): Promise<{ status: number; stdout: string }[]> {
  const main = join(ROOT, "dist/cli/main.js");
  const script = `
    const { main } = await import(${JSON.stringify(main)});
    for (const line of ${JSON.stringify(lines)}) process.stdout.write("\\0" + (await main(line)) + "\\0");`;
  const { status, stdout, stderr } = await run(process.execPath, ["--input-type=module", "-e", script], {});
  if (status !== 0) throw new Error(stderr);
  const parts = stdout.split("\0");
  return lines.map((_, index) => ({ stdout: parts[2 * index]!, status: Number(parts[2 * index + 1]) }));
}

/** A line for bash in which `hnv` is the built program. */
export const shell = (line: string, how: HowToRun = {}): Promise<Ended> =>
  run("bash", ["-c", line], { ...how, env: { PATH: `${join(ROOT, "bin")}:${process.env.PATH}`, ...how.env } });

function run(command: string, args: readonly string[], { cwd, input, env }: HowToRun): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env } });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
    child.on("error", reject);
    child.stdin.on("error", () => {}); // it may have ended without reading
    child.on("close", (status) => {
      const bytes = Buffer.concat(out);
      resolve({ status, bytes, stdout: bytes.toString(), stderr: Buffer.concat(err).toString() });
    });
    child.stdin.end(input);
  });
}

/** A directory that goes with the test. */
export function workplace(): (name: string) => string {
  const directory = mkdtempSync(join(tmpdir(), "hnv-cli-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return (name) => join(directory, name);
}

export interface TimedFrame {
  readonly data: Uint8Array;
  /** In microseconds. */
  readonly time: number;
}

/** A classic capture, little-endian, microseconds. Frames without a time get one a second. */
export function pcapBytes(frames: readonly (Uint8Array | TimedFrame)[]): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(1, 20);
  const records = frames.map((frame, index) => {
    const { data, time } = frame instanceof Uint8Array ? { data: frame, time: (1_700_000_000 + index) * 1e6 } : frame;
    const record = Buffer.alloc(16);
    record.writeUInt32LE(Math.floor(time / 1e6), 0);
    record.writeUInt32LE(time % 1e6, 4);
    record.writeUInt32LE(data.length, 8);
    record.writeUInt32LE(data.length, 12);
    return Buffer.concat([record, data]);
  });
  return Buffer.concat([header, ...records]);
}

export const writePcap = (path: string, frames: readonly (Uint8Array | TimedFrame)[]): void =>
  writeFileSync(path, pcapBytes(frames));

/** The frames of a capture that `pcapBytes` or hnv wrote: little-endian, microseconds. */
export function readPcap(path: string): TimedFrame[] {
  const bytes = readFileSync(path);
  if (bytes.readUInt32LE(0) !== 0xa1b2c3d4) throw new Error(`${path} is no capture of this kind`);
  const frames: TimedFrame[] = [];
  for (let at = 24; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at + 8);
    const time = bytes.readUInt32LE(at) * 1e6 + bytes.readUInt32LE(at + 4);
    frames.push({ data: bytes.subarray(at + 16, at + 16 + length), time });
    at += 16 + length;
  }
  return frames;
}

export const readHex = (path: string): string[] => readPcap(path).map(({ data }) => Buffer.from(data).toString("hex"));

/** Blocks of a little-endian pcapng file, with the names of interfaces, flags and comments of packets. */
export interface NgPacket {
  readonly interface: string;
  /** What the interface is described as; of live captures which way its frames went. */
  readonly description: string;
  /** In what its interface counts in; nanoseconds in what live interfaces recorded. */
  readonly time: bigint;
  readonly data: string;
  readonly comments: readonly string[];
  readonly flags: number;
  readonly packetId: number;
}

export function readPcapng(path: string): NgPacket[] {
  const bytes = readFileSync(path);
  const interfaces: { readonly name: string; readonly description: string }[] = [];
  const packets: NgPacket[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at + 4)) {
    const type = bytes.readUInt32LE(at);
    const end = at + bytes.readUInt32LE(at + 4) - 4;
    if (type === 1) {
      const list = options(bytes, at + 16, end);
      const text = (code: number): string => list.find(([found]) => found === code)?.[1].toString() ?? "";
      interfaces.push({ name: text(2), description: text(3) });
    }
    if (type !== 6) continue;
    const captured = bytes.readUInt32LE(at + 20);
    const list = options(bytes, at + 28 + ((captured + 3) & ~3), end);
    const { name, description } = interfaces[bytes.readUInt32LE(at + 8)]!;
    packets.push({
      interface: name,
      description,
      time: (BigInt(bytes.readUInt32LE(at + 12)) << 32n) + BigInt(bytes.readUInt32LE(at + 16)),
      data: bytes.subarray(at + 28, at + 28 + captured).toString("hex"),
      comments: list.filter(([code]) => code === 1).map(([, value]) => value.toString()),
      flags: list.find(([code]) => code === 2)?.[1].readUInt32LE(0) ?? 0,
      packetId: Number(list.find(([code]) => code === 5)?.[1].readBigUInt64LE(0) ?? 0n),
    });
  }
  return packets;
}

function options(bytes: Buffer, at: number, end: number): [number, Buffer][] {
  const found: [number, Buffer][] = [];
  while (at + 4 <= end) {
    const code = bytes.readUInt16LE(at);
    const length = bytes.readUInt16LE(at + 2);
    if (code === 0) break;
    found.push([code, bytes.subarray(at + 4, at + 4 + length)]);
    at += 4 + ((length + 3) & ~3);
  }
  return found;
}

/** With an identification and a header checksum of zero in the outer IPv4 header at `at`: what two runs may differ in. */
export function withoutIdentification(hex: string, at: number): string {
  const bytes = Buffer.from(hex, "hex");
  bytes.fill(0, at + 4, at + 6);
  bytes.fill(0, at + 10, at + 12);
  return bytes.toString("hex");
}

/** The result of `hnv run --json`. */
export interface RunResult {
  readonly schemaVersion: number;
  readonly ports: Record<string, { rx: { packets: number; bytes: number }; tx: { packets: number; bytes: number } }>;
  readonly drops: {
    node: string;
    port: string;
    reason: string;
    windowsReason: string;
    windowsNumber: number;
    count: number;
  }[];
  readonly passed: { port: string; reason: string; count: number }[];
  readonly totals: Record<"in" | "delivered" | "dropped" | "passed" | "consumed" | "copies" | "injected", number>;
  readonly flows: Record<"hits" | "misses" | "entries" | "guarded", number>;
  readonly inputs: { file: string; frames: number; damage: { offset: number } | null }[];
  readonly outputs: { port: string; file: string; frames: number }[];
  readonly elapsedMs: number;
}

/** The result, after making sure that every frame met one end and every drop is counted once, under one reason, at one place. */
export function resultOf({ stdout }: Ended): RunResult {
  const result = JSON.parse(stdout) as RunResult;
  const { totals, drops } = result;
  const ends = totals.delivered + totals.dropped + totals.passed + totals.consumed;
  if (totals.in + totals.copies + totals.injected !== ends) throw new Error(`not conserved: ${JSON.stringify(totals)}`);
  const counted = drops.reduce((sum, { count }) => sum + count, 0);
  if (counted !== totals.dropped) throw new Error(`${totals.dropped} dropped, ${counted} under reasons`);
  return result;
}

/** Does something with each item, a few at a time: starting a program takes longer than what most tests ask of it. */
export async function inParallel<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const waiting = items.values();
  const worker = async (): Promise<void> => {
    for (const item of waiting) await work(item);
  };
  await Promise.all([worker(), worker(), worker()]);
}
