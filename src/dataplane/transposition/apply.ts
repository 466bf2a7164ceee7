/**
 * The plain interpreter of header transpositions: what one reads first, and the oracle that the kernel is held against.
 *
 * It takes a frame apart, carries out the steps of a `Forward` one after the other, and puts the parts together again.
 * Every step works on a copy of its own, every header that is new is written whole by its writer in `wire`, and nothing
 * here is shared with the kernel. What must hold for both:
 *
 *   - With `pop` the frame that goes on ends where the outer IP packet ends: what follows is padding of the outer
 *     frame and belongs to nobody. Without `pop` the frame keeps every octet behind its headers, padding included.
 *   - `ethernet: null` leaves destination, source, tag and EtherType as they are, under `push` too.
 *   - IP is what carries an EtherType of IP *and* has a well-formed header. For everything else there is no TTL and no
 *     traffic class: outer ECN and DSCP of a uniform model are then 0, and ECN is not carried inwards.
 *   - A wrong checksum in the packet's own IPv4 header stays wrong by the same difference, because TTL, ECN and DSCP
 *     update it incrementally (RFC 1624 §3) as a router does. A repaired checksum would hide a broken packet.
 *   - ECN comes before TTL, and both before `push`, so the outer header copies the class that goes on.
 *   - New addresses and ports change checksums incrementally too, for the same reason. A header that is cut short keeps what
 *     it has: ports and checksum change together or not at all.
 */
import { Reason } from "../drop-reasons.js";
import { type ParsedFrame, parseFrame, parseIp } from "../packet/parse.js";
import type { Mac } from "../wire/bytes.js";
import { ECN_DROP, innerEcn, outerEcn } from "../wire/ecn.js";
import { ETHERNET_LENGTH, ETHERTYPE_IPV4, ETHERTYPE_IPV6, setEtherType, writeEthernet } from "../wire/ethernet.js";
import { GRE_KEYED_LENGTH, greLengthAt, greProtocolAt, writeGre } from "../wire/gre.js";
import {
  decrementIpv4Ttl,
  IPV4_LENGTH,
  IPV4_PACKET_MAX,
  PROTOCOL_GRE,
  setIpv4Dscp,
  setIpv4Ecn,
  writeIpv4,
} from "../wire/ipv4.js";
import { decrementIpv6HopLimit, IPV6_LENGTH, setIpv6Dscp, setIpv6Ecn, writeIpv6 } from "../wire/ipv6.js";
import { NVGRE_LENGTH, PROTOCOL_TRANSPARENT_ETHERNET, writeNvgre } from "../wire/nvgre.js";
import { TPID_CTAG, VLAN_TAG_LENGTH, VLAN_TAG_OFFSET, writeVlanTag } from "../wire/vlan.js";
import { readdress } from "./readdress.js";
import type { EthernetFields, Forward, NodeIndex, OuterHeaders } from "./transposition.js";

/**
 * The frame that `forward` makes of `frame`, as new bytes; or why this packet is dropped after all: RX_ECN, TX_TTL_EXCEEDED.
 * `identification` gives a node's next IPv4 identification and is asked once for each outer IPv4 header.
 * Throws when `forward` cannot have been decided for this frame.
 */
export function apply(
  forward: Forward,
  frame: Uint8Array,
  identification: (node: NodeIndex) => number,
): Uint8Array | Reason {
  // 1. Take off the outer headers.
  const arrived = parse(frame);
  const goesOn = forward.pop ? innerFrame(frame, arrived, forward) : new Uint8Array(frame);
  const parsed = forward.pop ? parse(goesOn) : arrived;
  const { ip } = parsed;

  // 2. Carry congestion marks, and on request the class, from the outer header inwards.
  if (forward.pop && ip) {
    const outerClass = arrived.ip!.trafficClass;
    const ecn = innerEcn(outerClass & 3, ip.trafficClass & 3); // RFC 6040 §4.2
    if (ecn === ECN_DROP) return Reason.RX_ECN;
    const [setEcn, setDscp] = ip.family === 4 ? [setIpv4Ecn, setIpv4Dscp] : [setIpv6Ecn, setIpv6Dscp];
    setEcn(goesOn, ip.at, ecn);
    if (forward.dscpInwards) setDscp(goesOn, ip.at, outerClass >>> 2); // RFC 2983 §4.2
  }

  // 3. One hop on.
  if (forward.decrementTtl) {
    must(ip !== null, "only IP has a TTL");
    if (ip.ttl <= 1) return Reason.TX_TTL_EXCEEDED;
    if (ip.family === 4) decrementIpv4Ttl(goesOn, ip.at);
    else decrementIpv6HopLimit(goesOn, ip.at);
  }

  // 4. New IP addresses and ports.
  if (forward.address) {
    must(ip !== null, "only IP has addresses");
    readdress(goesOn, ip, forward.address);
  }

  // 5. New MAC addresses and tag.
  const network = goesOn.subarray(parsed.networkAt);
  must(forward.lengthLimit === null || network.length <= forward.lengthLimit, "longer than the decision holds for");
  const link = forward.ethernet
    ? ethernetHeader(forward.ethernet, parsed.etherType)
    : goesOn.subarray(0, parsed.networkAt);
  const whole = concatenate(link, network);

  // 6. Outer headers.
  const { push, pushGre } = forward;
  const goingClass = parse(whole).ip?.trafficClass ?? 0;
  if (push) {
    const nvgre = new Uint8Array(NVGRE_LENGTH);
    writeNvgre(nvgre, 0, push.vsid, push.flowId);
    return inTunnel(push, concatenate(nvgre, whole), goingClass, identification);
  }
  if (pushGre) {
    must(ip !== null && ip.end === parsed.end, "only an IP packet without padding goes into plain GRE");
    const gre = new Uint8Array(GRE_KEYED_LENGTH);
    writeGre(gre, 0, { protocol: parsed.etherType, key: pushGre.key });
    return inTunnel(pushGre, concatenate(gre, network), goingClass, identification);
  }
  return whole;
}

/**
 * What a GRE packet carries that passed the checks of whoever takes it: the Ethernet frame of NVGRE, strict or lenient; or an IP packet, cut
 * where it ends, behind an Ethernet header that says no more than its version.
 */
function innerFrame(frame: Uint8Array, outer: ParsedFrame, { ethernet }: Forward): Uint8Array {
  const { ip } = outer;
  must(ip !== null && ip.protocol === PROTOCOL_GRE, "only GRE has an inner frame");
  const at = ip.transportAt + greLengthAt(frame, ip.transportAt);
  const protocol = greProtocolAt(frame, ip.transportAt);
  if (protocol === PROTOCOL_TRANSPARENT_ETHERNET) return new Uint8Array(frame.subarray(at, ip.end));
  const packet = parseIp(frame, at, ip.end, protocol);
  must(packet !== null && ethernet !== null, "a bare IP packet needs an Ethernet header");
  const header = ethernetHeader({ destination: 0 as Mac, source: 0 as Mac, tag: null }, protocol);
  return concatenate(header, frame.subarray(at, packet.end));
}

function ethernetHeader(fields: EthernetFields, etherType: number): Uint8Array {
  const tagLength = fields.tag === null ? 0 : VLAN_TAG_LENGTH;
  const header = new Uint8Array(ETHERNET_LENGTH + tagLength);
  writeEthernet(header, 0, fields.destination, fields.source, etherType);
  if (fields.tag !== null) {
    writeVlanTag(header, VLAN_TAG_OFFSET, TPID_CTAG, fields.tag);
    setEtherType(header, VLAN_TAG_LENGTH, etherType);
  }
  return header;
}

/** Outer Ethernet and IP in front of a GRE header and what it carries, whose DSCP and ECN are `innerClass`, 0 if it is not IP. */
function inTunnel(
  push: OuterHeaders,
  gre: Uint8Array,
  innerClass: number,
  identification: (node: NodeIndex) => number,
): Uint8Array {
  const payloadLength = gre.length;
  const dscp = push.dscp.model === "uniform" ? innerClass >>> 2 : push.dscp.value;
  const trafficClass = (dscp << 2) | outerEcn(push.ecn, innerClass & 3); // RFC 6040 §4.1

  if (push.source.family === 4) {
    must(IPV4_LENGTH + payloadLength <= IPV4_PACKET_MAX, "too long for IPv4");
    const ipv4 = new Uint8Array(IPV4_LENGTH);
    writeIpv4(ipv4, 0, {
      source: push.source,
      destination: push.destination,
      protocol: PROTOCOL_GRE,
      ttl: push.ttl,
      payloadLength,
      tos: trafficClass,
      identification: identification(push.identification) & 0xffff,
      dontFragment: push.dontFragment,
    });
    return concatenate(ethernetHeader(push.ethernet, ETHERTYPE_IPV4), ipv4, gre);
  }

  must(payloadLength <= 0xffff, "too long for IPv6");
  const ipv6 = new Uint8Array(IPV6_LENGTH);
  writeIpv6(ipv6, 0, {
    source: push.source,
    destination: push.destination,
    nextHeader: PROTOCOL_GRE,
    hopLimit: push.ttl,
    payloadLength,
    trafficClass,
    flowLabel: push.flowLabel,
  });
  return concatenate(ethernetHeader(push.ethernet, ETHERTYPE_IPV6), ipv6, gre);
}

function parse(frame: Uint8Array): ParsedFrame {
  const parsed = parseFrame(frame, 0, frame.length);
  must(parsed !== null, "a frame has an Ethernet header");
  return parsed;
}

function concatenate(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** What the slow path has made sure of before it decided; anything else is our mistake, not the packet's. */
function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`transposition: ${what}`);
}
