/** Frames into whole labs and what comes of them, in short words. */
import type { EmulatedLab, FrameEnd } from "../../src/index.js";
import { arp, frame, hexOf, ip, udp } from "../engine/build.js";

export const ALL = "FF-FF-FF-FF-FF-FF";
/** The distributed router's MAC where no record gives another. */
export const ROUTER = "02-00-5E-00-01-01";

/** UDP as a VM sends it. */
export function packet(to: string, from: string, source: string, destination: string, ttl = 64): Uint8Array {
  const payload = udp(source, destination, [4000, 5000], new Uint8Array(8).fill(0x5a));
  return frame(to, from, ip({ source, destination, protocol: 17, payload, ttl }));
}

export const whoHas = (target: string, mac: string, sender: string): Uint8Array =>
  frame(ALL, mac, arp({ operation: 1, senderMac: mac, sender, target }));

/** `delivered host2/Blue2`, `dropped host1/Blue1 TX_NO_RECORD`, … of everything that a frame led to, answers included. */
export const endsOf = (lab: EmulatedLab, port: string, bytes: Uint8Array): readonly string[] =>
  lab.send(port, bytes).map(endText);

const endText = ({ verdict, port, reason }: FrameEnd): string =>
  `${verdict} ${port}${reason ? ` ${reason.reason}` : ""}`;

/** NVGRE in IPv4 or IPv6 without options and tag, and the IPv4 or IPv6 packet inside. */
export interface OnTheWire {
  readonly outerSource: string;
  readonly outerDestination: string;
  readonly vsid: number;
  readonly to: string;
  readonly from: string;
  readonly source: string;
  readonly destination: string;
  readonly ttl: number;
}

/** What a host sends on the wire because of a frame; the frame must leave by one NIC. */
export function wireOf(lab: EmulatedLab, port: string, bytes: Uint8Array): OnTheWire {
  const [step] = lab.explain(port, bytes);
  const [output, ...others] = step!.outputs;
  if (!output?.port.includes("/nic") || others.length > 0)
    throw new Error(`not on the wire: ${step!.verdict} ${step!.reason?.reason}`);
  const { after } = output;
  const isV4 = after[12] === 8;
  const gre = isV4 ? 34 : 54;
  if (after[isV4 ? 23 : 20] !== 47) throw new Error("no GRE");
  const inner = after.slice(gre + 8);
  const innerIsV4 = inner[12] === 8;
  return {
    outerSource: address(after, isV4 ? 26 : 22, isV4),
    outerDestination: address(after, isV4 ? 30 : 38, isV4),
    vsid: Number.parseInt(hexOf(after.slice(gre + 4, gre + 7)), 16),
    to: mac(inner, 0),
    from: mac(inner, 6),
    source: address(inner, innerIsV4 ? 26 : 22, innerIsV4),
    destination: address(inner, innerIsV4 ? 30 : 38, innerIsV4),
    ttl: inner[innerIsV4 ? 22 : 21]!,
  };
}

const mac = (bytes: Uint8Array, at: number): string =>
  hexOf(bytes.slice(at, at + 6))
    .toUpperCase()
    .replace(/(..)(?=.)/g, "$1-");

const address = (bytes: Uint8Array, at: number, isV4: boolean): string =>
  isV4 ? bytes.slice(at, at + 4).join(".") : shortened(hexOf(bytes.slice(at, at + 16)));

/** RFC 5952, as far as these labs need it: one run of zeros. */
const shortened = (digits: string): string =>
  digits
    .replace(/(....)(?=.)/g, "$1:")
    .replace(/(^|:)0{1,3}/g, "$1")
    .replace(/(^|:)0(:0)+(:|$)/, "::");
