/**
 * `afpacket:IFACE`: frames of a network device by packet sockets (packet(7)), for any device of Linux.
 *
 * One socket receives through a ring and does not hear what leaves; another one, bound to no protocol, sends past the queueing
 * discipline. The device is made promiscuous, since the lab's MAC addresses are not its own, and does not join frames while it
 * is bound. Tags that the device took out are put back; checksums that it left open are completed.
 */
import type { PacketMemory } from "../../dataplane/packet/index.js";
import { liveErrorOf, SystemError } from "./errors.js";
import { EventCounts } from "./events.js";
import { Intake, setTime, type Time } from "./intake.js";
import { type LiveCounters, type LiveInterface, type LiveShare, UNSHARED } from "./live-interface.js";
import { deviceIndex, deviceMtu, deviceMtuNow, deviceName, isDeviceUp, stopJoining } from "./net-device.js";
import { PacketRing } from "./packet-ring.js";
import { SendBatch } from "./send-batch.js";
import { AF_PACKET, block, int32, SO_ERROR, SOCK_RAW, SOL_PACKET, SOL_SOCKET, type System, system } from "./system.js";

const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_FANOUT = 18;
/** The kernel's symmetric hash of the flow; of GRE that carries Ethernet it takes the inner one. */
const PACKET_FANOUT_HASH = 0;
const PACKET_QDISC_BYPASS = 20;
const PACKET_IGNORE_OUTGOING = 23;
const PACKET_MR_PROMISC = 1;
const SO_SNDBUF = 7;
const SO_ATTACH_FILTER = 26;
const SO_DETACH_FILTER = 27;
const SO_SNDBUFFORCE = 32;
/** More than a burst of the longest frames. */
const SEND_BUFFER_BYTES = 4 * 1024 * 1024;
const ETH_P_ALL = 3;
/** BPF_RET | BPF_K: keep so many octets of the frame. */
const BPF_RETURN = 0x06;

/** What is open while the device is there. */
interface Attachment {
  readonly index: number;
  readonly receiver: number;
  readonly sender: number;
  readonly ring: PacketRing;
  readonly restore: () => void;
}

export class AfPacketInterface implements LiveInterface {
  readonly uri: string;
  readonly isOpen = true;
  readonly #events = new EventCounts();
  readonly #system: System;
  readonly #intake: Intake;
  readonly #batch: SendBatch;
  readonly #copy: number;
  readonly #time: Time = { low: 0, high: 0 };
  #attachment: Attachment | null;
  #mtu = 0;
  #isUp = true;
  /** The device's name now; the one that was asked for is what is looked for when it is gone. */
  #name: string;
  /** Of attachments that are gone. */
  #receiveDrops = 0;

  /** Throws a LiveError that says what is missing. */
  constructor(
    private readonly device: string,
    private readonly memory: PacketMemory,
    private readonly share = UNSHARED,
  ) {
    this.uri = `afpacket:${device}`;
    this.#system = system();
    this.#intake = new Intake(memory);
    this.#batch = new SendBatch(this.#system, memory);
    this.#copy = PacketRing.allocateCopy(memory);
    try {
      this.#name = device;
      this.#mtu = deviceMtu(this.#system, device);
      this.#attachment = attach(this.#system, memory, device, this.#copy, share);
      this.#noticeState(this.#attachment);
    } catch (error) {
      throw liveErrorOf(this.uri, error, "CAP_NET_RAW");
    }
  }

  get mtu(): number {
    return this.#mtu;
  }
  get descriptor(): number {
    return this.#attachment?.receiver ?? -1;
  }

  /**
   * All frames have the time of the round, as those of other interfaces. The ring knows when each of them came, but by the system's clock, which
   * steps: the lab's time must not.
   */
  receive(rows: number, max: number, nowNs: bigint): number {
    setTime(this.#time, nowNs);
    this.#intake.begin(rows, max);
    this.#attachment?.ring.receive(this.#intake, this.#time);
    return this.#intake.count;
  }

  release(): void {}

  send(offset: number, length: number): boolean {
    this.#batch.add(this.#attachment?.sender ?? -1, offset, length);
    return this.#attachment !== null;
  }

  flush(): void {
    this.#batch.flush(this.#attachment?.sender ?? -1);
  }

  /** Notices a device that went down, came up, got another name or MTU, disappeared or came back. */
  check(): void {
    const attachment = this.#attachment;
    if (attachment === null) {
      this.#attachAgain();
      return;
    }
    const name = isBound(this.#system, attachment) ? deviceName(this.#system, attachment.index) : undefined;
    if (name === undefined) {
      this.#detach(attachment);
      return;
    }
    if (name !== this.#name) this.#events.count("renamed");
    this.#name = name;
    this.#noticeState(attachment);
  }

  #noticeState({ index, receiver }: Attachment): void {
    const system = this.#system;
    system.getSocketOption(receiver, SOL_SOCKET, SO_ERROR, new Uint8Array(4), "SO_ERROR"); // reading clears it
    const isUp = isDeviceUp(system, index);
    const mtu = deviceMtuNow(system, this.#name);
    if (isUp === undefined || mtu === undefined) return; // gone, or renamed just now: the next check will tell
    if (isUp !== this.#isUp) this.#events.count(isUp ? "up" : "down");
    if (mtu !== this.#mtu) this.#events.count("mtu");
    this.#isUp = isUp;
    this.#mtu = mtu;
  }

  #detach(attachment: Attachment): void {
    this.#events.count("gone");
    this.#receiveDrops += attachment.ring.lost() + attachment.ring.cut;
    closeAll(this.#system, attachment);
    this.#attachment = null;
  }

  #attachAgain(): void {
    try {
      this.#attachment = attach(this.#system, this.memory, this.device, this.#copy, this.share);
    } catch (error) {
      if (error instanceof SystemError) return; // still not there
      throw error;
    }
    this.#events.count("back");
    this.#name = this.device;
    this.#isUp = true;
    this.#noticeState(this.#attachment);
  }

  counters(): LiveCounters {
    const ring = this.#attachment?.ring;
    return {
      received: this.#intake.received,
      sent: this.#batch.sent,
      receiveDrops: this.#receiveDrops + this.#intake.malformed + (ring ? ring.lost() + ring.cut : 0),
      sendDrops: this.#batch.refused,
      events: this.#events.all(this.#intake.malformed),
    };
  }

  close(): void {
    if (this.#attachment === null) return;
    this.#receiveDrops += this.#attachment.ring.lost() + this.#attachment.ring.cut;
    closeAll(this.#system, this.#attachment);
    this.#attachment = null;
  }
}

function attach(
  system: System,
  memory: PacketMemory,
  device: string,
  copy: number,
  { workers, group }: LiveShare,
): Attachment {
  const index = deviceIndex(system, device);
  const receiver = system.socket(AF_PACKET, SOCK_RAW, 0);
  let sender = -1;
  let ring: PacketRing | undefined;
  let restore = (): void => {};
  try {
    sender = system.socket(AF_PACKET, SOCK_RAW, 0);
    system.setSocketOption(receiver, SOL_PACKET, PACKET_IGNORE_OUTGOING, int32(1), "PACKET_IGNORE_OUTGOING");
    ring = new PacketRing(system, memory, receiver, copy);
    system.setSocketOption(receiver, SOL_PACKET, PACKET_ADD_MEMBERSHIP, promiscuous(index), "PACKET_ADD_MEMBERSHIP");
    system.setSocketOption(sender, SOL_PACKET, PACKET_QDISC_BYPASS, int32(1), "PACKET_QDISC_BYPASS");
    setSendBuffer(system, sender);
    system.bind(sender, linkAddress(index, 0));
    restore = stopJoining(system, index);
    if (workers > 1) refuseAll(system, receiver);
    system.bind(receiver, linkAddress(index, ETH_P_ALL)); // from here on frames come
    if (workers > 1) joinGroup(system, receiver, groupAt(group, index));
    return { index, receiver, sender, ring, restore };
  } catch (error) {
    ring?.close();
    system.close(receiver);
    if (sender >= 0) system.close(sender);
    restore();
    throw error;
  }
}

/** A socket can join a group only when it is bound, and until then hears what the others hear as well. */
function refuseAll(system: System, receiver: number): void {
  const returnNothing = block(8); // struct sock_filter
  returnNothing.view.setUint16(0, BPF_RETURN, true);
  const program = block(16); // struct sock_fprog
  program.view.setUint16(0, 1, true);
  program.view.setBigUint64(8, BigInt(system.addressOf(returnNothing.bytes)), true);
  system.setSocketOption(receiver, SOL_SOCKET, SO_ATTACH_FILTER, program.bytes, "SO_ATTACH_FILTER");
}

function joinGroup(system: System, receiver: number, group: number): void {
  const fanout = int32(group | (PACKET_FANOUT_HASH << 16));
  system.setSocketOption(receiver, SOL_PACKET, PACKET_FANOUT, fanout, "PACKET_FANOUT");
  system.setSocketOption(receiver, SOL_SOCKET, SO_DETACH_FILTER, int32(0), "SO_DETACH_FILTER");
}

/** A group has sockets of one device only, so each device has one of its own. Spread, for programs begun together have numbers side by side. */
const groupAt = (group: number, index: number): number => (group ^ (Math.imul(index, 0x9e37_79b1) >>> 16)) & 0xffff;

/** Beyond the limit for everybody if we may (CAP_NET_ADMIN), else up to it. */
function setSendBuffer(system: System, socket: number): void {
  const size = int32(SEND_BUFFER_BYTES);
  try {
    system.setSocketOption(socket, SOL_SOCKET, SO_SNDBUFFORCE, size, "SO_SNDBUFFORCE");
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    system.setSocketOption(socket, SOL_SOCKET, SO_SNDBUF, size, "SO_SNDBUF");
  }
}

function closeAll(system: System, { receiver, sender, ring, restore }: Attachment): void {
  ring.close();
  system.close(receiver);
  system.close(sender);
  restore();
}

/** A device that goes loses its sockets for good, also if it comes back with the same index, as from another namespace. */
function isBound(system: System, { receiver, index }: Attachment): boolean {
  const address = linkAddress(0, 0);
  system.getSocketName(receiver, address);
  return new DataView(address.buffer).getInt32(LINK_INDEX, true) === index;
}

/** Where struct sockaddr_ll has the index of the device. */
const LINK_INDEX = 4;

/** struct sockaddr_ll; the protocol in network order. */
function linkAddress(index: number, protocol: number): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(20));
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol);
  view.setInt32(LINK_INDEX, index, true);
  return new Uint8Array(view.buffer);
}

/** struct packet_mreq. The device leaves the mode when the socket is closed. */
function promiscuous(index: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setInt32(0, index, true);
  view.setUint16(4, PACKET_MR_PROMISC, true);
  return new Uint8Array(view.buffer);
}
