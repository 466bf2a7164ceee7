/**
 * A lab of two hosts in which addresses are learnt, and the frames that its VMs send, built octet by octet.
 *
 *     host1   Blue1 …05, Blue4 …04: L2Only      Blue6 …06: Static 10.0.0.6
 *     host2   Blue2 …07: Static 10.0.0.7, fd00:10::7, and the DHCP server      Blue8 …08: L2Only
 */

import type { PacketEnd } from "../../src/dataplane/engine.js";
import type { TimedEvent } from "../../src/dataplane/index.js";
import { reasonName } from "../../src/dataplane/index.js";
import type { LookupRecord } from "../../src/dataplane/policy/index.js";
import type { CustomerAddressEvent, LearningCounters } from "../../src/dataplane/slowpath/index.js";
import { formatAddress, formatMac, parseAddress } from "../../src/dataplane/wire/index.js";
import { kernelModule } from "../../src/kernel-file.js";
import { Lab } from "../../src/vswitch/index.js";
import { load } from "../control/labs.js";
import { arp, concatenate, frame, icmpv6, ip, neighborMessage, udp } from "../engine/build.js";

export const BLUE1 = "06-06-00-00-00-05";
export const BLUE4 = "06-06-00-00-00-04";
export const BLUE6 = "06-06-00-00-00-06";
export const BLUE2 = "06-06-00-00-00-07";
export const BLUE8 = "06-06-00-00-00-08";
export const GATEWAY = "02-00-5E-00-01-01";
export const BROADCAST = "FF-FF-FF-FF-FF-FF";
export const ALL_DHCP_SERVERS = "33-33-00-01-00-02";
export const VSID = 5001;
export const PA1 = "192.168.4.11";
export const PA2 = "192.168.4.22";

export interface LabShape {
  /** Of the lab. */
  readonly settings?: string;
  /** More of the adapters of Blue1 and Blue4. */
  readonly blue1?: string;
  readonly blue4?: string;
  readonly mode?: string;
}

const l2Only = (mac: string, pa: string): string =>
  ["0.0.0.0", '"::"']
    .map(
      (ca) =>
        `  - { customerAddress: ${ca}, virtualSubnetID: ${VSID}, macAddress: ${mac}, providerAddress: ${pa}, type: L2Only }`,
    )
    .join("\n");

const fabric = ({ settings = "", blue1 = "", blue4 = "", mode = "2012R2" }: LabShape): string => `
apiVersion: hnv/v1
mode: ${mode}
settings: { ${settings} }
routingDomains:
  - name: Blue
    id: "{11111111-2222-3333-4444-000000005001}"
    subnets:
      - { vsid: ${VSID}, prefixes: [10.0.0.0/24, "fd00:10::/64"] }
      - { vsid: 5002, prefixes: [10.0.1.0/24] }
provider:
  subnets: [{ prefix: 192.168.4.0/24, mtu: 1600 }]
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: ${PA1} }]
    vms:
      - { name: Blue1, adapters: [{ mac: ${BLUE1}, vsid: ${VSID}${blue1} }] }
      - { name: Blue4, adapters: [{ mac: ${BLUE4}, vsid: ${VSID}${blue4} }] }
      - { name: Blue6, adapters: [{ mac: ${BLUE6}, vsid: ${VSID}, addresses: [10.0.0.6] }] }
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: ${PA2} }]
    vms:
      - { name: Blue2, adapters: [{ mac: ${BLUE2}, vsid: ${VSID}, addresses: [10.0.0.7, "fd00:10::7"] }] }
      - { name: Blue8, adapters: [{ mac: ${BLUE8}, vsid: ${VSID} }] }
lookupRecords:
${l2Only(BLUE1, PA1)}
${l2Only(BLUE4, PA1)}
${l2Only(BLUE8, PA2)}
`;

/** The lab, its clock, and what it has told. */
export class LearningLab {
  readonly lab: Lab;
  /** `Added 10.0.0.5 at 06-06-00-00-00-05, 192.168.4.11`, with the host and the time in front. */
  readonly events: string[] = [];
  readonly #numbers: number[] = [];
  /** In microseconds. */
  nowUs = 1_000_000;

  constructor(shape: LabShape = {}) {
    const onEvent = ({ node, timeMs, event }: TimedEvent): void => {
      if (event.kind !== "customerAddressChanged") return;
      const { change, changeNumber, customerAddress, macAddress, providerAddress } = event as CustomerAddressEvent;
      const name = this.lab.engine.nodes[node]!.name;
      this.events.push(`${timeMs} ${name} ${change} ${customerAddress} at ${macAddress}, ${providerAddress}`);
      this.#numbers.push(changeNumber);
    };
    this.lab = new Lab(load(fabric(shape)).lab, { kernel: kernelModule(), onEvent });
  }

  /** The numbers of the events so far. */
  get changeNumbers(): readonly number[] {
    return this.#numbers;
  }

  /** Sends frames of one port at the lab's time, which then goes on by 2 ms, so that what they taught is settled. */
  send(port: string, ...frames: readonly Uint8Array[]): string[] {
    const ends = this.ends(port, ...frames);
    this.pass(2);
    return ends.map(endText(this.lab));
  }

  /** As `send`, in one tick, and nothing settled afterwards. */
  ends(port: string, ...frames: readonly Uint8Array[]): PacketEnd[] {
    const rows = frames.map((each) => ({ port: this.lab.port(port)!, frame: each }));
    return this.lab.engine.send(rows, BigInt(this.nowUs) * 1000n);
  }

  /** Lets time pass, and gives how the frames ended that nodes sent by themselves. */
  pass(ms: number): PacketEnd[] {
    this.nowUs += ms * 1000;
    return this.lab.engine.sendNothing(BigInt(this.nowUs) * 1000n);
  }

  /** A host's record of an address, in words; undefined if there is none. */
  record(host: string, address: string): string | undefined {
    const record = this.lab.policyOf(host)!.lookupRecords.find(VSID as never, parseAddress(address)!);
    return record && `${record.type} ${describe(record)}`;
  }

  learning(host: string): LearningCounters {
    return this.lab.learning()[host]!;
  }

  refused(host: string): Record<string, number> {
    const refused: Readonly<Record<string, number>> = this.lab.learning()[host]?.refused ?? {};
    return Object.fromEntries(Object.entries(refused).filter(([, count]) => count > 0));
  }
}

const describe = ({ customerAddress, macAddress, providerAddress }: LookupRecord): string =>
  `${formatAddress(customerAddress)} at ${formatMac(macAddress)}, ${formatAddress(providerAddress)}`;

const endText =
  (lab: Lab) =>
  ({ verdict, port, reason }: PacketEnd): string =>
    `${verdict} at ${lab.engine.ports[port]!.name}${reason ? `: ${reasonName(reason)}` : ""}`;

// What VMs say.

export const NOBODY = "00-00-00-00-00-00";

/** A gratuitous ARP request. */
export const announce = (mac: string, address: string): Uint8Array =>
  frame(BROADCAST, mac, arp({ operation: 1, senderMac: mac, sender: address, target: address }));
/** Who has `target`? */
export const ask = (mac: string, address: string, target: string): Uint8Array =>
  frame(BROADCAST, mac, arp({ operation: 1, senderMac: mac, sender: address, target }));
export const reply = (mac: string, address: string, toMac: string, to: string): Uint8Array =>
  frame(toMac, mac, arp({ operation: 2, senderMac: mac, sender: address, targetMac: toMac, target: to }));
export const probe = (mac: string, target: string): Uint8Array => ask(mac, "0.0.0.0", target);

const ALL_NODES_MAC = "33-33-00-00-00-01";
/** An unsolicited neighbor advertisement (136). */
export const advertise = (mac: string, address: string): Uint8Array =>
  frame(ALL_NODES_MAC, mac, icmpv6(address, "ff02::1", neighborMessage(136, 0x20, address, [2, mac])));
/** A neighbor solicitation (135) for `target`. */
export const solicit = (mac: string, source: string, target: string): Uint8Array => {
  const low = target.slice(-1).padStart(2, "0");
  const option = source === "::" ? null : ([1, mac] as const);
  const message = neighborMessage(135, 0, target, option);
  return frame(`33-33-FF-00-00-${low}`, mac, icmpv6(source, `ff02::1:ff00:${low}`, message));
};

/** UDP between two addresses, with some octets in it. */
export const datagram = (
  macs: readonly [to: string, from: string],
  addresses: readonly [to: string, from: string],
  ports: readonly [to: number, from: number] = [5000, 49_152],
  data: Uint8Array = new Uint8Array(8),
): Uint8Array => {
  const [destination, source] = addresses;
  const payload = udp(source, destination, [ports[1], ports[0]], data);
  return frame(macs[0], macs[1], ip({ source, destination, protocol: 17, payload }));
};

export interface DhcpMessage {
  readonly op: 1 | 2;
  readonly type: number;
  /** `chaddr` */
  readonly client: string;
  readonly yours?: string;
  readonly relay?: string;
}

/** A DHCP message by RFC 2131, made by hand. */
export function dhcp({ op, type, client, yours = "0.0.0.0", relay = "0.0.0.0" }: DhcpMessage): Uint8Array {
  const address = (text: string): number[] => text.split(".").map(Number);
  const mac = client.split("-").map((octet) => Number.parseInt(octet, 16));
  const head = [op, 1, 6, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, ...address(yours), 0, 0, 0, 0, ...address(relay)];
  const names = new Array<number>(10 + 64 + 128).fill(0);
  return concatenate(head, mac, names, [0x63, 0x82, 0x53, 0x63, 53, 1, type, 255]);
}

/** From Blue2, the server, to a client; by broadcast or to its MAC address. */
export const fromServer = (message: Omit<DhcpMessage, "op">, toMac = message.client): Uint8Array => {
  const to = toMac === BROADCAST ? "255.255.255.255" : (message.yours ?? "255.255.255.255");
  return datagram([toMac, BLUE2], [to, "10.0.0.7"], [68, 67], dhcp({ op: 2, ...message }));
};
export const fromClient = (mac: string, type: number): Uint8Array =>
  datagram([BROADCAST, mac], ["255.255.255.255", "0.0.0.0"], [67, 68], dhcp({ op: 1, type, client: mac }));

/** A DHCPv6 message of a type that leases these addresses, made by hand (RFC 8415). */
export function dhcpv6(type: number, leases: readonly string[]): Uint8Array {
  const octets = (text: string): number[] => {
    const [head = "", tail = ""] = text.split("::");
    const groups = (part: string): number[] =>
      part === "" ? [] : part.split(":").map((each) => Number.parseInt(each, 16));
    const [front, back] = [groups(head), groups(tail)];
    const all = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
    return all.flatMap((group) => [group >>> 8, group & 255]);
  };
  const addresses = leases.flatMap((lease) => [0, 5, 0, 24, ...octets(lease), 0, 0, 0, 100, 0, 0, 0, 200]);
  const ia = [0, 3, 0, 12 + addresses.length, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, ...addresses];
  return Uint8Array.from([type, 1, 2, 3, ...ia]);
}

/** The VM's link-local address: fe80:: and the last octet of its MAC address. */
export const linkLocal = (mac: string): string => `fe80::${Number.parseInt(mac.slice(-2), 16).toString(16)}`;
export const fromServer6 = (type: number, client: string, leases: readonly string[]): Uint8Array =>
  datagram([client, BLUE2], [linkLocal(client), linkLocal(BLUE2)], [546, 547], dhcpv6(type, leases));
export const fromClient6 = (mac: string): Uint8Array =>
  datagram([ALL_DHCP_SERVERS, mac], ["ff02::1:2", linkLocal(mac)], [547, 546], dhcpv6(1, []));
