/**
 * The lab of the tests about IP Rewrite: two hosts whose NICs end outside of it, so that what is on the wire can be seen, and be sent to the other
 * host. Frames and their checksums are made without help of the code under test.
 */
import { expect } from "vitest";
import { loadFabricFile } from "../../../../src/control/index.js";
import type { PortIndex } from "../../../../src/dataplane/transposition/index.js";
import { kernelModule } from "../../../../src/kernel-file.js";
import { EmulatedLab, type FrameEnd } from "../../../../src/library.js";
import { Lab } from "../../../../src/vswitch/index.js";
import { frame as ethernet, hexOf, ip, tagged, udp } from "../../../engine/build.js";

export const [NIC1, NIC2] = ["02-00-C0-A8-04-0B", "02-00-C0-A8-04-16"];
export const [BLUE1, BLUE2, BLUE3] = ["06-06-00-00-00-05", "06-06-00-00-00-07", "06-06-00-00-00-09"];
export const [GATEWAY, GATEWAY_5002] = ["02-00-5E-00-01-01", "06-06-00-00-02-01"];
export const [BLUE_ID, RED_ID] = ["{11111111-2222-3333-4444-000000005001}", "{11111111-2222-3333-4444-000000006001}"];
export const VLAN = 103;

/** Red1 and Red2 have the addresses and the MACs of Blue1 and Blue2, and PAs of their own. Blue5 is encapsulated. */
export const RECORDS = [
  `{ virtualSubnetID: 5001, customerAddress: 10.0.0.5, macAddress: ${BLUE1}, providerAddress: 192.168.4.101, rule: TranslationMethodNat }`,
  `{ virtualSubnetID: 5001, customerAddress: 10.0.0.7, macAddress: ${BLUE2}, providerAddress: 192.168.4.102, rule: TranslationMethodNat }`,
  `{ virtualSubnetID: 5002, customerAddress: 10.0.1.9, macAddress: ${BLUE3}, providerAddress: 192.168.4.103, rule: TranslationMethodNat }`,
  `{ virtualSubnetID: 5001, customerAddress: "fd00:10::5", macAddress: ${BLUE1}, providerAddress: "2001:db8:4::101", rule: TranslationMethodNat }`,
  `{ virtualSubnetID: 5001, customerAddress: "fd00:10::7", macAddress: ${BLUE2}, providerAddress: "2001:db8:4::102", rule: TranslationMethodNat }`,
  `{ virtualSubnetID: 6001, customerAddress: 10.0.0.5, macAddress: ${BLUE1}, providerAddress: 192.168.4.201, rule: TranslationMethodNat }`,
  `{ virtualSubnetID: 6001, customerAddress: 10.0.0.7, macAddress: ${BLUE2}, providerAddress: 192.168.4.202, rule: TranslationMethodNat }`,
  "{ virtualSubnetID: 5001, customerAddress: 10.0.0.10, macAddress: 06-06-00-00-00-0A, providerAddress: 192.168.4.22 }",
  `{ virtualSubnetID: 5002, customerAddress: 10.0.1.1, macAddress: ${GATEWAY_5002}, providerAddress: 169.254.254.254 }`,
];
export const labText = (records: readonly string[] = RECORDS, more = "", blue1 = ""): string => `
apiVersion: hnv/v1
hosts:
  - name: host1
    mtu: 1500
    nics: [{ name: nic1, mac: ${NIC1} }]
    providerAddresses: [${pas(["192.168.4.11", "192.168.4.101", "192.168.4.201", "2001:db8:4::101"])}]
    vms:
      - { name: Blue1, adapters: [{ mac: ${BLUE1}, vsid: 5001${blue1 && `, ${blue1}`} }] }
      - { name: Red1, adapters: [{ mac: ${BLUE1}, vsid: 6001 }] }
  - name: host2
    mtu: 1500
    nics: [{ name: nic1, mac: ${NIC2} }]
    providerAddresses: [${pas(["192.168.4.22", "192.168.4.102", "192.168.4.103", "192.168.4.202", "2001:db8:4::102"])}]
    vms:
      - { name: Blue2, adapters: [{ mac: ${BLUE2}, vsid: 5001 }] }
      - { name: Blue3, adapters: [{ mac: ${BLUE3}, vsid: 5002 }] }
      - { name: Red2, adapters: [{ mac: ${BLUE2}, vsid: 6001 }] }
      - { name: Blue5, adapters: [{ mac: 06-06-00-00-00-0A, vsid: 5001 }] }
customerRoutes:
  - { routingDomainID: "${BLUE_ID}", virtualSubnetID: 5001, destinationPrefix: 10.0.0.0/24, nextHop: 0.0.0.0 }
  - { routingDomainID: "${BLUE_ID}", virtualSubnetID: 5001, destinationPrefix: "fd00:10::/64", nextHop: "::" }
  - { routingDomainID: "${BLUE_ID}", virtualSubnetID: 5002, destinationPrefix: 10.0.1.0/24, nextHop: 0.0.0.0 }
  - { routingDomainID: "${RED_ID}", virtualSubnetID: 6001, destinationPrefix: 10.0.0.0/24, nextHop: 0.0.0.0 }
${more}lookupRecords:
${records.map((record) => `  - ${record}\n`).join("")}`;
const pas = (addresses: readonly string[]): string =>
  addresses
    .map((address) => `{ address: "${address}", prefixLength: ${address.includes(":") ? 64 : 24}, vlan: ${VLAN} }`)
    .join(", ");
/** Every port ends outside of the lab. */
export function lab(records?: readonly string[], more?: string, blue1?: string): EmulatedLab {
  const loaded = loadFabricFile(labText(records, more, blue1), "ip-rewrite.yaml");
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const built = new Lab(loaded.lab, { kernel: kernelModule() });
  for (const port of built.engine.ports.keys()) built.engine.setPeer(port as PortIndex, null);
  return new EmulatedLab(built);
}
export const changed = (from: string, to: string): EmulatedLab => {
  const records = RECORDS.map((record) => record.replace(from, to));
  expect(records).not.toEqual(RECORDS);
  return lab(records);
};

/** What is at an address: its PA, and the MACs between Blue1 and its peer. */
export const V4 = { from: "10.0.0.5", to: "10.0.0.7", fromPa: "192.168.4.101", toPa: "192.168.4.102" };
export const V6 = { from: "fd00:10::5", to: "fd00:10::7", fromPa: "2001:db8:4::101", toPa: "2001:db8:4::102" };
export type Ends = typeof V4;
export const back = ({ from, to, fromPa, toPa }: Ends): Ends => ({ from: to, to: from, fromPa: toPa, toPa: fromPa });

/** `packet` as Blue1 sends it to Blue2, and as it is on the wire; it is made from two addresses. */
export type Packet = (source: string, destination: string) => Uint8Array;
export const asSent = ({ from, to }: Ends, packet: Packet): Uint8Array => ethernet(BLUE2, BLUE1, packet(from, to));
export const onWire = ({ fromPa, toPa }: Ends, packet: Packet): Uint8Array =>
  ethernet(NIC2, NIC1, tagged(VLAN, packet(fromPa, toPa)));
export const datagram =
  (length = 20, ttl = 64): Packet =>
  (source, destination) =>
    ip({
      source,
      destination,
      protocol: 17,
      payload: udp(source, destination, [4000, 53], new Uint8Array(length).fill(7)),
      ttl,
    });

/** `port frame`, or the reason, for each end. */
export const text = ({ verdict, port, frame, reason }: FrameEnd): string =>
  verdict === "delivered" ? `${port} ${hexOf(frame)}` : (reason?.reason ?? verdict);
export const ends = (to: EmulatedLab, port: string, frame: Uint8Array): string[] => to.send(port, frame).map(text);
export const wireEnd = (frame: Uint8Array, host = "host1"): string => `${host}/nic1 ${hexOf(frame)}`;
