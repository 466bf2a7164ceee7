/**
 * `cap:IFACE`: any Ethernet interface that libpcap can open, by the package `cap`; for systems that have nothing faster.
 *
 * libpcap works in a process of its own (`cap-process.ts` tells why), and frames go back and forth over pipes:
 *
 *     libpcap ─► receive buffer ─► batch ─► pipe ─► one copy into the packet memory, with headroom ─► rows
 *     packet memory ─► batch ─► pipe ─► libpcap
 *
 * When the interface goes down or away, that process ends; another is started every second until one can open it again. A renamed one is heard on.
 *
 * libpcap does not tell of offloads: frames that a virtual device hands over with unfinished checksums cannot be known for it, and
 * must be avoided there (`ethtool -K PEER tx off`). Longer ones than the MTU allows (GRO) are dropped and counted. What libpcap's own
 * buffer loses is not known.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { networkInterfaces } from "node:os";
import { fileURLToPath } from "node:url";
import { ETHERNET_LENGTH, VLAN_TAG_LENGTH } from "../../dataplane/wire/index.js";
import { liveErrorAt } from "./errors.js";
import { type EventedInterface, PRESSING, requireMainThread } from "./evented.js";
import { EventCounts } from "./events.js";
import { FrameQueue } from "./frame-queue.js";
import type { LiveCounters } from "./live-interface.js";
import { packageObstacle } from "./optional-package.js";
import type { RowMemory } from "./rows.js";
import { deviceAttribute, mtuBySysfs } from "./sysfs.js";

/** Three levels up from here is the package, in `src` as in `dist`. */
const PROCESS = fileURLToPath(new URL("../../../dist/io/live/cap-process.js", import.meta.url));
const TEXT = 0x8000_0000;
const RETRY_MS = 1000;
const BATCH_BYTES = 256 * 1024;
const FRAME_MAX = 65_535;
/** Octets on their way to libpcap; beyond them frames find no room. */
const BACKLOG_BYTES = 4 * 1024 * 1024;

/** Opens an interface by its name. Throws a LiveError. */
export async function openCap(uri: string, memory: RowMemory): Promise<CapInterface> {
  const device = uri.slice("cap:".length);
  if (device === "") throw liveErrorAt("LIVE_URI", uri, "expected cap: and the name of an interface");
  requireMainThread(uri);
  const obstacle = packageObstacle("cap");
  if (obstacle !== null) throw liveErrorAt("LIVE_UNSUPPORTED", uri, obstacle);
  const face = new CapInterface(uri, device, memory, mtuBySysfs(device));
  const answer = await face.start();
  if (answer === "ready") return face;
  face.close();
  throw liveErrorAt("LIVE_REFUSED", uri, /not permitted/i.test(answer) ? `${answer}; it needs CAP_NET_RAW` : answer);
}

/**
 * Leaves out what this machine itself sends: frames with the interface's own MAC address, unless they come in. Direction alone will not
 * do: libpcap runs the filter over the first frame itself, where directions are not known, and would lose it. So frames that others
 * on this machine send with other addresses (a bridge) are heard as well. Other systems' libpcap knows no directions here.
 */
function filterOf(device: string): string {
  const mac = deviceAttribute(device, "address") ?? networkInterfaces()[device]?.[0]?.mac ?? "";
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) return "";
  return process.platform === "linux" ? `not ether src ${mac} or inbound` : `not ether src ${mac}`;
}

export class CapInterface implements EventedInterface {
  readonly descriptor = null;
  onArrival: ((isFull: boolean) => void) | null = null;
  readonly #device: string;
  readonly #memory: RowMemory;
  readonly #queue: FrameQueue;
  #mtu: number | null;
  readonly #batch = Buffer.allocUnsafe(BATCH_BYTES);
  #filled = 0;
  #isClosed = false;
  #process: ChildProcess | null = null;
  #isReady = false;
  /** Null while the interface can be used. */
  #trouble: "down" | "gone" | null = null;
  #retry: NodeJS.Timeout | undefined;
  /** The beginning of a record whose end has not come yet. */
  #rest: Buffer = Buffer.alloc(0);
  #received = 0;
  #sent = 0;
  #receiveDrops = 0;
  #sendDrops = 0;
  readonly #events = new EventCounts();

  constructor(
    readonly uri: string,
    device: string,
    memory: RowMemory,
    mtu: number | null,
  ) {
    this.#device = device;
    this.#memory = memory;
    this.#queue = new FrameQueue(memory);
    this.#mtu = mtu;
  }

  get mtu(): number | null {
    return this.#mtu;
  }

  get isOpen(): boolean {
    return !this.#isClosed;
  }

  /** Starts the process; gives `ready` or why it cannot open the interface. */
  start(): Promise<string> {
    const child = spawn(process.execPath, [PROCESS, this.#device, filterOf(this.#device)], {
      stdio: ["pipe", "pipe", "ignore"],
    });
    this.#process = child;
    this.#rest = Buffer.alloc(0);
    return new Promise((resolve) => {
      let isFirst = true;
      const hear = (text: string): void => {
        if (!isFirst) {
          this.#sent--; // which it was thought to be
          this.#sendDrops++;
          this.#events.count(text);
          return;
        }
        isFirst = false;
        this.#isReady = text === "ready";
        resolve(text);
      };
      child.stdout.on("data", (chunk: Buffer) => this.#read(chunk, hear));
      child.stdin.on("error", () => {}); // it has ended, which is heard below
      child.on("error", (error) => hear(error.message));
      child.on("close", () => {
        if (isFirst) hear("libpcap's process ended without a word");
        this.#ended();
      });
    });
  }

  /** The interface went down or away: tries again until it is back. */
  #ended(): void {
    if (this.#isReady && !this.#isClosed) {
      this.#trouble = deviceAttribute(this.#device, "ifindex") === null ? "gone" : "down";
      this.#events.count(this.#trouble);
    }
    this.#isReady = false;
    if (!this.#isClosed) this.#retry = setTimeout(() => this.#restart(), RETRY_MS);
  }

  async #restart(): Promise<void> {
    if ((await this.start()) !== "ready") return;
    this.#events.count(this.#trouble === "down" ? "up" : "back");
    this.#trouble = null;
  }

  /** Notices another MTU. */
  check(): void {
    const mtu = mtuBySysfs(this.#device);
    if (mtu === null || mtu === this.#mtu) return;
    this.#mtu = mtu;
    this.#events.count("mtu");
  }

  #read(chunk: Buffer, hear: (text: string) => void): void {
    const input = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    let at = 0;
    for (let end: number; at + 4 <= input.length; at = end) {
      const head = input.readUInt32LE(at);
      end = at + 4 + (head & ~TEXT);
      if (end > input.length) break;
      if (head >= TEXT) hear(input.toString("utf8", at + 4, end));
      else this.#arrived(input, at + 4, end);
    }
    this.#rest = input.subarray(at);
  }

  #arrived(input: Buffer, at: number, end: number): void {
    if (this.#mtu !== null && end - at > this.#mtu + ETHERNET_LENGTH + 2 * VLAN_TAG_LENGTH) {
      this.#receiveDrops++;
      this.#events.count("longer than the MTU");
      return;
    }
    const address = this.#queue.add(end - at);
    if (address === 0) {
      this.#receiveDrops++;
      return;
    }
    this.#memory.bytes.set(input.subarray(at, end), address);
    const { waiting } = this.#queue;
    if (waiting === 1 || waiting >= PRESSING) this.onArrival?.(waiting >= PRESSING);
  }

  receive(rows: number, max: number, nowNs: bigint): number {
    const count = this.#queue.take(rows, max, nowNs);
    this.#received += count;
    return count;
  }

  release(): void {
    this.#queue.release();
  }

  send(offset: number, length: number): boolean {
    const stdin = this.#process?.stdin;
    if (!this.#isReady || !stdin || length > FRAME_MAX || stdin.writableLength > BACKLOG_BYTES) {
      this.#sendDrops++;
      return false;
    }
    if (this.#filled + 4 + length > BATCH_BYTES) this.flush();
    this.#batch.writeUInt32LE(length, this.#filled);
    this.#batch.set(this.#memory.bytes.subarray(offset, offset + length), this.#filled + 4);
    this.#filled += 4 + length;
    this.#sent++;
    return true;
  }

  flush(): void {
    if (this.#filled === 0) return;
    this.#process?.stdin?.write(Buffer.from(this.#batch.subarray(0, this.#filled)));
    this.#filled = 0;
  }

  counters(): LiveCounters {
    return {
      received: this.#received,
      sent: this.#sent,
      receiveDrops: this.#receiveDrops,
      sendDrops: this.#sendDrops,
      events: this.#events.all(),
    };
  }

  close(): void {
    this.#isClosed = true;
    this.onArrival = null;
    clearTimeout(this.#retry);
    this.flush();
    this.#process?.stdin?.end();
  }
}
