/**
 * `tap:NAME`: a TAP device, the end of a cable whose other end is a network device of this machine, of a namespace or of a VM.
 *
 * The device is made if there is none, and then goes with us. The system on the other side leaves checksums and the cutting of long
 * frames to us (offloads), which spares it work and us calls: one read brings up to 64 KiB.
 */
import { type PacketMemory, SLOT_HEADROOM } from "../../dataplane/packet/index.js";
import type { CallBatch } from "./call-batch.js";
import { liveErrorAt, liveErrorOf, SystemError } from "./errors.js";
import { EventCounts } from "./events.js";
import { Intake, setTime, type Time } from "./intake.js";
import { type LiveCounters, type LiveInterface, type LiveShare, UNSHARED } from "./live-interface.js";
import {
  deviceIndex,
  deviceName,
  deviceRequest,
  hasDevice,
  isDeviceUp,
  nameInRequest,
  setDeviceUp,
} from "./net-device.js";
import { OFFLOAD_HEADER_LENGTH, offloadAt } from "./offload.js";
import { setPointer } from "./send-batch.js";
import { IOVEC, int32, O_NONBLOCK, O_RDWR, type System, system } from "./system.js";
import { openCalls } from "./uring.js";

const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNGETIFF = 0x800454d2;
const TUNSETVNETHDRSZ = 0x400454d8;
/** A TAP device, no packet information before frames, but an offload header. */
const FLAGS = 0x0002 | 0x1000 | 0x4000;
/** IFF_MULTI_QUEUE: a queue for each thread; the device sends a flow where its frames came from. */
const FLAG_MULTI_QUEUE = 0x0100;
/** What may be left to us: checksums, TCP segmentation over IPv4 and IPv6. */
const OFFLOADS = 0x01 | 0x02 | 0x04;
const IFREQ_FLAGS = 16;

/** The longest that a read can bring, offload header aside. */
const LONGEST_FRAME = 65_536 + 128;
/** Frames of one `receive`, and of one system call on their way out. */
const READS_MAX = 64;
const WRITES_MAX = 256;
/** A frame is read into a slot of its own, behind its headroom; only what frames fill of a slot is ever backed by memory. */
const SLOT_BYTES = (SLOT_HEADROOM + LONGEST_FRAME + 63) & ~63;

export class TapInterface implements LiveInterface {
  readonly uri: string;
  readonly mtu = null;
  readonly isOpen = true;
  readonly #events = new EventCounts();
  readonly #system: System;
  readonly #calls: CallBatch;
  readonly #intake: Intake;
  /** Slots that frames are read into. */
  readonly #slots: number;
  /** For each frame of a batch two iovecs: an offload header of zeros, and the frame. */
  readonly #iovecs: number;
  readonly #noOffload: number;
  readonly #time: Time = { low: 0, high: 0 };
  /** What the last batch of reads brought: which slots have frames, how long they are, and how many of them the intake took. */
  readonly #filled = new Uint8Array(READS_MAX);
  readonly #lengths = new Uint32Array(READS_MAX);
  #read = 0;
  #taken = 0;
  /** How many frames the next batch asks for: more as long as all of them come. */
  #ahead = 1;
  /** Frames that wait for `flush`. */
  #waiting = 0;
  /** Where the packet memory begins. */
  #base = 0;
  #descriptor: number;
  /** The device's index while it is in our namespace. */
  #index: number;
  #isUp: boolean;
  #sent = 0;
  #sendDrops = 0;

  /** Throws a LiveError that says what is missing. */
  constructor(
    private readonly device: string,
    private readonly memory: PacketMemory,
    private readonly share = UNSHARED,
  ) {
    this.uri = `tap:${device}`;
    this.#system = system();
    this.#intake = new Intake(memory);
    this.#slots = memory.allocate(READS_MAX * SLOT_BYTES);
    this.#iovecs = memory.allocate(WRITES_MAX * 2 * IOVEC.SIZE);
    this.#noOffload = memory.allocate(OFFLOAD_HEADER_LENGTH);
    try {
      this.#descriptor = attach(this.#system, device, share);
      this.#index = deviceIndex(this.#system, device);
    } catch (error) {
      throw explain(this.uri, error, share);
    }
    this.#calls = openCalls(this.#system, WRITES_MAX, this.#descriptor);
    this.#isUp = share.workers > 1 || this.#seemsUp(); // another thread may be about to set it up
  }

  get descriptor(): number {
    return this.#descriptor;
  }

  receive(rows: number, max: number, nowNs: bigint): number {
    const intake = this.#intake;
    setTime(this.#time, nowNs);
    intake.begin(rows, max);
    if (this.#taken === this.#read && !intake.isFull) this.#readFrames();
    while (this.#taken < this.#read && !intake.isFull) this.#takeNext();
    return intake.count;
  }

  /** Overwrites all slots. */
  #readFrames(): void {
    const calls = this.#calls;
    this.#findMemory();
    for (let slot = 0; slot < this.#ahead; slot++) {
      const to = this.#base + this.#headerAt(slot);
      calls.read(this.#descriptor, to, OFFLOAD_HEADER_LENGTH + LONGEST_FRAME);
    }
    const asked = calls.run();
    this.#taken = 0;
    this.#read = 0;
    for (let slot = 0; slot < asked; slot++) {
      const length = calls.result(slot) - OFFLOAD_HEADER_LENGTH;
      if (length <= 0) continue; // a frame may have come just in time for the next read
      this.#filled[this.#read] = slot;
      this.#lengths[this.#read++] = length;
    }
    this.#ahead = Math.min(this.#read === asked ? 2 * asked : this.#read + 1, READS_MAX);
  }

  #headerAt(slot: number): number {
    return this.#slots + slot * SLOT_BYTES + SLOT_HEADROOM - OFFLOAD_HEADER_LENGTH;
  }

  #takeNext(): void {
    const header = this.#headerAt(this.#filled[this.#taken]!);
    const offload = offloadAt(this.memory, header, 0);
    const length = this.#lengths[this.#taken++]!;
    this.#intake.add(header + OFFLOAD_HEADER_LENGTH, length, SLOT_HEADROOM, this.#time, offload);
  }

  release(): void {}

  send(offset: number, length: number): boolean {
    if (this.#waiting === WRITES_MAX) this.flush();
    if (this.#waiting === 0) this.#findMemory();
    const iovecs = this.#iovecs + this.#waiting * 2 * IOVEC.SIZE;
    setPointer(this.memory, iovecs + IOVEC.SIZE, this.#base + offset);
    this.memory.setU32(iovecs + IOVEC.SIZE + IOVEC.LENGTH, length);
    this.#waiting++;
    return true;
  }

  flush(): void {
    if (this.#waiting === 0) return;
    const calls = this.#calls;
    for (let i = 0; i < this.#waiting; i++) {
      calls.writev(this.#descriptor, this.#base + this.#iovecs + i * 2 * IOVEC.SIZE, 2);
    }
    const count = calls.run();
    for (let i = 0; i < count; i++) {
      if (calls.result(i) >= 0) this.#sent++;
      else this.#sendDrops++;
    }
    this.#waiting = 0;
  }

  /** Memory that grows may move. */
  #findMemory(): void {
    const base = this.#system.addressOf(this.memory.memory.buffer);
    if (base === this.#base) return;
    this.#base = base;
    for (let i = 0; i < WRITES_MAX; i++) {
      const iovec = this.#iovecs + i * 2 * IOVEC.SIZE;
      setPointer(this.memory, iovec, base + this.#noOffload);
      this.memory.setU32(iovec + IOVEC.LENGTH, OFFLOAD_HEADER_LENGTH);
    }
  }

  /** Notices a device that went down, came up or was removed; makes it again then. */
  check(): void {
    if (this.#descriptor >= 0 && this.#nameNow() === undefined) {
      this.#events.count("gone");
      this.#detach();
    }
    if (this.#descriptor < 0) this.#attachAgain();
    const isUp = this.#seemsUp();
    if (isUp !== this.#isUp) this.#events.count(isUp ? "up" : "down");
    this.#isUp = isUp;
  }

  #attachAgain(): void {
    try {
      this.#descriptor = attach(this.#system, this.device, this.share);
      this.#index = deviceIndex(this.#system, this.device);
      this.#events.count("back");
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
    }
  }

  /** Undefined once the device was removed. */
  #nameNow(): string | undefined {
    const { bytes } = deviceRequest("");
    try {
      this.#system.ioctl(this.#descriptor, TUNGETIFF, bytes, "TUNGETIFF");
    } catch (error) {
      if (error instanceof SystemError) return undefined;
      throw error;
    }
    return nameInRequest(bytes);
  }

  /** In another network namespace, where a guest has it, we cannot look; a device here may have the same name. */
  #seemsUp(): boolean {
    const name = this.#descriptor < 0 ? undefined : this.#nameNow();
    if (name === undefined) return false;
    return deviceName(this.#system, this.#index) !== name || (isDeviceUp(this.#system, name) ?? true);
  }

  counters(): LiveCounters {
    return {
      received: this.#intake.received,
      sent: this.#sent,
      receiveDrops: this.#intake.malformed,
      sendDrops: this.#sendDrops,
      events: this.#events.all(this.#intake.malformed),
    };
  }

  close(): void {
    this.#detach();
    this.#calls.close();
  }

  #detach(): void {
    if (this.#descriptor >= 0) this.#system.close(this.#descriptor);
    this.#descriptor = -1;
  }
}

/** Says of a device that cannot be attached to what a person can do about it. */
function explain(uri: string, error: unknown, { workers }: LiveShare): unknown {
  if (!(error instanceof SystemError)) return error;
  const { code, message } = error;
  if (code === "EBUSY") return liveErrorAt("LIVE_REFUSED", uri, `another program has it (${message})`);
  if (code !== "EINVAL") return liveErrorOf(uri, error, "CAP_NET_ADMIN");
  const queues = workers > 1 ? "has one queue, and threads need several" : "has several queues, which need --workers";
  return liveErrorAt("LIVE_REFUSED", uri, `what is there is no TAP device, or ${queues} (${message})`);
}

/** Attaches to the device, or makes it and sets it up. */
function attach(system: System, device: string, { workers }: LiveShare): number {
  const isNew = !hasDevice(system, device);
  const descriptor = system.open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  try {
    const { bytes, view } = deviceRequest(device);
    view.setUint16(IFREQ_FLAGS, workers > 1 ? FLAGS | FLAG_MULTI_QUEUE : FLAGS, true);
    system.ioctl(descriptor, TUNSETIFF, bytes, "TUNSETIFF");
    // A device keeps what whoever had it before wanted: QEMU's headers are longer by two.
    system.ioctl(descriptor, TUNSETVNETHDRSZ, int32(OFFLOAD_HEADER_LENGTH), "TUNSETVNETHDRSZ");
    system.ioctlNumber(descriptor, TUNSETOFFLOAD, OFFLOADS, "TUNSETOFFLOAD");
    if (isNew) setDeviceUp(system, device);
    return descriptor;
  } catch (error) {
    system.close(descriptor);
    throw error;
  }
}
