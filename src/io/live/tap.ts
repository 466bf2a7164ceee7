/**
 * `tap:NAME`: a TAP device, the end of a cable whose other end is a network device of this machine, of a namespace or of a VM.
 *
 * The device is made if there is none, and then goes with us. The system on the other side leaves checksums and the cutting of long
 * frames to us (offloads), which spares it work and us calls: one read brings up to 64 KiB.
 */
import { type PacketMemory, SLOT_HEADROOM } from "../../dataplane/packet/index.js";
import { liveErrorOf, SystemError } from "./errors.js";
import { EventCounts } from "./events.js";
import { Intake, setTime, type Time } from "./intake.js";
import { type LiveCounters, type LiveInterface, type LiveShare, UNSHARED } from "./live-interface.js";
import { deviceRequest, hasDevice, isDeviceUp, nameInRequest, setDeviceUp } from "./net-device.js";
import { OFFLOAD_HEADER_LENGTH, offloadAt } from "./offload.js";
import { setPointer } from "./send-batch.js";
import { IOVEC, O_NONBLOCK, O_RDWR, type System, system } from "./system.js";

const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNGETIFF = 0x800454d2;
/** A TAP device, no packet information before frames, but an offload header. */
const FLAGS = 0x0002 | 0x1000 | 0x4000;
/** IFF_MULTI_QUEUE: a queue for each thread; the device sends a flow where its frames came from. */
const FLAG_MULTI_QUEUE = 0x0100;
/** What may be left to us: checksums, TCP segmentation over IPv4 and IPv6. */
const OFFLOADS = 0x01 | 0x02 | 0x04;
const IFREQ_FLAGS = 16;

/** The longest that a read can bring, offload header aside. */
const LONGEST_FRAME = 65_536 + 128;
/** Frames of one `receive` lie here one behind the other. */
const AREA_BYTES = 512 * 1024;

export class TapInterface implements LiveInterface {
  readonly uri: string;
  readonly mtu = null;
  readonly isOpen = true;
  readonly #events = new EventCounts();
  readonly #system: System;
  readonly #intake: Intake;
  readonly #area: number;
  /** Two iovecs: an offload header of zeros, and the frame that is sent. */
  readonly #iovecs: number;
  readonly #noOffload: number;
  readonly #time: Time = { low: 0, high: 0 };
  /** Where the next frame is read to. */
  #cursor: number;
  /** Where the packet memory begins. */
  #base = 0;
  #descriptor: number;
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
    this.#area = memory.allocate(AREA_BYTES);
    this.#cursor = this.#area;
    this.#iovecs = memory.allocate(2 * IOVEC.SIZE);
    this.#noOffload = memory.allocate(OFFLOAD_HEADER_LENGTH);
    try {
      this.#descriptor = attach(this.#system, device, share);
    } catch (error) {
      throw liveErrorOf(this.uri, error, "CAP_NET_ADMIN");
    }
    this.#isUp = share.workers > 1 || this.#seemsUp(); // another thread may be about to set it up
  }

  get descriptor(): number {
    return this.#descriptor;
  }

  receive(rows: number, max: number, nowNs: bigint): number {
    const intake = this.#intake;
    this.#findMemory();
    setTime(this.#time, nowNs);
    intake.begin(rows, max);
    if (intake.isFull) return intake.count; // the last frame is still being cut
    this.#cursor = this.#area;
    while (!intake.isFull && this.#cursor + SLOT_HEADROOM + LONGEST_FRAME <= this.#area + AREA_BYTES) {
      if (!this.#readFrame()) break;
    }
    return intake.count;
  }

  #readFrame(): boolean {
    const at = this.#cursor + SLOT_HEADROOM;
    const header = at - OFFLOAD_HEADER_LENGTH;
    const got = this.#system.read(this.#descriptor, this.#base + header, OFFLOAD_HEADER_LENGTH + LONGEST_FRAME);
    if (got <= OFFLOAD_HEADER_LENGTH) return false;
    const length = got - OFFLOAD_HEADER_LENGTH;
    this.#cursor = (at + length + 15) & ~15;
    this.#intake.add(at, length, SLOT_HEADROOM, this.#time, offloadAt(this.memory, header, 0));
    return true;
  }

  release(): void {}

  /** TAP devices take one frame per call, so nothing waits for `flush`. */
  send(offset: number, length: number): boolean {
    setPointer(this.memory, this.#iovecs + IOVEC.SIZE, this.#base + offset);
    this.memory.setU32(this.#iovecs + IOVEC.SIZE + IOVEC.LENGTH, length);
    const isSent = this.#system.writev(this.#descriptor, this.#base + this.#iovecs, 2) >= 0;
    if (isSent) this.#sent++;
    else this.#sendDrops++;
    return isSent;
  }

  flush(): void {}

  /** Memory that grows may move. */
  #findMemory(): void {
    const base = this.#system.addressOf(this.memory.memory.buffer);
    if (base === this.#base) return;
    this.#base = base;
    setPointer(this.memory, this.#iovecs, base + this.#noOffload);
    this.memory.setU32(this.#iovecs + IOVEC.LENGTH, OFFLOAD_HEADER_LENGTH);
  }

  /** Notices a device that went down, came up or was removed; makes it again then. */
  check(): void {
    if (this.#descriptor >= 0 && this.#nameNow() === undefined) {
      this.#events.count("gone");
      this.close();
    }
    if (this.#descriptor < 0) this.#attachAgain();
    const isUp = this.#seemsUp();
    if (isUp !== this.#isUp) this.#events.count(isUp ? "up" : "down");
    this.#isUp = isUp;
  }

  #attachAgain(): void {
    try {
      this.#descriptor = attach(this.#system, this.device, this.share);
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

  /** In another network namespace, where a guest has it, we cannot look. */
  #seemsUp(): boolean {
    const name = this.#descriptor < 0 ? undefined : this.#nameNow();
    return name !== undefined && (isDeviceUp(this.#system, name) ?? true);
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
    if (this.#descriptor >= 0) this.#system.close(this.#descriptor);
    this.#descriptor = -1;
  }
}

/** Attaches to the device, or makes it and sets it up. */
function attach(system: System, device: string, { workers }: LiveShare): number {
  const isNew = !hasDevice(system, device);
  const descriptor = system.open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  try {
    const { bytes, view } = deviceRequest(device);
    view.setUint16(IFREQ_FLAGS, workers > 1 ? FLAGS | FLAG_MULTI_QUEUE : FLAGS, true);
    system.ioctl(descriptor, TUNSETIFF, bytes, "TUNSETIFF");
    system.ioctlNumber(descriptor, TUNSETOFFLOAD, OFFLOADS, "TUNSETOFFLOAD");
    if (isNew) setDeviceUp(system, device);
    return descriptor;
  } catch (error) {
    system.close(descriptor);
    throw error;
  }
}
