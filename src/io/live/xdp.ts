/**
 * `xdp:IFACE` and `xdp:IFACE#QUEUE`: frames of one receive queue by AF_XDP, the shortest way from a device to the engine.
 *
 * The kernel writes each frame into a chunk of the UMEM, which is part of the packet memory; the row points there, and what the
 * engine made of it is sent from the same chunk. Frames from elsewhere are copied into a chunk of their own.
 *
 *                fill ring ┌────────────────────────────── free chunks ◄─────────────┐
 *                          ▼                                    │ copy               │
 *     device ─► kernel ─► receive ring ─► rows ─► engine ─► transmit ring ─► kernel ─► completion ring
 *
 * How chunks are bounded. With rings of N entries there are 3 N chunks, and at least N of them are free or being sent: the
 * fill ring gets no more than what is left. So whenever the transmit ring has room there is a chunk to be copied to.
 *
 * What the driver must leave alone: receive offloads that take out VLAN tags are switched off, and, where the program runs in
 * generic mode, those that join frames. Native XDP on a veth device switches off the segmentation offload of the other end by
 * itself. Where the other end is a stack and not a wire, checksums that it left open are completed here. Everything is restored by `close`; after a kill the program is
 * gone, but the offloads stay off.
 *
 * Refused by name: an MTU whose frames do not fit into a chunk (`xdp:eth1: …`), since that would take XDP multi-buffer.
 */
import { type PacketMemory, ROW, ROW_SIZE } from "../../dataplane/packet/index.js";
import { ETHERNET_LENGTH, VLAN_TAG_LENGTH } from "../../dataplane/wire/index.js";
import { LiveError, liveErrorOf, SystemError } from "./errors.js";
import { EventCounts } from "./events.js";
import type { LiveCounters, LiveInterface } from "./live-interface.js";
import { deviceIndex, deviceMtu, deviceName, isDeviceUp, stopJoining } from "./net-device.js";
import { ERRNO } from "./system.js";
import { driverOf, keepTags, makePromiscuous, receiveQueueCount } from "./xdp/device.js";
import { completePartialChecksum } from "./xdp/partial-checksum.js";
import { type XdpMode, XdpProgram } from "./xdp/program.js";
import type { Ring } from "./xdp/ring.js";
import { XdpSocket, type XdpStatistics } from "./xdp/socket.js";
import { type XdpSystem, xdpSystem } from "./xdp/system-calls.js";
import { CHUNK, CHUNK_HEADROOM, Umem } from "./xdp/umem.js";

/** Their other end is this system's own stack, or a guest's, which leaves checksums to the device. */
const DRIVERS_WITHOUT_WIRE: readonly string[] = ["veth", "tun"];
const PRIVILEGE = "CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF";
const RING_SIZE = 2048;
/** The kernel takes powers of two from 2,048 to the size of a page. */
const CHUNK_SIZES: readonly number[] = [2048, 4096];
/** What a frame is longer than the packet in it: addresses, type and two VLAN tags. */
const LINK_BYTES = ETHERNET_LENGTH + 2 * VLAN_TAG_LENGTH;
/** The kernel takes some milliseconds to give back the queue of a socket that was closed. */
const PATIENCE_MS = 500;
/** A wakeup sends only so many frames, so it takes several; this bounds them should the device stand still. */
const WAKEUPS_MAX = 128;

export interface XdpOptions {
  /** Entries of each ring, a power of two; the UMEM has three times as many chunks. */
  readonly ringSize?: number;
}

/** What is open while the device is there. */
interface Attachment {
  readonly index: number;
  readonly program: XdpProgram;
  readonly mode: XdpMode;
  readonly socket: XdpSocket;
  readonly restore: () => void;
}

export class XdpInterface implements LiveInterface {
  readonly uri: string;
  readonly isOpen = true;
  readonly umem: Umem;
  readonly #device: string;
  readonly #queue: number | null;
  readonly #system: XdpSystem;
  readonly #events = new EventCounts();
  readonly #ringSize: number;
  #attachment: Attachment | null = null;
  #mtu: number;
  #isUp = true;
  /** The device's name now; the one that was asked for is what is looked for when it is gone. */
  #name = "";
  /** May frames come whose checksum was left to hardware? */
  #completesChecksums = false;
  /** Chunks of the last `receive`. */
  readonly #received: Uint32Array;
  #receivedCount = 0;
  /** Chunks that were given to the transmit ring and have not come back. */
  #sending = 0;
  #receivedTotal = 0;
  #sentTotal = 0;
  #refused = 0;
  /** Of attachments that are gone. */
  #before: XdpStatistics = NO_STATISTICS;

  /** `argument`: `eth1` or `eth1#0`. Throws a LiveError that says in one line what is missing. */
  constructor(argument: string, memory: PacketMemory, { ringSize = RING_SIZE }: XdpOptions = {}) {
    this.uri = `xdp:${argument}`;
    [this.#device, this.#queue] = parse(this.uri, argument);
    this.#ringSize = ringSize;
    this.#received = new Uint32Array(2 * ringSize);
    this.#system = xdpSystem();
    try {
      this.#mtu = deviceMtu(this.#system, this.#device);
      const chunkSize = chunkSizeFor(this.uri, this.#mtu);
      this.umem = new Umem(memory, this.#system, chunkSize, 3 * ringSize);
      this.#attach(PATIENCE_MS);
    } catch (error) {
      throw explain(this.uri, error);
    }
  }

  get mtu(): number {
    return this.#mtu;
  }
  get descriptor(): number {
    return this.#attachment?.socket.descriptor ?? -1;
  }
  /** How it works here: `native, copy`. */
  get mode(): string {
    if (this.#attachment === null) return "gone";
    return `${this.#attachment.mode}, ${this.#attachment.socket.isZeroCopy ? "zero-copy" : "copy"}`;
  }

  receive(rows: number, max: number, nowNs: bigint): number {
    if (this.#attachment === null) return 0;
    const { socket } = this.#attachment;
    const ring = socket.receive;
    const count = ring.available(Math.min(max, this.#received.length - this.#receivedCount));
    if (count === 0) {
      if (socket.fill.needsWakeup) this.#system.wakeReceive(socket.descriptor);
      this.#wake(socket); // a device that was busy before may take the rest now
      return 0;
    }

    const { umem } = this;
    describe(ring, count, umem, rows, nowNs);
    for (let i = 0; i < count; i++) {
      const chunk = ring.words[ring.entries + (((ring.own + i) & ring.mask) << 2)]! >>> umem.chunkShift;
      umem.states[chunk] = CHUNK.RECEIVED;
      this.#received[this.#receivedCount + i] = chunk;
    }
    if (this.#completesChecksums) completeChecksums(umem.bytes, umem.words, rows, count);
    ring.own = (ring.own + count) >>> 0;
    ring.consumed();
    this.#receivedCount += count;
    this.#receivedTotal += count;
    return count;
  }

  release(): void {
    const { umem } = this;
    for (let i = 0; i < this.#receivedCount; i++) {
      const chunk = this.#received[i]!;
      if (umem.states[chunk] === CHUNK.LENT) umem.states[chunk] = CHUNK.SENDING;
      else umem.give(chunk);
    }
    this.#receivedCount = 0;
    if (this.#attachment === null) return;
    this.#takeCompleted(this.#attachment.socket);
    this.#fill(this.#attachment.socket);
  }

  send(offset: number, length: number): boolean {
    const socket = this.#attachment?.socket;
    if (
      socket === undefined ||
      !this.#isUp ||
      length < ETHERNET_LENGTH ||
      length > this.#mtu + LINK_BYTES ||
      !this.#makeRoom(socket)
    ) {
      this.#refused++;
      return false;
    }
    const at = this.#lend(offset, length) ?? this.#copy(offset, length);
    const ring = socket.transmit;
    const entry = ring.entries + ((ring.own & ring.mask) << 2);
    ring.words[entry] = at;
    ring.words[entry + 2] = length;
    ring.own = (ring.own + 1) >>> 0;
    this.#sending++;
    this.#sentTotal++;
    return true;
  }

  flush(): void {
    if (this.#attachment !== null) this.#wake(this.#attachment.socket);
  }

  /** Notices a device that went down, came up, got another MTU or name, disappeared or came back. */
  check(): void {
    if (this.#attachment === null) {
      this.#attachAgain();
      return;
    }
    const { index, socket } = this.#attachment;
    const name = socket.isLost() ? undefined : deviceName(this.#system, index);
    if (name === undefined) {
      this.#events.count("gone");
      this.#detach();
      return;
    }
    if (name !== this.#name) this.#events.count("renamed");
    this.#name = name;
    this.#noticeState(name);
    // What waits since a wakeup was refused, and what has been sent since the last frame came.
    this.#wake(socket);
    this.#takeCompleted(socket);
    this.#fill(socket);
  }

  counters(): LiveCounters {
    const statistics = this.#statistics();
    return {
      received: this.#receivedTotal,
      sent: this.#sentTotal,
      receiveDrops: statistics.receiveDropped + statistics.receiveRingFull + statistics.receiveInvalid,
      sendDrops: this.#refused + statistics.transmitInvalid,
      events: this.#events.all(),
      slots: this.umem.slots(),
    };
  }

  close(): void {
    if (this.#attachment !== null) this.#detach();
  }

  /** Room for one frame in the transmit ring; the kernel is asked to make some if there is none. */
  #makeRoom(socket: XdpSocket): boolean {
    if (this.#sending === this.#ringSize) {
      this.#wake(socket);
      this.#takeCompleted(socket);
    }
    return this.#sending < this.#ringSize && socket.transmit.room(1) === 1;
  }

  /** Offset in the UMEM of a frame that lies whole in a chunk of the last `receive` which has not been sent yet. */
  #lend(offset: number, length: number): number | null {
    const { umem } = this;
    const at = offset - umem.base;
    if (at < 0 || at >= umem.length) return null;
    const chunk = at >>> umem.chunkShift;
    if (umem.states[chunk] !== CHUNK.RECEIVED || (at & (umem.chunkSize - 1)) + length > umem.chunkSize) return null;
    umem.states[chunk] = CHUNK.LENT;
    return at;
  }

  #copy(offset: number, length: number): number {
    const { umem } = this;
    const at = (umem.take(CHUNK.SENDING) << umem.chunkShift) + CHUNK_HEADROOM;
    umem.bytes.copyWithin(umem.base + at, offset, offset + length);
    return at;
  }

  /** Shows the kernel what the transmit ring has, and wakes it until it has taken all of it or does not go on. */
  #wake(socket: XdpSocket): void {
    const ring = socket.transmit;
    ring.publish();
    const most = WAKEUPS_MAX + this.#sending;
    for (let i = 0; i < most && !ring.isTaken && ring.needsWakeup; i++) {
      const before = ring.theirs;
      const result = this.#system.wakeTransmit(socket.descriptor);
      if (result === 0) continue;
      if (result === -ERRNO.EBUSY && !socket.isZeroCopy) {
        // The device has dropped one, for want of a carrier or of room, and those behind it wait for another call.
        this.#sentTotal--;
        this.#refused++;
        continue;
      }
      if (result !== -ERRNO.EAGAIN || ring.isTaken || ring.theirs === before) return; // tried again with the next flush or check
    }
  }

  /** Chunks that have been sent are free again, or will be when they are released. */
  #takeCompleted(socket: XdpSocket): void {
    const { umem } = this;
    const ring = socket.completion;
    const count = ring.available(this.#sending);
    for (let i = 0; i < count; i++) {
      const chunk = ring.words[ring.entries + (((ring.own + i) & ring.mask) << 1)]! >>> umem.chunkShift;
      if (umem.states[chunk] === CHUNK.LENT) umem.states[chunk] = CHUNK.RETURNED;
      else umem.give(chunk);
    }
    if (count === 0) return;
    ring.own = (ring.own + count) >>> 0;
    ring.consumed();
    this.#sending -= count;
  }

  /** Gives the kernel what chunks there are beyond those that are kept for sending. */
  #fill(socket: XdpSocket): void {
    const { umem } = this;
    const ring = socket.fill;
    const count = ring.room(Math.max(umem.freeCount + this.#sending - this.#ringSize, 0));
    for (let i = 0; i < count; i++) {
      const entry = ring.entries + (((ring.own + i) & ring.mask) << 1);
      ring.words[entry] = umem.take(CHUNK.FILLING) << umem.chunkShift;
    }
    if (count === 0) return;
    ring.own = (ring.own + count) >>> 0;
    ring.publish();
  }

  #attach(patienceMs: number): void {
    const system = this.#system;
    const index = deviceIndex(system, this.#device);
    const queueCount = receiveQueueCount(system, this.#device);
    const queue = chooseQueue(this.uri, this.#queue, queueCount);
    const undo: (() => void)[] = [];
    let mode: XdpMode;
    const restore = (): void => {
      while (undo.length > 0) undo.pop()!();
    };
    try {
      const promiscuous = makePromiscuous(system, index);
      undo.push(() => system.close(promiscuous));
      const socket = new XdpSocket(system, {
        interfaceIndex: index,
        queue,
        umem: this.umem,
        ringSize: this.#ringSize,
        patienceMs,
      });
      undo.push(() => socket.close());
      const program = new XdpProgram(system, queueCount);
      undo.push(() => program.close());
      program.register(queue, socket.descriptor);
      undo.push(keepTags(system, index));
      this.#fill(socket);
      mode = program.attach(index); // from here on frames come
      if (mode === "generic") undo.push(stopJoining(system, index));
      this.#attachment = { index, program, mode, socket, restore };
    } catch (error) {
      restore();
      this.umem.reclaimAll();
      throw error;
    }
    this.#name = this.#device;
    this.#completesChecksums = mode === "generic" || DRIVERS_WITHOUT_WIRE.includes(driverOf(system, this.#device));
    this.#isUp = true;
    this.#noticeState(this.#device);
  }

  #attachAgain(): void {
    try {
      const mtu = deviceMtu(this.#system, this.#device);
      if (mtu > longestPacket(this.umem.chunkSize)) return;
      this.#attach(0);
      this.#mtu = mtu;
    } catch (error) {
      if (error instanceof SystemError || error instanceof LiveError) return; // still not there, or not as it was
      throw error;
    }
    this.#events.count("back");
  }

  #detach(): void {
    this.#before = this.#statistics();
    this.#attachment!.restore();
    this.#attachment = null;
    this.umem.reclaimAll();
    this.#receivedCount = 0;
    this.#sending = 0;
  }

  #noticeState(name: string): void {
    try {
      const isUp = isDeviceUp(this.#system, name) === true;
      if (isUp !== this.#isUp) this.#events.count(isUp ? "up" : "down");
      this.#isUp = isUp;
      // A longer one that was set since we opened is not for us: the kernel counts as lost what exceeds a chunk.
      const mtu = Math.min(deviceMtu(this.#system, name), longestPacket(this.umem.chunkSize));
      if (mtu !== this.#mtu) this.#events.count("mtu");
      this.#mtu = mtu;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error; // renamed or gone in between: the next check sees it
    }
  }

  /** Since the beginning, with those of attachments that are gone. */
  #statistics(): XdpStatistics {
    const now = this.#attachment?.socket.statistics() ?? NO_STATISTICS;
    const before = this.#before;
    return {
      receiveDropped: before.receiveDropped + now.receiveDropped,
      receiveRingFull: before.receiveRingFull + now.receiveRingFull,
      receiveInvalid: before.receiveInvalid + now.receiveInvalid,
      transmitInvalid: before.transmitInvalid + now.transmitInvalid,
    };
  }
}

/** Writes a row for each of the ring's next frames. */
function describe(
  { words: descriptors, entries, own, mask }: Ring,
  count: number,
  umem: Umem,
  rows: number,
  nowNs: bigint,
): void {
  const { words, base, chunkSize } = umem;
  const timeLow = Number(nowNs & 0xffff_ffffn);
  const timeHigh = Number(nowNs >> 32n);
  for (let i = 0; i < count; i++) {
    const entry = entries + (((own + i) & mask) << 2);
    const offset = descriptors[entry]!;
    const row = (rows + i * ROW_SIZE) >>> 2;
    words[row + (ROW.OFFSET >> 2)] = base + offset;
    words[row + (ROW.LENGTH >> 2)] = descriptors[entry + 2]!;
    words[row + (ROW.HEADROOM >> 2)] = offset & (chunkSize - 1);
    words[row + (ROW.TIMESTAMP >> 2)] = timeLow;
    words[row + (ROW.TIMESTAMP >> 2) + 1] = timeHigh;
    words[row + (ROW.MISSING >> 2)] = 0;
  }
}

function completeChecksums(bytes: Uint8Array, words: Uint32Array, rows: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const row = (rows + i * ROW_SIZE) >>> 2;
    completePartialChecksum(bytes, words[row + (ROW.OFFSET >> 2)]!, words[row + (ROW.LENGTH >> 2)]!);
  }
}

const NO_STATISTICS: XdpStatistics = { receiveDropped: 0, receiveRingFull: 0, receiveInvalid: 0, transmitInvalid: 0 };

function parse(uri: string, argument: string): [device: string, queue: number | null] {
  const match = /^([^#]+)(?:#(\d{1,4}))?$/.exec(argument);
  if (match === null) throw new LiveError("LIVE_URI", `${uri}: expected xdp:IFACE or xdp:IFACE#QUEUE`);
  return [match[1]!, match[2] === undefined ? null : Number(match[2])];
}

const longestPacket = (chunkSize: number): number => chunkSize - CHUNK_HEADROOM - LINK_BYTES;

function chunkSizeFor(uri: string, mtu: number): number {
  const size = CHUNK_SIZES.find((chunkSize) => mtu <= longestPacket(chunkSize));
  if (size !== undefined) return size;
  const longest = longestPacket(Math.max(...CHUNK_SIZES));
  throw new LiveError(
    "LIVE_REFUSED",
    `${uri}: the MTU of ${mtu} is more than the ${longest} that AF_XDP takes here (XDP multi-buffer is not used); use afpacket`,
  );
}

function chooseQueue(uri: string, queue: number | null, queueCount: number): number {
  const forms = `${uri.split("#")[0]}#0 to #${queueCount - 1}`;
  if (queue === null && queueCount > 1) {
    const device = uri.slice(uri.indexOf(":") + 1);
    const remedy = `"ethtool -L ${device} combined 1" leaves one, or name one: ${forms}`;
    throw new LiveError("LIVE_REFUSED", `${uri}: frames arrive at ${queueCount} queues; ${remedy}`);
  }
  if (queue !== null && queue >= queueCount) {
    const there = queueCount === 1 ? "the only queue is #0" : `there are ${forms}`;
    throw new LiveError("LIVE_REFUSED", `${uri}: there is no such queue, ${there}`);
  }
  return queue ?? 0;
}

/** Says of a failed call what a person can do about it. */
function explain(uri: string, error: unknown): unknown {
  if (!(error instanceof SystemError)) return error;
  switch (error.code) {
    case "EBUSY":
    case "EEXIST":
      return new LiveError(
        "LIVE_REFUSED",
        `${uri}: the interface or its queue belongs to another XDP program (${error.message})`,
      );
    case "ENOBUFS":
      return new LiveError(
        "LIVE_NOT_PERMITTED",
        `${uri}: the limit of locked memory is too low, see "ulimit -l" (${error.message})`,
      );
    case "EAFNOSUPPORT":
      return new LiveError("LIVE_UNSUPPORTED", `${uri}: the kernel has no AF_XDP sockets (${error.message})`);
    case "ENOSYS":
      return new LiveError("LIVE_UNSUPPORTED", `${uri}: the kernel has no bpf system call (${error.message})`);
    default:
      return liveErrorOf(uri, error, PRIVILEGE);
  }
}
