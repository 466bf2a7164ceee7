/** What AF_XDP wants to know and to have otherwise about a network device, on top of `../net-device.ts`. */
import { SystemError } from "../errors.js";
import { deviceRequest, ethtool, nameInRequest } from "../net-device.js";
import { AF_INET, AF_PACKET, block, SOCK_DGRAM, SOCK_RAW, SOL_PACKET, type System } from "../system.js";

const SIOCETHTOOL = 0x8946;
const IFREQ_VALUE = 16;
const ETHTOOL = { GET_DRIVER: 0x03, GET_CHANNELS: 0x3c, GET_FLAGS: 0x25, SET_FLAGS: 0x26 } as const;
/** The device takes the VLAN tag out of frames and tells it beside them, where XDP does not see it. */
const FLAG_RECEIVE_VLAN = 1 << 8;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_MR_PROMISC = 1;

/** "veth", "ixgbe"; "" if the device does not tell. */
export function driverOf(system: System, device: string): string {
  const { bytes } = block(196); // struct ethtool_drvinfo: command, then the driver's name of 32 bytes
  return askEthtool(system, device, ETHTOOL.GET_DRIVER, bytes) ? nameInRequest(bytes.slice(4, 36)) : "";
}

/** Queues at which frames are received; 1 if the device does not tell. */
export function receiveQueueCount(system: System, device: string): number {
  const { bytes, view } = block(36); // struct ethtool_channels: command, four maxima, receive, transmit, other, combined
  if (!askEthtool(system, device, ETHTOOL.GET_CHANNELS, bytes)) return 1;
  return Math.max(view.getUint32(20, true) + view.getUint32(32, true), 1);
}

/** Leaves VLAN tags in the frames. Gives back how to undo that. */
export function keepTags(system: System, index: number): () => void {
  const before = ethtool(system, index, ETHTOOL.GET_FLAGS, 0);
  if (before === undefined || (before & FLAG_RECEIVE_VLAN) === 0) return () => {};
  ethtool(system, index, ETHTOOL.SET_FLAGS, before & ~FLAG_RECEIVE_VLAN);
  return () => {
    ethtool(system, index, ETHTOOL.SET_FLAGS, before);
  };
}

/** Lets the device take frames for any MAC address, as long as the socket that is given back is open. */
export function makePromiscuous(system: System, index: number): number {
  const socket = system.socket(AF_PACKET, SOCK_RAW, 0);
  const { bytes, view } = block(16); // struct packet_mreq
  view.setInt32(0, index, true);
  view.setUint16(4, PACKET_MR_PROMISC, true);
  try {
    system.setSocketOption(socket, SOL_PACKET, PACKET_ADD_MEMBERSHIP, bytes, "setsockopt(PACKET_ADD_MEMBERSHIP)");
  } catch (error) {
    system.close(socket);
    throw error;
  }
  return socket;
}

/** False if the device does not know the command. */
function askEthtool(system: System, device: string, command: number, structure: Uint8Array): boolean {
  new DataView(structure.buffer).setUint32(0, command, true);
  const { bytes, view } = deviceRequest(device);
  view.setBigUint64(IFREQ_VALUE, BigInt(system.addressOf(structure)), true);
  const socket = system.socket(AF_INET, SOCK_DGRAM, 0);
  try {
    system.ioctl(socket, SIOCETHTOOL, bytes, "SIOCETHTOOL");
    return true;
  } catch (error) {
    if (error instanceof SystemError) return false;
    throw error;
  } finally {
    system.close(socket);
  }
}
