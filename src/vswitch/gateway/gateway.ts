/**
 * The built-in gateway: what a multi-tenant gateway VM does, so that a lab needs no guest for it. One node; a port for each tenant,
 * linked to that tenant's port of the gateway adapter, and one to the outside.
 *
 *     gw1/GW:6001 ── edge/6001 ─┐
 *                               ├─ NAT, site-to-site GRE ── edge/external
 *     gw1/GW:7001 ── edge/7001 ─┘
 *
 * Tenants never meet in here, except by the external addresses that anybody can reach.
 */
import { Reason } from "../../dataplane/index.js";
import { makeNode, type Node, type Pipeline } from "../../dataplane/slowpath/index.js";
import type { GatewayState } from "./gateway-state.js";
import { INSIDE_LAYERS } from "./inside.js";
import { OUTSIDE_LAYERS } from "./outside.js";

const FROM_TENANT: Pipeline<GatewayState> = { layers: INSIDE_LAYERS, unreadable: Reason.INVALID_PACKET };
const FROM_OUTSIDE: Pipeline<GatewayState> = { layers: OUTSIDE_LAYERS, unreadable: Reason.INVALID_PACKET };

export const makeGatewayNode = (state: GatewayState): Node => ({
  ...makeNode(
    state.settings.name,
    () => state,
    ({ ports }, ingress) => (ingress === ports.external ? FROM_OUTSIDE : FROM_TENANT),
    state,
  ),
  keepsStateAcrossFlows: "address translation gives out ports to flows in the order in which they come",
  turnsBack: true,
});
