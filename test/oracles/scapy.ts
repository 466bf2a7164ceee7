/**
 * Scapy as an independent encoder: a Python expression goes in, frames come out.
 *
 * Where Scapy is not installed, `isScapyAvailable()` says so once, loudly, and the caller skips.
 */
import { execFileSync, spawnSync } from "node:child_process";

/** Debian's Scapy belongs to Debian's Python, which need not be the first one found. */
const PYTHONS = ["/usr/bin/python3", "python3"];

let python: string | null | undefined;

/** Can Scapy be imported here? Warns once if not. */
export function isScapyAvailable(): boolean {
  if (python === undefined) {
    const finds = (name: string) => spawnSync(name, ["-c", "import scapy"], { stdio: "ignore" }).status === 0;
    python = PYTHONS.find(finds) ?? null;
    if (!python) console.warn("SKIPPED: tests that ask Scapy; it is not installed (package python3-scapy)");
  }
  return python !== null;
}

/**
 * Runs Python statements in which everything of `scapy.all` is known and which call `emit(packet)` for each frame that they
 * want to return. Checksums and lengths are Scapy's.
 */
export function scapyFrames(statements: string): Uint8Array[] {
  if (!isScapyAvailable()) throw new Error("ask isScapyAvailable() first");
  const program = [
    "import logging; logging.getLogger('scapy').setLevel(logging.CRITICAL)",
    "from scapy.all import *",
    "def emit(packet): print(bytes(packet).hex())",
    statements,
  ].join("\n");
  const printed = execFileSync(python!, ["-"], {
    encoding: "utf8",
    input: program,
    stdio: ["pipe", "pipe", "pipe"],
    maxBuffer: 1 << 28,
  });
  const lines = printed.split("\n").filter(Boolean);
  return lines.map((line) => Uint8Array.from(Buffer.from(line, "hex")));
}
