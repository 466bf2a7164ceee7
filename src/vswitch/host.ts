/**
 * One host: the ports of its virtual switch around its NVE.
 *
 *     adapter ─► format ─► tag ─► bridge group ─► source MAC ─► VLAN ─► NVE outbound ─► NIC, or an adapter here
 *                                                                └─ without VSID: layer-2 switch
 *     NIC     ─► ARP and ND for provider addresses ─► layer-2 switch (for adapters without VSID) ─► NVE inbound ─► adapter with (VSID, MAC), or pass
 *
 * Each arrow is a layer; the order is that of the Windows Server 2012 R2 switch.
 */
import { Reason } from "../dataplane/index.js";
import {
  INBOUND_LAYERS,
  makeNode,
  type Node,
  OUTBOUND_LAYERS,
  type Pipeline,
  providerResolution,
} from "../dataplane/slowpath/index.js";
import type { PortIndex } from "../dataplane/transposition/index.js";
import type { HostSnapshot } from "./host-snapshot.js";
import type { HostState } from "./host-state.js";
import { INGRESS } from "./ingress.js";
import { switchFromAdapter, switchFromNic } from "./switching.js";

const FROM_VIRTUAL_SUBNET: Pipeline<HostSnapshot> = {
  layers: [...INGRESS, ...OUTBOUND_LAYERS],
  unreadable: Reason.INVALID_PACKET,
};
const FROM_PLAIN_ADAPTER: Pipeline<HostSnapshot> = {
  layers: [...INGRESS, switchFromAdapter],
  unreadable: Reason.INVALID_PACKET,
};
const FROM_NIC: Pipeline<HostSnapshot> = {
  layers: [providerResolution, switchFromNic, ...INBOUND_LAYERS],
  unreadable: Reason.RX_ETH_SHORT,
};

/** The node of a host. Its snapshot is read anew for each decision, so that a change of policy is seen whole or not at all. */
export function makeHostNode(host: HostState): Node {
  const pipelineOf = ({ ports }: HostSnapshot, ingress: PortIndex): Pipeline<HostSnapshot> => {
    const port = ports.settingsOf(ingress);
    if (port.kind === "nic") return FROM_NIC;
    return port.vsid === 0 ? FROM_PLAIN_ADAPTER : FROM_VIRTUAL_SUBNET;
  };
  const node = makeNode(host.name, () => host.snapshot, pipelineOf, host);
  const { resolve } = host.snapshot.policy.settings;
  if (resolve !== "wire") return node;
  return { ...node, keepsStateAcrossFlows: `${host.name} asks for its neighbors, for all flows together` };
}
