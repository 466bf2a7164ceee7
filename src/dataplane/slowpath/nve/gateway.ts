/**
 * The distributed router as VMs of one virtual subnet see it: its addresses, and what it tells them when it cannot forward.
 */
import type { HostPolicy } from "../../policy/policy.js";
import { type Address, type AddressFamily, gatewayAddressOf } from "../../wire/address.js";
import type { Vsid } from "../../wire/bytes.js";
import type { LayerContext, PacketView } from "../layer.js";
import { errorAbout, type Problem } from "../responders/icmp-errors.js";

/** Is it the router's address in this very virtual subnet? */
export function isGatewayAddress({ customerRoutes }: HostPolicy, vsid: Vsid, address: Address): boolean {
  const domain = customerRoutes.routingDomainOf(vsid);
  return domain !== undefined && customerRoutes.gatewayOwner(domain, address) === vsid;
}

/** The router's address of a family in a virtual subnet; undefined where its prefix has no room for one. */
export function gatewayAddress(policy: HostPolicy, vsid: Vsid, family: AddressFamily): Address | undefined {
  const prefix = policy.customerRoutes.onLinkPrefixes(vsid).find(({ address }) => address.family === family);
  return prefix && gatewayAddressOf(prefix);
}

/**
 * The router tells the VM that sent the packet, in whose virtual subnet `vsid`, why it is dropped; returns whether it does. It
 * does not where the standards forbid an error message, or where it has no address to send it from.
 */
export function tellSender(
  policy: HostPolicy,
  vsid: Vsid,
  packet: PacketView,
  problem: Problem,
  context: LayerContext,
): boolean {
  const { ip } = packet.parsed;
  const address = ip && gatewayAddress(policy, vsid, ip.family);
  if (!address) return false;
  const error = errorAbout(packet.bytes, packet.parsed, problem, { address, mac: policy.gatewayMac(vsid, ip.family) });
  if (error) context.emit(packet.ingress, error);
  return error !== null;
}
