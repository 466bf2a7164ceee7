/** The outer IP header against RFC 791, RFC 1122 and RFC 8200, where no test beside the code names the rule. */
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { loadLab } from "../../src/index.js";
import {
  HOST2,
  host2,
  ipv4Checksum,
  labRecords,
  NIC,
  PA1_V6,
  PA2_V6,
  providerAddress,
  repairIpv4,
  splice,
} from "../dataplane/slowpath/fixture.js";
import { innerOf, workedPacket } from "../vectors/worked-packets.js";

/** One host, whose NIC is the end of the lab: provider VLAN 103, so IPv4 begins at octet 18. */
const ONE_HOST = fileURLToPath(new URL("../../examples/one-host-records.yaml", import.meta.url));
const sent = (count: number): Uint8Array[] =>
  loadLab(ONE_HOST)
    .sendAll(Array.from({ length: count }, () => ({ port: "host1/Blue1", frame: innerOf("a") })))
    .map(({ frame }) => frame);
const u16At = (frame: Uint8Array, at: number): number => (frame[at]! << 8) | frame[at + 1]!;

it("RFC 791 §3.1: outer total length and header checksum are right", () => {
  const [frame] = sent(1);
  expect(u16At(frame!, 18 + 2)).toBe(frame!.length - 18);
  expect(u16At(frame!, 18 + 10)).toBe(ipv4Checksum(frame!, 18));
});

it("RFC 791 §3.2: no two outer packets of a host follow with the same identification", () => {
  expect(sent(3).map((frame) => u16At(frame, 18 + 4))).toEqual([0, 1, 2]);
});

it("RFC 791 §3.1: a header with options ends where its IHL says", () => {
  const frame = splice(workedPacket("a"), 34, [1, 1, 1, 0], 0); // No-Operation three times, End of Options
  frame[14] = 0x46;
  expect(host2().send(repairIpv4(frame), NIC).frame).toEqual(innerOf("a"));
});

it("RFC 1122 §3.2.1.7: what has arrived is not refused for its TTL", () => {
  const frame = repairIpv4(splice(workedPacket("a"), 22, [1]));
  expect(host2().forward(frame, NIC).output).toBe(HOST2.blue2);
});

it("RFC 8200 §4.1: hop-by-hop and destination options before GRE are skipped", () => {
  const host = host2({ providerAddresses: [providerAddress(PA2_V6)], lookupRecords: labRecords(PA1_V6, PA2_V6) });
  const hopByHop = [60, 0, 1, 4, 0, 0, 0, 0]; // one PadN option fills each
  const destination = [47, 0, 1, 4, 0, 0, 0, 0];
  const frame = splice(workedPacket("d"), 54, [...hopByHop, ...destination], 0);
  frame[18 + 1]! += 16;
  frame[20] = 0;
  expect(host.send(frame, NIC).frame).toEqual(innerOf("d"));
});
