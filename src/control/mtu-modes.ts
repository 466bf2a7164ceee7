/**
 * What it costs to get a guest's packets over a path that is too narrow for them, by each way that a lab can be told to go.
 *
 *     guest's packet     [IP 20][            data             ]
 *     smaller packets    [IP 20][  data   ] …                        the guest makes them: by its MTU, by ICMP, by its MSS
 *     inner fragments    [IP 20][  data   ] [IP 20][ rest ]          each with tunnel headers of its own
 *     outer fragments    [outer IP][GRE, Ethernet, IP 20, …] [outer IP][ … rest ]      against RFC 7637 §4.4
 */
import type { AddressFamily } from "../dataplane/wire/index.js";
import { tunnelOverhead } from "./mtu.js";

export type MtuMode = "smallerPackets" | "mssClamp" | "innerFragmentation" | "outerFragmentation";

/** The figures are null where the path is too narrow for the headers of this way, and some data behind them. */
export interface ModeCost {
  readonly mode: MtuMode;
  /** What has to be set for it, and what else it costs. */
  readonly how: string;
  /** Packets on the wire for each packet that the guest would send over a path wide enough; on average. */
  readonly packets: number | null;
  /** Their bytes, without FCS. */
  readonly bytes: number | null;
  /** More bytes than over a path wide enough, in percent. */
  readonly extraPercent: number | null;
}

export interface ModePath {
  readonly pathMtu: number;
  readonly outerFamily: AddressFamily;
  readonly tagged: boolean;
  /** IPv4 packets of this length are what the guest sends. */
  readonly guestMtu: number;
}

const ETHERNET_LENGTH = 14;
const VLAN_TAG_LENGTH = 4;
const NVGRE_LENGTH = 8;
const IPV4_LENGTH = 20;
const TCP_LENGTH = 20;
/** Of an outer fragment: IPv6 has a Fragment header besides. */
const FRAGMENT_IP_LENGTH: Readonly<Record<AddressFamily, number>> = { 4: 20, 6: 48 };

/** Empty if the guest's packets fit as they are. */
export function modeCosts(path: ModePath): readonly ModeCost[] {
  const { pathMtu, outerFamily, guestMtu } = path;
  const innerMtu = pathMtu - tunnelOverhead(outerFamily);
  if (guestMtu <= innerMtu) return [];
  const link = ETHERNET_LENGTH + (path.tagged ? VLAN_TAG_LENGTH : 0);
  const tunnel = link + tunnelOverhead(outerFamily);
  const whole = guestMtu + tunnel;
  const cost = (mode: MtuMode, how: string, packets: number, bytes: number): ModeCost => {
    if (packets === 0) return { mode, how, packets: null, bytes: null, extraPercent: null };
    const extraPercent = rounded((bytes / whole - 1) * 100, 1);
    return { mode, how, packets: rounded(packets, 3), bytes: Math.round(bytes), extraPercent };
  };
  /** The same data in packets of the inner MTU, of which so many octets are headers; 0 if nothing fits behind them. */
  const smaller = (headers: number): number => (innerMtu > headers ? (guestMtu - headers) / (innerMtu - headers) : 0);
  const inner = pieces(guestMtu - IPV4_LENGTH, innerMtu - IPV4_LENGTH);
  const ip = FRAGMENT_IP_LENGTH[outerFamily];
  const outer = pieces(NVGRE_LENGTH + ETHERNET_LENGTH + guestMtu, pathMtu - ip);
  const total = (lengths: readonly number[], each: number): number =>
    lengths.reduce((sum, length) => sum + length + each, 0);
  const ratio = smaller(IPV4_LENGTH);
  const tcpRatio = smaller(IPV4_LENGTH + TCP_LENGTH);
  return [
    cost(
      "smallerPackets",
      "the guest's MTU, or ICMP, which costs each flow its first packet",
      ratio,
      ratio * (innerMtu + tunnel),
    ),
    cost("mssClamp", "settings.mssClamp; TCP only", tcpRatio, tcpRatio * (innerMtu + tunnel)),
    cost("innerFragmentation", "on by default; IPv4 without DF only", inner.length, total(inner, IPV4_LENGTH + tunnel)),
    cost(
      "outerFragmentation",
      "settings.outerFragmentation and reassembly; breaks RFC 7637 §4.4",
      outer.length,
      total(outer, ip + link),
    ),
  ];
}

const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

/** Lengths of the data of fragments: all but the last a multiple of eight (RFC 791 §3.2, RFC 8200 §4.5); none if there is no room for eight. */
function pieces(data: number, room: number): readonly number[] {
  const lengths: number[] = [];
  const most = room - (room % 8);
  for (let left = data; left > 0; ) {
    const length = left <= room ? left : most;
    if (length <= 0) return [];
    lengths.push(length);
    left -= length;
  }
  return lengths;
}
