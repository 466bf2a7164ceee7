/** What a port can be bound to, by URI: `tap:blue1`, `afpacket:eth1`. Each kind is loaded when it is needed. */
import type { PacketMemory } from "../../dataplane/packet/index.js";
import { type Mac, parseAddress } from "../../dataplane/wire/index.js";
import { LiveError, SystemError } from "./errors.js";
import { type LiveInterface, type LiveShare, UNSHARED } from "./live-interface.js";
import { DEVICE_NAME_MAX, deviceIndex, deviceMtu, hasDevice, rememberJoining } from "./net-device.js";
import { deviceWith, mtuBySysfs } from "./sysfs.js";
import { system } from "./system.js";

/** What an interface may want to know about its place. */
export interface LivePlace {
  readonly share?: LiveShare;
  /** The MAC address of the port in the lab, if it has one. */
  readonly mac?: Mac | undefined;
}

type Open = (
  argument: string,
  memory: PacketMemory,
  place: LivePlace & { readonly share: LiveShare },
) => LiveInterface | Promise<LiveInterface>;

interface Kind {
  readonly load: () => Promise<Open>;
  /** The network device that the argument names; null for what is none. */
  readonly deviceIn: (argument: string) => string | null;
  /** The MTU of what the argument names, asked before it is opened; null where there is none. */
  readonly mtuOf?: (argument: string) => number | null;
  /** Can several threads share it? */
  readonly isShareable?: true;
  /** Are settings of the device changed while it is open? */
  readonly changesDevice?: true;
  /** Is it a network, with stations that ask and answer by ARP and neighbor discovery? */
  readonly hasStations?: true;
  /** Does it work by the event loop of the main thread (`evented.ts`), and not by a descriptor? */
  readonly needsEventLoop?: true;
}

/** By scheme. */
const KINDS: Readonly<Record<string, Kind>> = {
  afpacket: {
    isShareable: true,
    changesDevice: true,
    hasStations: true,
    deviceIn: (argument) => argument,
    mtuOf: mtuOfDevice,
    load: async () => {
      const { AfPacketInterface } = await import("./afpacket.js");
      return (device, memory, { share }) => new AfPacketInterface(device, memory, share);
    },
  },
  cap: {
    needsEventLoop: true,
    hasStations: true,
    deviceIn: (argument) => (process.platform === "linux" ? argument : null),
    mtuOf: mtuBySysfs,
    load: async () => {
      const { openCap } = await import("./cap.js");
      return (device, memory) => openCap(`cap:${device}`, memory);
    },
  },
  gen: {
    deviceIn: () => null,
    load: async () => {
      const { openGenerator } = await import("./generator.js");
      return (spec, memory) => openGenerator(`gen:${spec}`, memory);
    },
  },
  pcap: {
    needsEventLoop: true,
    deviceIn: () => null,
    load: async () => {
      const { openPacedCapture } = await import("./paced-capture.js");
      return (file, memory) => openPacedCapture(`pcap:${file}`, memory);
    },
  },
  rawip: {
    needsEventLoop: true,
    deviceIn: () => null,
    mtuOf: (argument) => {
      const address = parseAddress(argument);
      const device = address && deviceWith(address);
      return device === undefined ? null : mtuBySysfs(device);
    },
    load: async () => {
      const { openRawIp } = await import("./rawip.js");
      return (address, memory, { mac }) => openRawIp(`rawip:${address}`, memory, mac === undefined ? {} : { mac });
    },
  },
  tap: {
    isShareable: true,
    hasStations: true,
    deviceIn: (argument) => argument,
    load: async () => {
      const { TapInterface } = await import("./tap.js");
      return (device, memory, { share }) => new TapInterface(device, memory, share);
    },
  },
  xdp: {
    changesDevice: true,
    hasStations: true,
    deviceIn: (argument) => argument.replace(/#.*$/s, ""),
    mtuOf: (argument) => mtuOfDevice(argument.replace(/#.*$/s, "")),
    load: async () => {
      const { XdpInterface } = await import("./xdp.js");
      return (device, memory) => new XdpInterface(device, memory);
    },
  },
};

export const LIVE_SCHEMES: readonly string[] = Object.keys(KINDS);

export const isLiveUri = (uri: string): boolean => Object.hasOwn(KINDS, schemeOf(uri));

/** Opens what the URI names. Throws a LiveError that says in one line why it cannot. */
export async function openLive(uri: string, memory: PacketMemory, place: LivePlace = {}): Promise<LiveInterface> {
  const { kind, argument } = parse(uri);
  const open = await kind.load();
  return open(argument, memory, { share: UNSHARED, ...place });
}

/** Can several threads have a part each of what the URI names? */
export const isShareable = (uri: string): boolean => parse(uri).kind.isShareable === true;

/** Is there a network behind the URI, whose stations ask and answer? */
export const hasStations = (uri: string): boolean => parse(uri).kind.hasStations === true;

/** Must it be opened in the main thread, whose event loop gets turns? */
export const needsEventLoop = (uri: string): boolean => parse(uri).kind.needsEventLoop === true;

/** The MTU of what the URI names, before it is opened; null where it has none, or cannot tell. */
export function mtuOfLive(uri: string): number | null {
  const { kind, argument } = parse(uri);
  try {
    return kind.mtuOf?.(argument) ?? null;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new LiveError("LIVE_NO_INTERFACE", `${uri}: there is no interface ${kind.deviceIn(argument)} here`);
  }
}

/** The network device that the URI names; null for what is none. */
export function deviceOfLive(uri: string): string | null {
  const { kind, argument } = parse(uri);
  return kind.deviceIn(argument);
}

/**
 * For whoever may have to end a thread that has opened these, before it can give them back: remembers what opening changes at network
 * devices. Gives how to restore it.
 */
export function rememberDevices(uris: readonly string[]): () => void {
  const restores = uris.flatMap((uri) => {
    const { kind, argument } = parse(uri);
    const device = kind.changesDevice ? kind.deviceIn(argument) : null;
    return device !== null && hasDevice(system(), device)
      ? [rememberJoining(system(), deviceIndex(system(), device))]
      : [];
  });
  return () => {
    for (const restore of restores) restore();
  };
}

function mtuOfDevice(device: string): number {
  return deviceMtu(system(), device);
}

const schemeOf = (uri: string): string => uri.slice(0, Math.max(uri.indexOf(":"), 0));

function parse(uri: string): { kind: Kind; argument: string } {
  const kind = isLiveUri(uri) ? KINDS[schemeOf(uri)] : undefined;
  const argument = uri.slice(uri.indexOf(":") + 1);
  if (kind === undefined || argument === "") {
    const forms = LIVE_SCHEMES.map((scheme) => `${scheme}:…`).join(", ");
    throw new LiveError("LIVE_URI", `${uri}: expected one of ${forms}`);
  }
  if ((kind.deviceIn(argument) ?? "").length > DEVICE_NAME_MAX) {
    throw new LiveError("LIVE_URI", `${uri}: a network device's name has at most ${DEVICE_NAME_MAX} characters`);
  }
  return { kind, argument };
}
