/** Which header field lies where in a frame, so that a difference between two frames can be called by its name. */
import { type ParsedIp, parseFrame } from "../dataplane/packet/index.js";
import {
  ETHERTYPE_TEB,
  GRE_CHECKSUM_PRESENT,
  GRE_KEY_PRESENT,
  GRE_SEQUENCE_PRESENT,
  greFlagsAt,
  greLengthAt,
  greProtocolAt,
  PROTOCOL_GRE,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../dataplane/wire/index.js";

export interface FrameField {
  /** `outer IPv4 identification` */
  readonly name: string;
  /** From the frame's beginning. */
  readonly at: number;
  readonly length: number;
}

type Layout = readonly (readonly [name: string, at: number, length: number])[];

const ETHERNET: Layout = [
  ["Ethernet destination", 0, 6],
  ["Ethernet source", 6, 6],
];
const IPV4: Layout = [
  ["IPv4 version and header length", 0, 1],
  ["IPv4 DSCP and ECN", 1, 1],
  ["IPv4 total length", 2, 2],
  ["IPv4 identification", 4, 2],
  ["IPv4 flags and fragment offset", 6, 2],
  ["IPv4 TTL", 8, 1],
  ["IPv4 protocol", 9, 1],
  ["IPv4 header checksum", 10, 2],
  ["IPv4 source", 12, 4],
  ["IPv4 destination", 16, 4],
];
const IPV6: Layout = [
  ["IPv6 version, traffic class and flow label", 0, 4],
  ["IPv6 payload length", 4, 2],
  ["IPv6 next header", 6, 1],
  ["IPv6 hop limit", 7, 1],
  ["IPv6 source", 8, 16],
  ["IPv6 destination", 24, 16],
];
const UDP: Layout = [
  ["UDP source port", 0, 2],
  ["UDP destination port", 2, 2],
  ["UDP length", 4, 2],
  ["UDP checksum", 6, 2],
];
const TCP: Layout = [
  ["TCP source port", 0, 2],
  ["TCP destination port", 2, 2],
  ["TCP sequence number", 4, 4],
  ["TCP acknowledgment number", 8, 4],
  ["TCP data offset and flags", 12, 2],
  ["TCP window", 14, 2],
  ["TCP checksum", 16, 2],
  ["TCP urgent pointer", 18, 2],
];
const icmp = (name: string): Layout => [
  [`${name} type`, 0, 1],
  [`${name} code`, 1, 1],
  [`${name} checksum`, 2, 2],
  [`${name} rest of header`, 4, 4],
];
const TRANSPORTS: ReadonlyMap<number, Layout> = new Map([
  [PROTOCOL_UDP, UDP],
  [PROTOCOL_TCP, TCP],
  [PROTOCOL_ICMP, icmp("ICMP")],
  [PROTOCOL_ICMPV6, icmp("ICMPv6")],
]);

/** The fields of the frame's headers, in order and without overlaps. What lies behind them is payload. */
export function frameFields(frame: Uint8Array): FrameField[] {
  const fields: FrameField[] = [];
  addFrame(fields, frame, 0, "");
  const isTunnel = fields.some(({ name }) => name.startsWith("inner "));
  return isTunnel
    ? fields.map((field) => (/^(?:inner|GRE|NVGRE) ?/.test(field.name) ? field : renamed(field)))
    : fields;
}

const renamed = (field: FrameField): FrameField => ({ ...field, name: `outer ${field.name}` });

function addFrame(fields: FrameField[], frame: Uint8Array, start: number, prefix: string): void {
  const parsed = parseFrame(frame, start, frame.length);
  if (!parsed) return;
  const add = (layout: Layout, at: number, end: number): void => {
    for (const [name, offset, length] of layout) {
      if (at + offset < end)
        fields.push({ name: `${prefix}${name}`, at: at + offset, length: Math.min(length, end - at - offset) });
    }
  };
  add(ETHERNET, start, frame.length);
  if (parsed.tag !== null)
    add(
      [
        ["VLAN TPID", 12, 2],
        ["VLAN tag", 14, 2],
      ],
      start,
      frame.length,
    );
  add([["EtherType", 0, 2]], parsed.networkAt - 2, frame.length);
  const { ip } = parsed;
  if (!ip) return;
  const fixed = ip.family === 4 ? 20 : 40;
  add(ip.family === 4 ? IPV4 : IPV6, ip.at, ip.end);
  if (ip.transportAt > ip.at + fixed) {
    add(
      [[ip.family === 4 ? "IPv4 options" : "IPv6 extension headers", fixed, ip.transportAt - ip.at - fixed]],
      ip.at,
      ip.end,
    );
  }
  if (ip.fragment === "later") return;
  add(TRANSPORTS.get(ip.protocol) ?? [], ip.transportAt, ip.end);
  if (ip.protocol === PROTOCOL_GRE && ip.end - ip.transportAt >= 4) addGre(fields, frame, ip, prefix);
}

function addGre(fields: FrameField[], frame: Uint8Array, { transportAt: at, end }: ParsedIp, prefix: string): void {
  const flags = greFlagsAt(frame, at);
  const protocol = greProtocolAt(frame, at);
  const isNvgre = protocol === ETHERTYPE_TEB && (flags & GRE_KEY_PRESENT) !== 0;
  let cursor = at;
  const next = (name: string, length: number): void => {
    if (cursor + length <= end) fields.push({ name: `${prefix}${name}`, at: cursor, length });
    cursor += length;
  };
  next("GRE flags and version", 2);
  next("GRE protocol", 2);
  if (flags & GRE_CHECKSUM_PRESENT) next("GRE checksum", 4);
  if (isNvgre) {
    next("NVGRE VSID", 3);
    next("NVGRE FlowID", 1);
  } else if (flags & GRE_KEY_PRESENT) next("GRE key", 4);
  if (flags & GRE_SEQUENCE_PRESENT) next("GRE sequence number", 4);
  if (isNvgre && prefix === "") addFrame(fields, frame, at + greLengthAt(frame, at), "inner ");
}
