/** What the NVE of one host decides by: its policy, the ports that its switch has right now, and what it remembers. */
import type { HostPolicy } from "../../policy/policy.js";
import { routesStamp } from "../../policy/stamps.js";
import type { Vsid } from "../../wire/bytes.js";
import type { LayerContext } from "../layer.js";
import type { LocalPorts } from "./local-ports.js";
import type { NveState } from "./state.js";

export interface NveSnapshot {
  readonly policy: HostPolicy;
  readonly ports: LocalPorts;
  /** What packets and time have taught; changes only between two ticks. */
  readonly state: NveState;
}

/** A customer route or a port of this host names the virtual subnet. */
export function isKnownVsid({ policy, ports }: NveSnapshot, vsid: Vsid, context: LayerContext): boolean {
  if (ports.hasVsid(vsid)) return true; // the provider stamp, consulted before, moves with the ports
  context.consulted(routesStamp(context.node));
  return policy.customerRoutes.routingDomainOf(vsid) !== undefined;
}
