/**
 * Wireshark's engine as a second opinion: frames go into a temporary capture file, fields come out.
 *
 * Where tshark is not installed, `isTsharkAvailable()` says so once, loudly, and the caller skips.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

let available: boolean | undefined;

/** Can tshark be run here? Warns once if not. */
export function isTsharkAvailable(): boolean {
  if (available === undefined) {
    available = spawnSync("tshark", ["--version"], { stdio: "ignore" }).status === 0;
    if (!available) console.warn("SKIPPED: tests that ask tshark; tshark is not installed (package tshark)");
  }
  return available;
}

/** Every occurrence of each field, outermost first, as tshark prints it. */
export type TsharkFields<Name extends string> = Readonly<Record<Name, readonly string[]>>;

/** All checksums are verified, whatever the local preferences say. */
const PREFERENCES = ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"].flatMap((name) => [
  "-o",
  `${name}:TRUE`,
]);

/** Decodes Ethernet frames and returns the named fields of each (`ip.src`, `gre.key`, `eth.dst`, …). */
export function tsharkFields<Name extends string>(
  frames: readonly Uint8Array[],
  names: readonly Name[],
): TsharkFields<Name>[] {
  const columns = names.flatMap((name) => ["-e", name]);
  const layout = ["-T", "fields", "-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=;"];
  const text = runTshark(frames, [...layout, ...columns]);
  const lines = text.split("\n").slice(0, frames.length);
  return lines.map((line) => {
    const cells = line.split("\t");
    const entries = names.map((name, index) => [name, cells[index] ? cells[index].split(";") : []]);
    return Object.fromEntries(entries) as TsharkFields<Name>;
  });
}

/** Decodes Ethernet frames into tshark's JSON, one object per frame: its `layers`. */
export function tsharkJson(frames: readonly Uint8Array[]): Record<string, unknown>[] {
  const packets = JSON.parse(runTshark(frames, ["-T", "json"])) as { _source: { layers: Record<string, unknown> } }[];
  return packets.map((packet) => packet._source.layers);
}

function runTshark(frames: readonly Uint8Array[], args: readonly string[]): string {
  const directory = mkdtempSync(join(tmpdir(), "hnv-tshark-"));
  try {
    const file = join(directory, "frames.pcap");
    writeFileSync(file, pcapOf(frames));
    // tshark remarks on being root; only its answer is wanted.
    return execFileSync("tshark", ["-n", ...PREFERENCES, "-r", file, ...args], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
      stdio: ["ignore", "pipe", "pipe"],
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A classic capture file: little-endian, microseconds, link type Ethernet. Written here so that it owes nothing to `src/io`. */
export function pcapOf(frames: readonly Uint8Array[]): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(1, 20);
  const parts: Uint8Array[] = [header];
  frames.forEach((frame, index) => {
    const record = Buffer.alloc(16);
    record.writeUInt32LE(index, 0);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(frame.length, 12);
    parts.push(record, frame);
  });
  return Buffer.concat(parts);
}
