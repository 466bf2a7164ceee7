/**
 * Network devices (netdevice(7)): what a device is like, and what must be different about it while it is bound.
 *
 * Devices are asked by name, in the network namespace of this process. A device's index stays the same when it is renamed.
 */
import { SystemError } from "./errors.js";
import { AF_INET, ERRNO, SOCK_DGRAM, type System } from "./system.js";

/** struct ifreq: a name of 16 bytes, then what was asked. */
const IFREQ_SIZE = 40;
const IFREQ_VALUE = 16;
/** Without the zero behind it. */
export const DEVICE_NAME_MAX = 15;

const SIOCGIFNAME = 0x8910;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCGIFMTU = 0x8921;
const SIOCGIFINDEX = 0x8933;
const SIOCETHTOOL = 0x8946;
const IFF_UP = 1;

/** A request about the device with this name, as an ioctl takes it. */
export function deviceRequest(name: string): { readonly bytes: Uint8Array; readonly view: DataView } {
  const bytes = new Uint8Array(IFREQ_SIZE);
  const text = new TextEncoder().encode(name);
  if (text.length > DEVICE_NAME_MAX) throw new SystemError(`interface ${name}`, ERRNO.ENODEV);
  bytes.set(text);
  return { bytes, view: new DataView(bytes.buffer) };
}

/** The name that the kernel has written into a request. */
export function nameInRequest(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(bytes.subarray(0, Math.min(end, DEVICE_NAME_MAX)));
}

/** Throws ENODEV if there is no such device. */
export const deviceIndex = (system: System, name: string): number => ask(system, name, SIOCGIFINDEX, "SIOCGIFINDEX");

/** The longest IP packet that the device carries. Throws ENODEV if there is no such device. */
export const deviceMtu = (system: System, name: string): number => ask(system, name, SIOCGIFMTU, "SIOCGIFMTU");

/** The same; undefined if there is no such device. */
export const deviceMtuNow = (system: System, name: string): number | undefined =>
  unlessRefused(() => deviceMtu(system, name));

export const hasDevice = (system: System, name: string): boolean =>
  unlessRefused(() => deviceIndex(system, name)) !== undefined;

/** Has somebody set the device up, which is given by name or index? Undefined if it is not there. */
export function isDeviceUp(system: System, device: string | number): boolean | undefined {
  const name = typeof device === "string" ? device : deviceName(system, device);
  if (name === undefined) return undefined;
  const flags = unlessRefused(() => ask(system, name, SIOCGIFFLAGS, "SIOCGIFFLAGS"));
  return flags === undefined ? undefined : (flags & IFF_UP) !== 0;
}

/** The device's name now; undefined if it is gone. */
export function deviceName(system: System, index: number): string | undefined {
  const { bytes, view } = deviceRequest("");
  view.setInt32(IFREQ_VALUE, index, true);
  return unlessRefused(() => {
    control(system, (socket) => system.ioctl(socket, SIOCGIFNAME, bytes, "SIOCGIFNAME"));
    return nameInRequest(bytes);
  });
}

export function setDeviceUp(system: System, name: string): void {
  const { bytes, view } = deviceRequest(name);
  control(system, (socket) => {
    system.ioctl(socket, SIOCGIFFLAGS, bytes, "SIOCGIFFLAGS");
    view.setUint16(IFREQ_VALUE, view.getUint16(IFREQ_VALUE, true) | IFF_UP, true);
    system.ioctl(socket, SIOCSIFFLAGS, bytes, "SIOCSIFFLAGS");
  });
}

/** Offloads of ethtool(8) that join frames of a stream into longer ones before we see them. */
const JOINING_OFFLOADS = [
  { name: "generic-receive-offload", get: 0x2b, set: 0x2c, bit: 1 },
  /** Among the flags of ETHTOOL_GFLAGS. */
  { name: "large-receive-offload", get: 0x25, set: 0x26, bit: 1 << 15 },
] as const;

/**
 * Switches off what joins frames. Gives back how to switch on again what was on, at the device with this index, whatever it is
 * called by then. A device that does not let itself be asked or changed stays as it is.
 */
export function stopJoining(system: System, index: number): () => void {
  const changed = JOINING_OFFLOADS.flatMap(({ get, set, bit }) => {
    const before = ethtool(system, index, get, 0);
    if (before === undefined || (before & bit) === 0) return [];
    return ethtool(system, index, set, before & ~bit) === undefined ? [] : [{ set, before }];
  });
  return () => {
    for (const { set, before } of changed) ethtool(system, index, set, before);
  };
}

/** How the same offloads are now: gives back how to make them so again. */
export function rememberJoining(system: System, index: number): () => void {
  const known = JOINING_OFFLOADS.map(({ get, set }) => ({ get, set, before: ethtool(system, index, get, 0) }));
  return () => {
    for (const { get, set, before } of known) {
      if (before !== undefined && ethtool(system, index, get, 0) !== before) ethtool(system, index, set, before);
    }
  };
}

/** struct ethtool_value: command, data. Undefined where the device refuses. */
export function ethtool(system: System, index: number, command: number, data: number): number | undefined {
  const name = deviceName(system, index);
  if (name === undefined) return undefined;
  const value = new Uint32Array([command, data]);
  const { bytes, view } = deviceRequest(name);
  view.setBigUint64(IFREQ_VALUE, BigInt(system.addressOf(value.buffer)), true);
  return unlessRefused(() => {
    control(system, (socket) => system.ioctl(socket, SIOCETHTOOL, bytes, "SIOCETHTOOL"));
    return value[1]!;
  });
}

function ask(system: System, name: string, request: number, call: string): number {
  const { bytes, view } = deviceRequest(name);
  control(system, (socket) => system.ioctl(socket, request, bytes, call));
  return view.getInt32(IFREQ_VALUE, true);
}

/** Undefined where the system refuses. */
function unlessRefused<Result>(work: () => Result): Result | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}

/** Any socket will do to talk about devices. */
function control(system: System, work: (socket: number) => void): void {
  const socket = system.socket(AF_INET, SOCK_DGRAM, 0);
  try {
    work(socket);
  } finally {
    system.close(socket);
  }
}
