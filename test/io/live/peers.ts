/** Live interfaces inside network namespaces (`live-peer.mjs`), driven by a test. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import type { LiveCounters } from "../../../src/io/live/live-interface.js";
import type { NetnsLab } from "../../oracles/netns.js";

const SCRIPT = fileURLToPath(new URL("live-peer.mjs", import.meta.url));

export interface PeerResult {
  readonly mtu: number | null;
  readonly received: readonly string[];
  readonly counters: LiveCounters;
}

export class Peer {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #errors = "";

  constructor(lab: NetnsLab, namespace: string, ...args: readonly string[]) {
    this.#child = spawn("ip", ["netns", "exec", lab.name(namespace), process.execPath, SCRIPT, ...args]);
    onTestFinished(() => void this.#child.kill("SIGKILL"));
    this.#child.stderr!.on("data", (chunk) => {
      this.#errors += chunk;
    });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** The next line that it prints. */
  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`the peer ended: ${this.#errors}`);
    return value;
  }

  write(...lines: readonly string[]): void {
    this.#child.stdin!.write(`${lines.join("\n")}\n`);
  }

  /** What has happened so far, for people. */
  async events(): Promise<Readonly<Record<string, number>>> {
    this.write("events");
    return JSON.parse(await this.line());
  }

  /** Waits for as many frames as it was told to expect. */
  async finish(): Promise<PeerResult> {
    this.#child.stdin!.end();
    return JSON.parse(await this.line());
  }

  async stop(): Promise<PeerResult> {
    this.write("end");
    return JSON.parse(await this.line());
  }
}

/** A new link takes up to a second until the system calls it up. */
export async function untilUp(lab: NetnsLab, namespace: string, device: string): Promise<void> {
  for (let waits = 0; waits < 100; waits++) {
    if ((await lab.exec(namespace, "cat", `/sys/class/net/${device}/operstate`)).trim() === "up") return;
    await setTimeout(50);
  }
  throw new Error(`${device} did not come up`);
}
