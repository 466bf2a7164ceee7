/**
 * Two hosts whose VMs and provider addresses are those of Microsoft's verification suite for RSS, so that the published hashes say where
 * packets stand at host2's NIC.
 */
import { RSS_SUITE } from "../vectors/rss-suite.js";
import { concatenate, frame, ip } from "./build.js";

/** Rows between unicast addresses of one kind of scope. */
export const ROWS = RSS_SUITE.slice(0, 6);
/** The outer addresses are those of the second row. */
const [PA2, , PA1, , OUTER] = RSS_SUITE[1];
export const OUTER_HASH = OUTER;
export const HASHES = ROWS.map(([, , , , , withPorts]) => withPorts);

const SENDER = "06-06-00-00-00-05";
const RECEIVER = "06-06-00-00-00-07";

const prefixOf = (address: string): string => address.replace(/\d+$/, "0/24");
const gatewayOf = (address: string): string => address.replace(/\d+$/, "254");
const listOf = (addresses: readonly string[]): string => addresses.map((address) => `"${address}"`).join(", ");

/** `nic`: YAML of further fields of host2's NIC. `more`: further parts of the file. */
export const queueLab = (nic: string, more = ""): string => `
apiVersion: hnv/v1
routingDomains:
  - name: Blue
    id: "{11111111-2222-3333-4444-000000005001}"
    subnets: [{ vsid: 5001, prefixes: [0.0.0.0/0, "3ffe:2501:200::/48"] }]
provider:
  subnets:
    - { prefix: ${prefixOf(PA1)}, gateway: ${gatewayOf(PA1)}, mtu: 1600 }
    - { prefix: ${prefixOf(PA2)}, gateway: ${gatewayOf(PA2)}, mtu: 1600 }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: ${PA1} }]
    vms: [{ name: A, adapters: [{ mac: ${SENDER}, vsid: 5001, addresses: [${listOf(ROWS.map((row) => row[2]))}] }] }]
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16${nic} }]
    providerAddresses: [{ address: ${PA2} }]
    vms: [{ name: B, adapters: [{ mac: ${RECEIVER}, vsid: 5001, addresses: [${listOf(ROWS.map((row) => row[0]))}] }] }]
${more}`;

/** A TCP segment as VM A sends it to VM B. */
export function segment(source: string, sourcePort: number, destination: string, destinationPort: number): Uint8Array {
  const ports = [sourcePort >> 8, sourcePort & 255, destinationPort >> 8, destinationPort & 255];
  const payload = concatenate(ports, [0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
  return frame(RECEIVER, SENDER, ip({ source, destination, protocol: 6, payload }));
}

/** A segment of each row. */
export const SEGMENTS = ROWS.map(([to, toPort, from, fromPort]) => segment(from, fromPort, to, toPort));
