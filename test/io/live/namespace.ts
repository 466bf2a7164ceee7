/**
 * A network namespace of its own for a test file: this process leaves the machine's for an empty one, which vanishes with it.
 * Needs root, `ip` and koffi.
 */
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";

const CLONE_NEWNET = 0x4000_0000;

/** Null when the process is in an empty namespace now, else why not. */
export function enterNamespace(): string | null {
  if (process.getuid?.() !== 0) return "not root";
  try {
    const koffi = createRequire(import.meta.url)("koffi");
    const unshare = koffi.load(null).func("int unshare(int flags)");
    if (unshare(CLONE_NEWNET) !== 0) return "no network namespace can be made";
    ip("link set lo up");
    return null;
  } catch (error) {
    return error instanceof Error ? error.message.split("\n")[0]! : String(error);
  }
}

export const ip = (command: string): string => execFileSync("ip", command.split(" "), { encoding: "utf8" });

/** Moves a device of the namespace to another one and back, where it has its index again, and sets it up. */
export function moveAwayAndBack(device: string): void {
  const other = `hnv-t-${process.pid}-other`;
  ip(`netns add ${other}`);
  try {
    ip(`link set ${device} netns ${other}`);
    ip(`-n ${other} link set ${device} netns ${process.pid}`);
  } finally {
    ip(`netns del ${other}`);
  }
  ip(`link set ${device} up`);
}
