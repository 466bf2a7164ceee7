/** Blue1 on host1 and Blue2 on host2, each in a provider subnet of its own, with MTUs and switches as a test wants them. */
import { createLab, type EmulatedLab, type FrameEnd } from "../../../src/index.js";
import { scapyFrames } from "../../oracles/scapy.js";
import { frame, ip, tcpSegment, udp } from "../build.js";

export const BLUE1 = "06-06-00-00-00-05";
export const BLUE2 = "06-06-00-00-00-07";

export interface LabOptions {
  /** MTU of host1's provider subnet, and of host2's. */
  readonly mtus?: readonly [number, number];
  /** YAML of the lab's switches. */
  readonly settings?: string;
  /** YAML of further fields of Blue1's adapter, and of host1's NIC. */
  readonly adapter?: string;
  readonly nic?: string;
}

export const labOf = (options: LabOptions = {}): EmulatedLab => createLab(labText(options));

export const labText = ({ mtus = [1600, 1600], settings = "{}", adapter = "", nic = "" }: LabOptions = {}): string => `
apiVersion: hnv/v1
settings: ${settings}
routingDomains:
  - name: Blue
    id: "{11111111-2222-3333-4444-000000005001}"
    subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24, "fd00:10::/64"] }]
provider:
  subnets:
    - { prefix: 192.168.4.0/24, vlan: 103, mtu: ${mtus[0]}, gateway: 192.168.4.1 }
    - { prefix: 192.168.5.0/24, vlan: 104, mtu: ${mtus[1]}, gateway: 192.168.5.1 }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B${nic} }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms:
      - { name: Blue1, adapters: [{ mac: ${BLUE1}, vsid: 5001, addresses: [10.0.0.5, "fd00:10::5"]${adapter} }] }
      - { name: Blue4, adapters: [{ mac: 06-06-00-00-00-04, vsid: 5001, addresses: [10.0.0.4] }] }
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-05-16 }]
    providerAddresses: [{ address: 192.168.5.22 }]
    vms:
      - { name: Blue2, adapters: [{ mac: ${BLUE2}, vsid: 5001, addresses: [10.0.0.7, "fd00:10::7"] }] }
`;

/** UDP from Blue1 to Blue2 in an IPv4 packet of this length. */
export function blueUdp(length: number, { dontFragment = true, identification = 7 } = {}): Uint8Array {
  const data = Uint8Array.from({ length: length - 28 }, (_, at) => (at * 13) & 0xff);
  const payload = udp("10.0.0.5", "10.0.0.7", [40_000, 5001], data);
  const packet = ip({ source: "10.0.0.5", destination: "10.0.0.7", protocol: 17, payload, identification });
  if (!dontFragment) {
    packet[8] = 0; // behind the EtherType: the flags of the IPv4 header
    const sum = packet[12]! * 256 + packet[13]! + 0x4000;
    const folded = (sum & 0xffff) + (sum >>> 16);
    packet[12] = folded >>> 8;
    packet[13] = folded & 0xff;
  }
  return frame(BLUE2, BLUE1, packet);
}

/** The same in an IPv6 packet. */
export function blueUdp6(length: number): Uint8Array {
  const ends = { source: "fd00:10::5", destination: "fd00:10::7" };
  const payload = udp(ends.source, ends.destination, [40_000, 5001], new Uint8Array(length - 48));
  return frame(BLUE2, BLUE1, ip({ ...ends, protocol: 17, payload }));
}

/** Made by Scapy: 20,000 octets from Blue1 to Blue2; the checksum is left to the NIC. */
export function largeSend(family: 4 | 6 = 4): Uint8Array {
  largeSends ??= scapyFrames(`
for ip in (IP(src='10.0.0.5',dst='10.0.0.7',id=0x1000,flags='DF'), IPv6(src='fd00:10::5',dst='fd00:10::7')):
    tcp = TCP(sport=40000,dport=5001,seq=5000,ack=1,flags='PA',chksum=0x1234)
    emit(Ether(dst='06:06:00:00:00:07',src='06:06:00:00:00:05')/ip/tcp/Raw(bytes(i*7%256 for i in range(20000))))`);
  return largeSends[family === 4 ? 0 : 1]!.slice();
}
let largeSends: readonly Uint8Array[] | undefined;

/** The first segment of a TCP connection from Blue1 to Blue2, which announces this MSS. */
export function tcpSyn(mss: number): Uint8Array {
  const options = [2, 4, mss >>> 8, mss & 0xff];
  const payload = tcpSegment("10.0.0.5", "10.0.0.7", [40_000, 5001], { flags: 2, options });
  return frame(BLUE2, BLUE1, ip({ source: "10.0.0.5", destination: "10.0.0.7", protocol: 6, payload }));
}

/** Each end as one line: `dropped at host1/Blue1: MAC_SPOOFING`. */
export const endsOf = (ends: readonly FrameEnd[]): string[] =>
  ends.map(({ verdict, port, reason }) => `${verdict} at ${port}${reason ? `: ${reason.reason}` : ""}`);

export const deliveredAt = (ends: readonly FrameEnd[], port: string): Uint8Array[] =>
  ends.filter((end) => end.verdict === "delivered" && end.port === port).map((end) => end.frame);
