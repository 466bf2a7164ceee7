/** What a port can be bound to, by URI: `tap:blue1`, `afpacket:eth1`. Each kind is loaded when it is needed. */
import type { PacketMemory } from "../../dataplane/packet/index.js";
import { LiveError, SystemError } from "./errors.js";
import { type LiveInterface, type LiveShare, UNSHARED } from "./live-interface.js";
import { DEVICE_NAME_MAX, deviceMtu } from "./net-device.js";
import { system } from "./system.js";

type Open = (argument: string, memory: PacketMemory, share: LiveShare) => LiveInterface;

interface Kind {
  readonly load: () => Promise<Open>;
  /** The network device that the argument names; null for what is none. */
  readonly deviceIn: (argument: string) => string | null;
  /** Must the device be there, so that its MTU can be asked before it is opened? */
  readonly isThere: boolean;
  /** Can several threads share it? */
  readonly isShareable: boolean;
}

/** By scheme. */
const KINDS: Readonly<Record<string, Kind>> = {
  afpacket: {
    isThere: true,
    isShareable: true,
    deviceIn: (argument) => argument,
    load: async () => {
      const { AfPacketInterface } = await import("./afpacket.js");
      return (device, memory, share) => new AfPacketInterface(device, memory, share);
    },
  },
  gen: {
    isThere: false,
    isShareable: false,
    deviceIn: () => null,
    load: async () => {
      const { openGenerator } = await import("./generator.js");
      return (spec, memory) => openGenerator(`gen:${spec}`, memory);
    },
  },
  tap: {
    isThere: false,
    isShareable: true,
    deviceIn: (argument) => argument,
    load: async () => {
      const { TapInterface } = await import("./tap.js");
      return (device, memory, share) => new TapInterface(device, memory, share);
    },
  },
  xdp: {
    isThere: true,
    isShareable: false,
    deviceIn: (argument) => argument.replace(/#.*$/s, ""),
    load: async () => {
      const { XdpInterface } = await import("./xdp.js");
      return (device, memory) => new XdpInterface(device, memory);
    },
  },
};

export const LIVE_SCHEMES: readonly string[] = Object.keys(KINDS);

export const isLiveUri = (uri: string): boolean => Object.hasOwn(KINDS, schemeOf(uri));

/** Opens what the URI names. Throws a LiveError that says in one line why it cannot. */
export async function openLive(uri: string, memory: PacketMemory, share = UNSHARED): Promise<LiveInterface> {
  const { kind, argument } = parse(uri);
  const open = await kind.load();
  return open(argument, memory, share);
}

/** Can several threads have a part each of what the URI names? */
export const isShareable = (uri: string): boolean => parse(uri).kind.isShareable;

/** The MTU of the network device that the URI names, before it is opened; null where the URI names none. */
export function mtuOfLive(uri: string): number | null {
  const { kind, argument } = parse(uri);
  if (!kind.isThere) return null;
  const device = kind.deviceIn(argument)!;
  try {
    return deviceMtu(system(), device);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new LiveError("LIVE_NO_INTERFACE", `${uri}: there is no interface ${device} here`);
  }
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
