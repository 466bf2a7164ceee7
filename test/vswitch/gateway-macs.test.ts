/** The router's MAC is a matter of the family: each gateway address has a record of its own, or none. */
import { expect, it } from "vitest";
import { createLab, type EmulatedLab } from "../../src/index.js";
import { change, TWO_HOSTS } from "../control/labs.js";
import { frame, hexOf, icmpv6, ip, macBytes, neighborMessage, udp } from "../engine/build.js";
import { packet, ROUTER, whoHas } from "./whole-labs.js";

const BLUE1 = "06-06-00-00-00-05";
const [V4, V6, FAR_V4, FAR_V6] = [
  "00-11-22-33-44-04",
  "00-11-22-33-44-06",
  "00-11-22-33-45-04",
  "00-11-22-33-45-06",
] as const;
const record = (address: string, vsid: number, mac: string): string =>
  `  - { customerAddress: "${address}", virtualSubnetID: ${vsid}, macAddress: ${mac}, providerAddress: 169.254.254.254 }\n`;
const OF_V4 = record("10.0.0.1", 5001, V4) + record("10.0.1.1", 5002, FAR_V4);
const OF_V6 = record("fd00:10::1", 5001, V6) + record("fd00:11::1", 5002, FAR_V6);

/** Blue1 and Blue4 on host1, in 5001 and 5002. */
const DUAL_STACK = [
  [
    "[10.0.0.0/24], gatewayMac: 06-06-00-00-01-01 }\n      - { vsid: 5002",
    '[10.0.0.0/24, "fd00:10::/64"] }\n      - { vsid: 5002',
  ],
  ["[10.0.1.0/24]", '[10.0.1.0/24, "fd00:11::/64"]'],
  ["vsid: 5001, addresses: [10.0.0.5]", 'vsid: 5001, addresses: [10.0.0.5, "fd00:10::5"]'],
  [
    "08-08-00-00-00-05, vsid: 6001, addresses: [10.0.0.5]",
    '06-06-00-00-00-04, vsid: 5002, addresses: [10.0.1.4, "fd00:11::4"]',
  ],
].reduce((text, [from, to]) => change(text, from!, to!), TWO_HOSTS);
const labWith = (records: string): EmulatedLab => createLab(`${DUAL_STACK}lookupRecords:\n${records}`);

const solicitation = frame(
  "33-33-FF-00-00-01",
  BLUE1,
  icmpv6("fd00:10::5", "ff02::1:ff00:1", neighborMessage(135, 0, "fd00:10::1", [1, BLUE1])),
);
const overV6 = (to: string, ttl = 64): Uint8Array => {
  const [source, destination] = ["fd00:10::5", "fd00:11::4"];
  const payload = udp(source!, destination!, [4000, 5000], new Uint8Array(8));
  return frame(to, BLUE1, ip({ source: source!, destination: destination!, protocol: 17, payload, ttl }));
};

/** The source MAC of all that a frame leads to: answers, and what goes on. */
const sourceOf = (lab: EmulatedLab, bytes: Uint8Array): string[] => {
  const [step] = lab.explain("host1/Blue1", bytes);
  return [...step!.outputs, ...step!.answers].map(({ after }) => hexOf(after.slice(6, 12)));
};
const hexMac = (text: string): string[] => [hexOf(macBytes(text))];

it.each<[string, string, string, string, string, string]>([
  ["records of both families", OF_V4 + OF_V6, V4, V6, FAR_V4, FAR_V6],
  ["records of IPv4 only", OF_V4, V4, ROUTER, FAR_V4, ROUTER],
  ["records of IPv6 only", OF_V6, ROUTER, V6, ROUTER, FAR_V6],
])(
  "%s: ARP, ND, routed packets and error messages bear the MAC of their family",
  (_, records, v4, v6, farV4, farV6) => {
    const lab = labWith(records);
    expect(sourceOf(lab, whoHas("10.0.0.1", BLUE1, "10.0.0.5"))).toEqual(hexMac(v4));
    expect(sourceOf(lab, solicitation)).toEqual(hexMac(v6));
    expect(sourceOf(lab, packet(v4, BLUE1, "10.0.0.5", "10.0.1.4"))).toEqual(hexMac(farV4));
    expect(sourceOf(lab, overV6(v6))).toEqual(hexMac(farV6));
    expect(sourceOf(lab, packet(v4, BLUE1, "10.0.0.5", "10.0.1.4", 1)), "time exceeded").toEqual(hexMac(v4));
    expect(sourceOf(lab, overV6(v6, 1)), "time exceeded").toEqual(hexMac(v6));
  },
);
