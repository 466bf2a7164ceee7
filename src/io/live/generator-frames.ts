/**
 * The frames of a generator. For every protocol, destination and size there is a template in the packet memory, whole but for
 * what tells frames apart: ports or identifier, and the mark. A frame is a copy of one with those fields filled in; its checksum is the
 * sum of the template, known before, and of what was filled in.
 */
import {
  checksumOfSum,
  checksumSum,
  ETHERNET_LENGTH,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ICMP_ECHO_REQUEST,
  ICMPV6_ECHO_REQUEST,
  IPV4_LENGTH,
  IPV6_LENGTH,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  pseudoHeaderSum,
  setU16,
  TCP_ACK,
  TCP_PSH,
  writeEthernet,
  writeIcmp,
  writeIcmpv6,
  writeIpv4,
  writeIpv6,
  writeTcp,
  writeUdp,
} from "../../dataplane/wire/index.js";
import { hashFilling, MARK_LENGTH, markSum, writeMark, writeMarkConstants } from "./generator-mark.js";
import { type GeneratorProtocol, type GeneratorSpec, transportLength } from "./generator-spec.js";
import type { RowMemory } from "./rows.js";

const TTL = 64;
const TCP_WINDOW = 65_535;
/** Where a transport header has its checksum. */
const CHECKSUM_OFFSET = { udp: 6, tcp: 16, icmp: 2 } as const;
/** Of an ICMP echo: identifier, sequence number. */
const ECHO_IDENTIFIER = 4;
const ECHO_SEQUENCE = 6;
const PORTS = 65_536;

/** What is known about a template; the octets lie at `address`. */
interface Template {
  readonly address: number;
  readonly length: number;
  readonly protocol: GeneratorProtocol;
  /** From the frame's start. */
  readonly transport: number;
  readonly mark: number;
  /** Of pseudo header and datagram, as they stand in the template. */
  readonly sum: number;
  readonly fillingHash: number;
}

export class GeneratorFrames {
  readonly #memory: RowMemory;
  readonly #spec: GeneratorSpec;
  /** By protocol, then destination, then size. */
  readonly #templates: readonly Template[];

  constructor(memory: RowMemory, spec: GeneratorSpec, stream: number) {
    this.#memory = memory;
    this.#spec = spec;
    this.#templates = spec.protocols.flatMap((protocol) =>
      spec.destinations.flatMap((_, destination) =>
        spec.sizes.map(({ length }) => makeTemplate(memory, spec, protocol, destination, length, stream)),
      ),
    );
  }

  /** Writes frame `sequence` of the flow with this number into the memory at `at`; returns its length. */
  write(at: number, flow: number, size: number, sequence: number, sent: number): number {
    const { protocols, destinations, sizes, sourcePort, destinationPort } = this.#spec;
    const pairs = protocols.length * destinations.length;
    const template = this.#templates[(flow % pairs) * sizes.length + size]!;
    const { bytes } = this.#memory;
    bytes.copyWithin(at, template.address, template.address + template.length);

    const transport = at + template.transport;
    const isIcmp = template.protocol === "icmp";
    // The flow's number among those of the same protocol and destination: source port first, then destination port.
    const number = Math.floor(flow / pairs);
    const sourcePorts = PORTS - sourcePort;
    const first = isIcmp ? number % PORTS : sourcePort + (number % sourcePorts);
    const second = isIcmp ? sequence & 0xffff : (destinationPort + Math.floor(number / sourcePorts)) & 0xffff;
    setU16(bytes, transport + (isIcmp ? ECHO_IDENTIFIER : 0), first);
    setU16(bytes, transport + (isIcmp ? ECHO_SEQUENCE : 2), second);

    const mark = at + template.mark;
    writeMark(bytes, mark, flow, sequence, sent, template.fillingHash);
    const checksum = checksumOfSum(template.sum + first + second + markSum(bytes, mark));
    // UDP sends a zero as 0xffff (RFC 768); for the others the two mean the same.
    setU16(bytes, transport + CHECKSUM_OFFSET[template.protocol], checksum || 0xffff);
    return template.length;
  }
}

/** The protocol and destination of a flow are `flow % pairs`, in the order of the templates. */
function makeTemplate(
  memory: RowMemory,
  spec: GeneratorSpec,
  protocol: GeneratorProtocol,
  index: number,
  length: number,
  stream: number,
): Template {
  const destination = spec.destinations[index]!;
  const destinationMac = spec.destinationMacs[index] ?? spec.destinationMacs[0]!;
  const { family } = destination;
  const transport = ETHERNET_LENGTH + (family === 4 ? IPV4_LENGTH : IPV6_LENGTH);
  const mark = transport + transportLength(protocol);
  const frame = new Uint8Array(length);
  const addresses = { source: spec.source, destination, payloadLength: length - transport };
  const etherType = family === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
  const number = protocolNumber(protocol, family);

  writeEthernet(frame, 0, destinationMac, spec.sourceMac, etherType);
  if (family === 4) writeIpv4(frame, ETHERNET_LENGTH, { ...addresses, protocol: number, ttl: TTL, dontFragment: true });
  else writeIpv6(frame, ETHERNET_LENGTH, { ...addresses, nextHeader: number, hopLimit: TTL });
  writeTransport(frame, transport, protocol, family);
  fill(frame, mark + MARK_LENGTH, spec.seed);
  writeMarkConstants(frame, mark, stream);

  const hasPseudoHeader = number !== PROTOCOL_ICMP;
  const pseudo = hasPseudoHeader ? pseudoHeaderSum(frame, ETHERNET_LENGTH, number, length - transport) : 0;
  const sum = checksumSum(frame, transport, length, pseudo);
  const address = memory.allocate(length, 64);
  memory.bytes.set(frame, address);
  return {
    address,
    length,
    protocol,
    transport,
    mark,
    sum,
    fillingHash: hashFilling(frame, mark + MARK_LENGTH, length),
  };
}

function protocolNumber(protocol: GeneratorProtocol, family: 4 | 6): number {
  if (protocol === "udp") return PROTOCOL_UDP;
  if (protocol === "tcp") return PROTOCOL_TCP;
  return family === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6;
}

/** With zeroes for ports, identifier and checksum. TCP looks like the middle of a connection, so that flows count as established. */
function writeTransport(frame: Uint8Array, at: number, protocol: GeneratorProtocol, family: 4 | 6): void {
  const ports = { sourcePort: 0, destinationPort: 0 };
  if (protocol === "udp") writeUdp(frame, at, { ...ports, payloadLength: frame.length - at - transportLength("udp") });
  else if (protocol === "tcp")
    writeTcp(frame, at, { ...ports, sequence: 1, acknowledgment: 1, flags: TCP_ACK | TCP_PSH, window: TCP_WINDOW });
  else if (family === 4) writeIcmp(frame, at, ICMP_ECHO_REQUEST, 0, 0);
  else writeIcmpv6(frame, at, ICMPV6_ECHO_REQUEST, 0, 0);
}

/** Octets that differ from place to place and from seed to seed. */
function fill(frame: Uint8Array, from: number, seed: number): void {
  for (let at = from; at < frame.length; at++) frame[at] = Math.imul(at + 1, 167) + (at >>> 8) + seed;
}
