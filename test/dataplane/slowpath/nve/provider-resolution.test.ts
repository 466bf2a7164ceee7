/** ARP and neighbor discovery of the provider network, as host 1 answers them with `resolve: wire`. */
import { expect, it } from "vitest";
import { arp, frame, hexOf, icmpv6, neighborMessage, tagged } from "../../../engine/build.js";
import { isTsharkAvailable, tsharkFields } from "../../../oracles/tshark.js";
import {
  type Changes,
  host1,
  MACS,
  mac,
  NIC,
  nic,
  PA1,
  PA1_V6,
  PA2,
  PA2_V6,
  port,
  providerAddress,
  type TestHost,
  verdictName,
} from "../fixture.js";

const ALL = "FF-FF-FF-FF-FF-FF";
const SECOND_NIC = port(8);
const host = ({ settings, ...changes }: Changes = {}): TestHost =>
  host1({
    providerAddresses: [providerAddress(PA1), providerAddress(PA1_V6)],
    ports: { 8: nic("02-00-00-00-00-08", 2) },
    ...changes,
    settings: { resolve: "wire", ...settings },
  });

const request = (target = PA1, sender = PA2, destination = ALL): Uint8Array =>
  frame(destination, MACS.nic2, arp({ operation: 1, senderMac: MACS.nic2, sender, target }));
const solicitation = (target = PA1_V6): Uint8Array =>
  frame(
    "33-33-FF-00-00-11",
    MACS.nic2,
    icmpv6(PA2_V6, "ff02::1:ff00:11", neighborMessage(135, 0, target, [1, MACS.nic2])),
  );
const inVlan = (tci: number, bytes: Uint8Array): Uint8Array =>
  Uint8Array.from([...bytes.subarray(0, 12), ...tagged(tci, bytes.subarray(12))]);

const reply = (target = PA1, to = PA2): string =>
  hexOf(
    frame(
      MACS.nic2,
      MACS.nic1,
      arp({ operation: 2, senderMac: MACS.nic1, sender: target, targetMac: MACS.nic2, target: to }),
    ),
  );

/** The verdict, then the answers. */
function ask(bytes: Uint8Array, testHost = host(), ingress = NIC): readonly string[] {
  const decision = testHost.decide(bytes, ingress);
  expect(decision.cacheable, "what ARP says is in no flow key").toBe(false);
  for (const { port } of decision.emissions ?? []) expect(port).toBe(ingress);
  return [verdictName(decision), ...(decision.emissions ?? []).map((emission) => hexOf(emission.frame))];
}

it("answers for a provider address, to all and to one, with its MAC", () => {
  expect(ask(request())).toEqual(["consume", reply()]);
  expect(ask(request(PA1, PA2, MACS.nic1))).toEqual(["consume", reply()]);
  const advertisement = icmpv6(PA1_V6, PA2_V6, neighborMessage(136, 0x60, PA1_V6, [2, MACS.nic1]));
  expect(ask(solicitation())).toEqual(["consume", hexOf(frame(MACS.nic2, MACS.nic1, advertisement))]);
});

it("defends it against a probe (RFC 5227 §2.1.1)", () => {
  expect(ask(request(PA1, "0.0.0.0"))).toEqual(["consume", reply(PA1, "0.0.0.0")]);
});

it("gives the provider address's own MAC where it has one", () => {
  const own = "02-00-00-00-00-AA";
  const testHost = host({ providerAddresses: [providerAddress(PA1, { macAddress: mac(own) })] });
  expect(ask(request(), testHost)[1]).toContain(own.replaceAll("-", "").toLowerCase());
  expect(ask(request(PA1, PA2, own), testHost)).toHaveLength(2);
});

it("answers in the provider address's VLAN, with its tag, and in no other", () => {
  const testHost = host({ providerAddresses: [providerAddress(PA1, { vlanID: 103 })] });
  const answer = reply();
  const inside = `${answer.slice(0, 24)}81000067${answer.slice(24)}`;
  expect(ask(inVlan(0xa067, request()), testHost)).toEqual(["consume", inside]);
  expect(ask(request(), testHost)).toEqual(["pass NONE"]);
  expect(ask(inVlan(0x0068, request()), testHost)).toEqual(["pass NONE"]);
  expect(ask(inVlan(0xa000, request())), "a priority tag is no VLAN").toEqual(["consume", reply()]);
});

it("answers at the NIC that has the address, and only there", () => {
  expect(ask(request(), host(), SECOND_NIC)).toEqual(["pass NONE"]);
});

it.each(["Tentative", "Duplicate", "Invalid"] as const)("does not answer for a %s provider address", (addressState) => {
  const testHost = host({ providerAddresses: [providerAddress(PA1, { addressState })] });
  expect(ask(request(), testHost)).toEqual(["pass NONE"]);
});
it("still answers for a Deprecated one", () => {
  const testHost = host({ providerAddresses: [providerAddress(PA1, { addressState: "Deprecated" })] });
  expect(ask(request(), testHost)).toHaveLength(2);
});

it.each([
  ["a question for another address", request("192.168.4.99")],
  ["a question to another station", request(PA1, PA2, MACS.providerRouter)],
  ["an announcement", request(PA2, PA2)],
  ["a reply", frame(MACS.nic1, MACS.nic2, arp({ operation: 2, senderMac: MACS.nic2, sender: PA2, target: PA1 }))],
  ["a malformed message", request().subarray(0, 40)],
])("leaves %s to whoever else lives on the host", (_title, bytes) => {
  expect(ask(bytes)).toEqual(["pass NONE"]);
});

it("answers nothing where neighbors are static, as in captures", () => {
  const testHost = host1({ settings: { resolve: "static" } });
  const decision = testHost.decide(request(), NIC);
  expect([verdictName(decision), decision.emissions]).toEqual(["pass NONE", undefined]);
});

it("never answers for a customer address", () => {
  expect(ask(request("10.0.0.5"))).toEqual(["pass NONE"]);
});

it.skipIf(!isTsharkAvailable())("Wireshark finds nothing wrong with the answers", () => {
  const vlan = host({ providerAddresses: [providerAddress(PA1, { vlanID: 103 })] });
  const answers = [
    host().decide(request(), NIC),
    host().decide(solicitation(), NIC),
    vlan.decide(inVlan(103, request()), NIC),
  ].map(({ emissions }) => emissions![0]!.frame);
  const fields = tsharkFields(answers, [
    "vlan.id",
    "arp.src.proto_ipv4",
    "icmpv6.nd.na.target_address",
    "_ws.expert.severity",
  ]);
  expect(fields.map((each) => Object.values(each))).toEqual([
    [[], [PA1], [], []],
    [[], [], [PA1_V6], []],
    [["103"], [PA1], [], []],
  ]);
});
