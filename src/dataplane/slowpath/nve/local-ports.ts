/** The ports that a host's switch has right now. `vswitch` implements `LocalPorts`; the NVE's layers ask no more of a switch than this. */
import type { PortIndex } from "../../transposition/transposition.js";
import type { Mac, Vsid } from "../../wire/bytes.js";
import type { GuestOffload, NicOffload } from "./offload.js";

export interface LocalPort {
  /** A VM's network adapter, or a physical NIC that faces the provider network. */
  readonly kind: "adapter" | "nic";
  readonly mac: Mac;
  /** The adapter's virtual subnet; 0 for adapters outside of network virtualization and for NICs. */
  readonly vsid: Vsid;
  /** The NIC's interface index, from 1; 0 for adapters. */
  readonly interfaceIndex: number;
  /** Of adapters that leave work to hardware. */
  readonly guestOffload?: GuestOffload;
  /** Of NICs. Left out: all that a NIC can do, without faults. */
  readonly nicOffload?: NicOffload;
  /** Of NICs: receive queues over which RSS spreads, at most 128. Left out: 1. */
  readonly rssQueues?: number;
  /** Most addresses that are learnt on the adapter; left out or 0: no limit. */
  readonly dynamicIPAddressLimit?: number;
}

/**
 * The ports of one host. Adding, removing or changing a port moves `portStamp(port)` and `providerStamp(node)`: decisions
 * that found no port have no port to name.
 */
export interface LocalPorts {
  settingsOf(port: PortIndex): LocalPort;
  /** The adapter of this virtual subnet that owns the MAC address. */
  portOf(vsid: Vsid, mac: Mac): PortIndex | undefined;
  /** The adapters of this virtual subnet, in the order of their ports. */
  portsOf(vsid: Vsid): readonly PortIndex[];
  /** Is any adapter of the host in this virtual subnet? */
  hasVsid(vsid: Vsid): boolean;
  /** The virtual subnets of adapters that are up. */
  vsids(): Iterable<Vsid>;
  /** A NIC without a link is down, and the adapter of a VM that does not run. */
  isUp(port: PortIndex): boolean;
  /** The NIC's port by its interface index, or the team's that owns it. */
  nicPort(interfaceIndex: number): PortIndex;
  nicMac(port: PortIndex): Mac;
}
