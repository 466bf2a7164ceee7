/**
 * What a generator sends, as the user writes it: `gen:KEY=VALUE,KEY=VALUE…`. Lists have `+` between their items. docs/CLI.md has
 * the table of keys.
 */
import {
  type Address,
  ETHERNET_LENGTH,
  ICMP_LENGTH,
  IPV4_LENGTH,
  IPV6_LENGTH,
  isGroupMac,
  isUnicast,
  type Mac,
  parseAddress,
  parseMac,
  TCP_LENGTH,
  UDP_LENGTH,
} from "../../dataplane/wire/index.js";
import { liveErrorAt } from "./errors.js";
import { MARK_LENGTH } from "./generator-mark.js";

export type GeneratorProtocol = "udp" | "tcp" | "icmp";

export interface FrameSize {
  /** Of the frame without FCS. */
  readonly length: number;
  /** How many frames of all weights together have this length. */
  readonly weight: number;
}

export interface GeneratorSpec {
  readonly seed: number;
  readonly sizes: readonly FrameSize[];
  /** Flows alive at a time. */
  readonly flows: number;
  /** Flows per second that take the place of the oldest. */
  readonly newFlowsPerSecond: number;
  /** Frames per second; 0: as many as are taken. */
  readonly rate: number;
  /** Frames that come due together. */
  readonly burst: number;
  /** Frames in all; null: without end. */
  readonly count: number | null;
  /** How long frames come due; null: without end. */
  readonly seconds: number | null;
  readonly protocols: readonly GeneratorProtocol[];
  readonly source: Address;
  readonly destinations: readonly Address[];
  readonly sourceMac: Mac;
  /** One for all destinations, or one for each. */
  readonly destinationMacs: readonly Mac[];
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export const FRAME_SIZE_MAX = 9216;
const SIZES_MAX = 16;
const DESTINATIONS_MAX = 64;
const FLOWS_MAX = 16_777_216;
const RATE_MAX = 1e9;
const BURST_FRAMES_MAX = 1_000_000;
const COUNT_MAX = 2 ** 48;
const SECONDS_MIN = 0.001;
const SECONDS_MAX = 1e9;
const U32_MAX = 0xffff_ffff;

/** The mix of 40, 576 and 1500 octets of IP in the proportion 7 : 4 : 1 that IMIX usually means, with their Ethernet headers. */
const IMIX: readonly FrameSize[] = [
  { length: 54, weight: 7 },
  { length: 590, weight: 4 },
  { length: 1514, weight: 1 },
];

const KEYS = "seed size flows newflows rate burst count seconds proto src dst smac dmac sport dport".split(" ");

/** Octets of a frame that has room for nothing but headers and mark. */
export const shortestFrame = (protocol: GeneratorProtocol, family: 4 | 6): number =>
  ETHERNET_LENGTH + (family === 4 ? IPV4_LENGTH : IPV6_LENGTH) + transportLength(protocol) + MARK_LENGTH;

export const transportLength = (protocol: GeneratorProtocol): number =>
  protocol === "tcp" ? TCP_LENGTH : protocol === "udp" ? UDP_LENGTH : ICMP_LENGTH;

/** Reads a URI that begins with `gen:`. Throws a LiveError for the first mistake. */
export function parseGeneratorSpec(uri: string): GeneratorSpec {
  const refuse = (what: string): never => {
    throw liveErrorAt("LIVE_URI", uri, what);
  };
  const values = readPairs(uri.slice("gen:".length), refuse);
  const required = (key: string): string => values.get(key) ?? refuse(`${key} is missing`);
  const number = (key: string, least: number, most: number, otherwise: number): number => {
    const text = values.get(key);
    if (text === undefined) return otherwise;
    const value = /^\d+(\.\d+)?(e\d+)?$/i.test(text) ? Number(text) : Number.NaN;
    return value >= least && value <= most
      ? value
      : refuse(`${key}=${text}: expected a number from ${least} to ${most}`);
  };
  const whole = (key: string, least: number, most: number, otherwise: number): number => {
    const value = number(key, least, most, otherwise);
    return Number.isInteger(value) ? value : refuse(`${key}=${values.get(key)}: expected a whole number`);
  };
  const list = <Item>(key: string, read: (text: string) => Item): Item[] => required(key).split("+").map(read);
  const address =
    (key: string) =>
    (text: string): Address => {
      const found = parseAddress(text);
      return found && isUnicast(found) ? found : refuse(`${key}=${text}: expected a unicast IPv4 or IPv6 address`);
    };
  const mac =
    (key: string) =>
    (text: string): Mac =>
      parseMac(text) ?? refuse(`${key}=${text}: expected a MAC address such as 02-00-C0-A8-04-0B`);

  const source = address("src")(required("src"));
  const destinations = list("dst", address("dst"));
  if (destinations.length > DESTINATIONS_MAX) refuse(`dst has more than ${DESTINATIONS_MAX} addresses`);
  if (destinations.some(({ family }) => family !== source.family)) refuse("src and dst are of different IP versions");
  const sourceMac = mac("smac")(required("smac"));
  if (isGroupMac(sourceMac)) refuse(`smac=${values.get("smac")}: a group address cannot send`);
  const destinationMacs = list("dmac", mac("dmac"));
  if (destinationMacs.length !== 1 && destinationMacs.length !== destinations.length) {
    refuse(
      `dmac has ${destinationMacs.length} addresses; expected one, or one for each of the ${destinations.length} of dst`,
    );
  }
  const protocols = (values.get("proto") ?? "udp")
    .split("+")
    .map((text) =>
      isProtocol(text) ? text : refuse(`proto=${text}: expected udp, tcp or icmp, or several with + between`),
    );
  if (new Set(protocols).size < protocols.length) refuse("proto names one protocol twice");
  const rate = number("rate", 0, RATE_MAX, 0);
  return {
    seed: whole("seed", 0, U32_MAX, 1),
    sizes: readSizes(values.get("size") ?? "64", protocols, source.family, refuse),
    flows: whole("flows", 1, FLOWS_MAX, 1),
    newFlowsPerSecond: number("newflows", 0, RATE_MAX, 0),
    rate,
    burst: whole("burst", 1, BURST_FRAMES_MAX, 1),
    count: values.has("count") ? whole("count", 1, COUNT_MAX, 1) : null,
    seconds: values.has("seconds") ? number("seconds", SECONDS_MIN, SECONDS_MAX, 1) : null,
    protocols,
    source,
    destinations,
    sourceMac,
    destinationMacs,
    sourcePort: whole("sport", 1, 65_535, 1024),
    destinationPort: whole("dport", 1, 65_535, 9),
  };
}

type Refuse = (what: string) => never;

function readPairs(text: string, refuse: Refuse): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const pair of text.split(",")) {
    const [, key, value] = /^([a-z]+)=(.+)$/.exec(pair) ?? refuse(`"${pair}": expected KEY=VALUE, with commas between`);
    if (!KEYS.includes(key!)) refuse(`${key}: no such key; there are ${KEYS.join(", ")}`);
    if (values.has(key!)) refuse(`${key} is given twice`);
    values.set(key!, value!);
  }
  return values;
}

const isProtocol = (text: string): text is GeneratorProtocol => text === "udp" || text === "tcp" || text === "icmp";

/** `64`, `64+512+1514`, `64x7+590x4+1514x1`, `imix`. Only IMIX's sizes are raised to what headers and mark need. */
function readSizes(text: string, protocols: readonly GeneratorProtocol[], family: 4 | 6, refuse: Refuse): FrameSize[] {
  const least = Math.max(...protocols.map((protocol) => shortestFrame(protocol, family)));
  if (text === "imix") return IMIX.map(({ length, weight }) => ({ length: Math.max(length, least), weight }));
  const items = text.split("+");
  if (items.length > SIZES_MAX) refuse(`size has more than ${SIZES_MAX} items`);
  return items.map((item) => {
    const [, digits, weight] =
      /^(\d{1,5})(?:x(\d{1,4}))?$/.exec(item) ?? refuse(`size=${item}: expected octets, octets x weight, or imix`);
    const size = { length: Number(digits), weight: Number(weight ?? 1) };
    if (size.length > FRAME_SIZE_MAX) refuse(`size=${item}: ${FRAME_SIZE_MAX} octets at most`);
    if (size.length < least) {
      refuse(`size=${item}: ${protocols.join("+")} over IPv${family} with its mark needs ${least} octets at least`);
    }
    if (size.weight === 0) refuse(`size=${item}: a weight is 1 at least`);
    return size;
  });
}
