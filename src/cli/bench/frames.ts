/**
 * The frames of `hnv bench`: UDP between Blue1 and its partners, as Blue1 sends them (encap) or as they come from the wire
 * (decap). UDP checksums are zero: nothing here looks at them.
 */
import {
  type Address,
  type AddressFamily,
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  type FlowId,
  IPV4_LENGTH,
  IPV6_LENGTH,
  NVGRE_LENGTH,
  PROTOCOL_GRE,
  PROTOCOL_UDP,
  setU16,
  UDP_LENGTH,
  writeEthernet,
  writeIpv4,
  writeIpv6,
  writeNvgre,
  writeUdp,
} from "../../dataplane/wire/index.js";
import { type BenchCase, inputLengthOf, overheadOf } from "./cases.js";
import { BLUE1, type Party, partnerOf, VSID } from "./lab.js";

const INNER_TTL = 64;
const OUTER_TTL = 128;
const FLOW_ID = 7 as FlowId;
const FIRST_DESTINATION_PORT = 4096;

/** Any part of it is a payload; frames of neighbouring flows get different ones. */
const PAYLOADS = Uint8Array.from({ length: 16_384 }, (_, index) => (index * 167 + (index >>> 8)) & 0xff);

const ipLengthOf = (family: AddressFamily): number => (family === 4 ? IPV4_LENGTH : IPV6_LENGTH);

export class FrameWriter {
  readonly #case: BenchCase;
  /** Everything before the payload, by partner: a million frames differ in their ports only. */
  readonly #headers = new Map<Party, Uint8Array>();
  readonly #portsOffset: number;

  constructor(one: BenchCase) {
    this.#case = one;
    this.#portsOffset = inputLengthOf(one) - one.size + ETHERNET_LENGTH + ipLengthOf(one.inner);
  }

  /** Writes one frame of a flow at `at`. The low 16 bits of the flow's number are the source port, the rest moves the destination port. */
  write(bytes: Uint8Array, at: number, flow: number): void {
    const headers = this.#headersFor(partnerOf(flow));
    bytes.set(headers, at);
    setU16(bytes, at + this.#portsOffset, flow & 0xffff);
    this.renewFlow(bytes, at, Math.floor(flow / 65_536));
    const payloadLength = inputLengthOf(this.#case) - headers.length;
    const first = (flow * 37) % (PAYLOADS.length - payloadLength);
    bytes.set(PAYLOADS.subarray(first, first + payloadLength), at + headers.length);
  }

  /** Makes the frame at `at` one of another flow, `round` times 65,536 further. */
  renewFlow(bytes: Uint8Array, at: number, round: number): void {
    setU16(bytes, at + this.#portsOffset + 2, (FIRST_DESTINATION_PORT + round) & 0xffff);
  }

  #headersFor(partner: Party): Uint8Array {
    const known = this.#headers.get(partner);
    if (known) return known;
    const headers = new Uint8Array(this.#portsOffset + UDP_LENGTH);
    const { direction, outer, size } = this.#case;
    if (direction === "encap") this.#writeInner(headers, 0, BLUE1, partner);
    else {
      writeOuter(headers, outer, size, partner);
      this.#writeInner(headers, overheadOf(outer), partner, BLUE1);
    }
    this.#headers.set(partner, headers);
    return headers;
  }

  #writeInner(bytes: Uint8Array, at: number, from: Party, to: Party): void {
    const { inner, size } = this.#case;
    const ip = at + ETHERNET_LENGTH;
    const udp = ip + ipLengthOf(inner);
    const udpPayloadLength = at + size - udp - UDP_LENGTH;
    writeEthernet(bytes, at, to.mac, from.mac, etherTypeOf(inner));
    writeIp(bytes, ip, {
      source: from.customerAddress(inner),
      destination: to.customerAddress(inner),
      protocol: PROTOCOL_UDP,
      ttl: INNER_TTL,
      payloadLength: UDP_LENGTH + udpPayloadLength,
    });
    writeUdp(bytes, udp, { sourcePort: 0, destinationPort: 0, payloadLength: udpPayloadLength });
  }
}

/** Ethernet, IP and NVGRE as `partner`'s host puts them before a frame of `size` bytes for Blue1. */
function writeOuter(bytes: Uint8Array, family: AddressFamily, size: number, partner: Party): void {
  writeEthernet(bytes, 0, BLUE1.nicMac, partner.nicMac, etherTypeOf(family));
  writeIp(bytes, ETHERNET_LENGTH, {
    source: partner.providerAddress(family),
    destination: BLUE1.providerAddress(family),
    protocol: PROTOCOL_GRE,
    ttl: OUTER_TTL,
    payloadLength: NVGRE_LENGTH + size,
  });
  writeNvgre(bytes, ETHERNET_LENGTH + ipLengthOf(family), VSID, FLOW_ID);
}

const etherTypeOf = (family: AddressFamily): number => (family === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);

interface IpFields {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  readonly ttl: number;
  readonly payloadLength: number;
}

function writeIp(bytes: Uint8Array, at: number, { protocol, ttl, ...fields }: IpFields): void {
  if (fields.source.family === 4) writeIpv4(bytes, at, { ...fields, protocol, ttl, dontFragment: true });
  else writeIpv6(bytes, at, { ...fields, nextHeader: protocol, hopLimit: ttl });
}
