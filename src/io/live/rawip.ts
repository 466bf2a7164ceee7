/**
 * `rawip:ADDRESS`: an endpoint without a NIC of its own, on a raw IP socket for protocol 47 (package `raw-socket`).
 *
 * The lab sees a NIC on a network of its own; the system's kernel does routes, ARP and neighbor discovery outside:
 *
 *     send     Ethernet | IP | GRE …      the Ethernet header is taken off, the IP header stays as the lab wrote it
 *     receive  Ethernet | IP | GRE …      a made-up Ethernet header is put on; the source MAC is 02-00 and the source's address
 *
 * So the lab must find such MAC addresses when it resolves its partners: ARP requests and neighbor solicitations are answered here, and
 * everything else that is not protocol 47 is refused. Over IPv6 the kernel keeps the header of what arrives to itself: traffic class
 * (and with it ECN), flow label and hop limit are lost, and stand as 0, 0 and 64.
 */
import {
  type Address,
  ARP_LENGTH,
  ARP_REPLY,
  ARP_REQUEST,
  arpOperationAt,
  arpSenderAddressAt,
  arpSenderMacAt,
  arpTargetAddressAt,
  ETHERNET_LENGTH,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherTypeAt,
  formatAddress,
  ICMPV6_LENGTH,
  IPV4_LENGTH,
  IPV6_LENGTH,
  icmpv6TypeAt,
  ipv4AddressAt,
  ipv4DestinationAt,
  ipv4ProtocolAt,
  ipv6DestinationAt,
  ipv6NextHeaderAt,
  ipv6SourceAt,
  isUnspecified,
  type Mac,
  ND_NEIGHBOR_ADVERTISEMENT,
  ND_NEIGHBOR_LENGTH,
  ND_NEIGHBOR_SOLICITATION,
  ndTargetAt,
  PROTOCOL_GRE,
  PROTOCOL_ICMPV6,
  parseAddress,
  sameAddress,
  setIcmpv6Checksum,
  sourceMacAt,
  writeArp,
  writeEthernet,
  writeIpv6,
  writeNeighborMessage,
} from "../../dataplane/wire/index.js";
import { liveErrorAt } from "./errors.js";
import { type EventedInterface, PRESSING, requireMainThread } from "./evented.js";
import { EventCounts } from "./events.js";
import { FrameQueue } from "./frame-queue.js";
import type { LiveCounters } from "./live-interface.js";
import { loadFor } from "./optional-package.js";
import type { RowMemory } from "./rows.js";
import { deviceWith, mtuBySysfs } from "./sysfs.js";

/** What we use of the package. `wrap.send` is the call beneath its queue, which would look at the packet memory too late. */
interface RawSocketPackage {
  createSocket(options: { protocol: number; addressFamily: number; bufferSize: number }): RawSocket;
  readonly AddressFamily: { readonly IPv4: number; readonly IPv6: number };
  readonly SocketLevel: { readonly IPPROTO_IP: number; readonly IPPROTO_IPV6: number };
  readonly SocketOption: { readonly IP_HDRINCL: number };
}
interface RawSocket {
  on(event: "message", listener: (packet: Buffer, source: string) => void): void;
  on(event: "error", listener: (error: Error) => void): void;
  setOption(level: number, option: number, value: number): void;
  close(): void;
  readonly wrap: { send(buffer: Buffer, offset: number, length: number, address: string, done: () => void): void };
}

/** Linux's number (linux/in6.h), which the package has no name for. */
const IPV6_HDRINCL = 36;
const PACKET_MAX = 65_535 + IPV6_LENGTH;
const HOP_LIMIT = 64;
const ND_HOP_LIMIT = 255;
/** Solicited and override (RFC 4861 §4.4). */
const ND_ANSWER_FLAGS = 0x6000_0000;
const NAMES_MAX = 4096;

export interface RawIpOptions {
  /** The MAC address of the port in the lab: what frames that arrive are sent to. Otherwise that of the last frame sent. */
  readonly mac?: Mac;
}

/** Opens the raw socket of a local address. Throws a LiveError. */
export function openRawIp(uri: string, memory: RowMemory, options: RawIpOptions = {}): RawIpInterface {
  const address = parseAddress(uri.slice("rawip:".length));
  if (!address) throw liveErrorAt("LIVE_URI", uri, "expected rawip: and an IPv4 or IPv6 address of this machine");
  requireMainThread(uri);
  const device = deviceWith(address);
  if (device === undefined)
    throw liveErrorAt("LIVE_NO_INTERFACE", uri, "no interface of this machine that is up has this address");
  const sockets = loadFor(uri, "raw-socket") as RawSocketPackage;
  const isIpv4 = address.family === 4;
  try {
    const { IPv4, IPv6 } = sockets.AddressFamily;
    const addressFamily = isIpv4 ? IPv4 : IPv6;
    const socket = sockets.createSocket({ protocol: PROTOCOL_GRE, addressFamily, bufferSize: PACKET_MAX });
    const { IPPROTO_IP, IPPROTO_IPV6 } = sockets.SocketLevel;
    if (isIpv4) socket.setOption(IPPROTO_IP, sockets.SocketOption.IP_HDRINCL, 1);
    else socket.setOption(IPPROTO_IPV6, IPV6_HDRINCL, 1);
    return new RawIpInterface(uri, memory, socket, address, mtuBySysfs(device), options.mac);
  } catch (error) {
    throw liveErrorAt("LIVE_REFUSED", uri, `raw socket: ${(error as Error).message}; it needs CAP_NET_RAW`);
  }
}

/** 02-00 and the last 32 bits of the address. */
export const madeUpMac = (address: Address): Mac => (0x0200_0000_0000 + address.w3) as Mac;

export class RawIpInterface implements EventedInterface {
  readonly descriptor = null;
  readonly isOpen = true;
  onArrival: ((isFull: boolean) => void) | null = null;
  readonly #memory: RowMemory;
  readonly #socket: RawSocket;
  readonly #address: Address;
  readonly #queue: FrameQueue;
  #mac: Mac;
  /** The whole packet memory, as the package takes it. */
  #buffer: Buffer;
  /** Partners as text, so that it is not made for every packet. */
  readonly #names = new Map<number, string>();
  #received = 0;
  #sent = 0;
  #receiveDrops = 0;
  #sendDrops = 0;
  #mtu: number | null;
  /** Has an interface that is up this address? */
  #isThere = true;
  readonly #events = new EventCounts();

  constructor(
    readonly uri: string,
    memory: RowMemory,
    socket: RawSocket,
    address: Address,
    mtu: number | null,
    mac: Mac | undefined,
  ) {
    this.#memory = memory;
    this.#socket = socket;
    this.#address = address;
    this.#queue = new FrameQueue(memory);
    this.#mtu = mtu;
    this.#mac = mac ?? madeUpMac(address);
    this.#buffer = Buffer.from(memory.memory.buffer);
    socket.on("message", (packet, source) => this.#arrived(packet, source));
    socket.on("error", (error) => this.#events.count(error.message));
  }

  get mtu(): number | null {
    return this.#mtu;
  }

  receive(rows: number, max: number, nowNs: bigint): number {
    const count = this.#queue.take(rows, max, nowNs);
    this.#received += count;
    return count;
  }

  release(): void {
    this.#queue.release();
  }

  #arrived(packet: Buffer, source: string): void {
    const isIpv4 = this.#address.family === 4;
    // The socket shows what arrives at any address of this machine; over IPv6 it does not even say at which.
    if (isIpv4 && (packet.length < IPV4_LENGTH || !sameAddress(ipv4DestinationAt(packet, 0), this.#address))) return;
    const from = isIpv4 ? ipv4AddressAt(packet, 12) : parseAddress(source);
    if (!from) return;
    const header = ETHERNET_LENGTH + (isIpv4 ? 0 : IPV6_LENGTH);
    const at = this.#queue.add(header + packet.length);
    if (at === 0) {
      this.#receiveDrops++;
      return;
    }
    const { bytes } = this.#memory;
    writeEthernet(bytes, at, this.#mac, madeUpMac(from), isIpv4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
    if (!isIpv4) this.#writeIpv6(at + ETHERNET_LENGTH, from, PROTOCOL_GRE, packet.length, HOP_LIMIT);
    bytes.set(packet, at + header);
    const { waiting } = this.#queue;
    if (waiting === 1 || waiting >= PRESSING) this.onArrival?.(waiting >= PRESSING);
  }

  /** An answer of ours waits. However many do, they cannot be received now: whoever sends is in the midst of a round. */
  #announceAnswer(): void {
    if (this.#queue.waiting === 1) this.onArrival?.(false);
  }

  #writeIpv6(at: number, source: Address, nextHeader: number, payloadLength: number, hopLimit: number): void {
    writeIpv6(this.#memory.bytes, at, { source, destination: this.#address, nextHeader, payloadLength, hopLimit });
  }

  send(offset: number, length: number): boolean {
    const { bytes } = this.#memory;
    if (length < ETHERNET_LENGTH) return this.#refuse("frame too short");
    this.#mac = sourceMacAt(bytes, offset);
    const ip = offset + ETHERNET_LENGTH;
    const room = length - ETHERNET_LENGTH;
    const etherType = etherTypeAt(bytes, offset);
    if (this.#address.family === 4) {
      if (etherType === ETHERTYPE_ARP && room >= ARP_LENGTH) return this.#answerArp(ip);
      if (etherType !== ETHERTYPE_IPV4 || room < IPV4_LENGTH || ipv4ProtocolAt(bytes, ip) !== PROTOCOL_GRE) {
        return this.#refuse("neither GRE over IPv4 nor ARP");
      }
      return this.#transmit(ip, room, ipv4DestinationAt(bytes, ip));
    }
    if (etherType !== ETHERTYPE_IPV6 || room < IPV6_LENGTH) return this.#refuse("no IPv6");
    const next = ipv6NextHeaderAt(bytes, ip);
    if (next === PROTOCOL_ICMPV6 && room >= IPV6_LENGTH + ND_NEIGHBOR_LENGTH) return this.#answerNeighbor(ip);
    return next === PROTOCOL_GRE
      ? this.#transmit(ip, room, ipv6DestinationAt(bytes, ip))
      : this.#refuse("neither GRE over IPv6 nor neighbor discovery");
  }

  #transmit(at: number, length: number, destination: Address): boolean {
    if (this.#buffer.buffer !== this.#memory.memory.buffer) this.#buffer = Buffer.from(this.#memory.memory.buffer);
    try {
      this.#socket.wrap.send(this.#buffer, at, length, this.#nameOf(destination), nothing);
      this.#sent++;
      return true;
    } catch (error) {
      return this.#refuse((error as Error).message);
    }
  }

  #nameOf(address: Address): string {
    if (address.family === 6) return formatAddress(address);
    const known = this.#names.get(address.w3);
    if (known !== undefined) return known;
    if (this.#names.size === NAMES_MAX) this.#names.clear();
    const name = formatAddress(address);
    this.#names.set(address.w3, name);
    return name;
  }

  /** Everybody but ourselves has a made-up MAC address; who asks for our own looks for a duplicate, and must not find one. */
  #answerArp(arp: number): boolean {
    const { bytes } = this.#memory;
    const target = arpTargetAddressAt(bytes, arp);
    const isQuestion = arpOperationAt(bytes, arp) === ARP_REQUEST && !sameAddress(target, this.#address);
    const asker = { targetMac: arpSenderMacAt(bytes, arp), targetAddress: arpSenderAddressAt(bytes, arp) };
    this.#sent++;
    if (!isQuestion || isUnspecified(asker.targetAddress)) return true;
    const at = this.#queue.add(ETHERNET_LENGTH + ARP_LENGTH);
    if (at === 0) return true;
    const senderMac = madeUpMac(target);
    writeEthernet(bytes, at, asker.targetMac, senderMac, ETHERTYPE_ARP);
    writeArp(bytes, at + ETHERNET_LENGTH, { operation: ARP_REPLY, senderMac, senderAddress: target, ...asker });
    this.#announceAnswer();
    return true;
  }

  #answerNeighbor(ip: number): boolean {
    const { bytes } = this.#memory;
    const icmp = ip + IPV6_LENGTH;
    this.#sent++;
    if (icmpv6TypeAt(bytes, icmp) !== ND_NEIGHBOR_SOLICITATION || isUnspecified(ipv6SourceAt(bytes, ip))) return true;
    const target = ndTargetAt(bytes, icmp);
    if (sameAddress(target, this.#address)) return true;
    const answerLength = ND_NEIGHBOR_LENGTH + ICMPV6_LENGTH;
    const at = this.#queue.add(ETHERNET_LENGTH + IPV6_LENGTH + answerLength);
    if (at === 0) return true;
    const mac = madeUpMac(target);
    const answer = at + ETHERNET_LENGTH + IPV6_LENGTH;
    writeEthernet(bytes, at, this.#mac, mac, ETHERTYPE_IPV6);
    this.#writeIpv6(at + ETHERNET_LENGTH, target, PROTOCOL_ICMPV6, answerLength, ND_HOP_LIMIT);
    writeNeighborMessage(bytes, answer, ND_NEIGHBOR_ADVERTISEMENT, ND_ANSWER_FLAGS, target, mac);
    setIcmpv6Checksum(bytes, at + ETHERNET_LENGTH, answer, answer + answerLength);
    this.#announceAnswer();
    return true;
  }

  #refuse(why: string): false {
    this.#sendDrops++;
    this.#events.count(why);
    return false;
  }

  /** `send` gives to the kernel at once. */
  flush(): void {}

  /** Notices an address that went away or came back, and another MTU of its interface. */
  check(): void {
    const device = deviceWith(this.#address);
    const isThere = device !== undefined;
    if (isThere !== this.#isThere) this.#events.count(isThere ? "back" : "gone");
    this.#isThere = isThere;
    const mtu = device === undefined ? this.#mtu : mtuBySysfs(device);
    if (mtu !== this.#mtu) this.#events.count("mtu");
    this.#mtu = mtu;
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
    this.onArrival = null;
    this.#socket.close();
  }
}

const nothing = (): void => {};
