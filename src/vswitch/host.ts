/**
 * One host: the ports of its virtual switch around its NVE.
 *
 *     adapter ─► format ─► tag ─► bridge group ─► source MAC ─► VLAN ─► storm limit ─► guards ─► NVE outbound ─► NIC, or an adapter here
 *                                                                                         ├─ without VSID: layer-2 switch
 *                                                                                         └─ with isolation: perhaps filtered, or an extension's
 *     NIC     ─► receive queue ─► ARP and ND for provider addresses, IGMP and MLD ─► layer-2 switch (for adapters without VSID) ─► NVE inbound ─► adapter with (VSID, MAC), or pass
 *
 * Each arrow is a layer; the order is that of the Windows Server 2012 R2 switch.
 */
import { Reason } from "../dataplane/index.js";
import { portStamp, providerStamp } from "../dataplane/policy/index.js";
import {
  dropFor,
  INBOUND_LAYERS,
  makeNode,
  type Node,
  OUTBOUND_LAYERS,
  type Pipeline,
  providerMembership,
  providerResolution,
  receiveQueue,
  reentryAt,
} from "../dataplane/slowpath/index.js";
import type { Decision, NodeIndex, PortIndex } from "../dataplane/transposition/index.js";
import type { HostPorts } from "./host-ports.js";
import type { HostSnapshot } from "./host-snapshot.js";
import type { HostState } from "./host-state.js";
import { INGRESS, leftToExtension, untaggedFilter } from "./ingress.js";
import { switchFromAdapter, switchFromNic } from "./switching.js";

const FROM_VIRTUAL_SUBNET: Pipeline<HostSnapshot> = {
  layers: [...INGRESS, ...OUTBOUND_LAYERS],
  unreadable: Reason.INVALID_PACKET,
};
const FROM_PLAIN_ADAPTER: Pipeline<HostSnapshot> = {
  layers: [...INGRESS, switchFromAdapter],
  unreadable: Reason.INVALID_PACKET,
};
const UNTAGGED_FILTERED: Pipeline<HostSnapshot> = {
  layers: [...INGRESS, untaggedFilter],
  unreadable: Reason.INVALID_PACKET,
};
const TO_EXTENSION: Pipeline<HostSnapshot> = {
  layers: [...INGRESS, leftToExtension],
  unreadable: Reason.INVALID_PACKET,
};
const FROM_NIC: Pipeline<HostSnapshot> = {
  layers: [providerResolution, providerMembership, switchFromNic, ...INBOUND_LAYERS],
  unreadable: Reason.RX_ETH_SHORT,
};

const FROM_PORT_THAT_IS_DOWN: Pipeline<HostSnapshot> = {
  layers: [
    {
      name: "port state",
      evaluate({ ports }, { ingress }, context) {
        const { kind } = ports.settingsOf(ingress);
        context.consulted(portStamp(ingress));
        context.observer?.note({ saw: kind === "nic" ? "a NIC" : "an adapter", decided: "drop: it is down" });
        return dropFor(kind === "nic" ? Reason.DISCONNECTED : Reason.NIC_DISABLED);
      },
    },
  ],
  unreadable: Reason.INVALID_PACKET,
};

/** From a NIC with several receive queues, which chooses one before the host looks at the frame. */
const queued = ({ layers, unreadable }: Pipeline<HostSnapshot>): Pipeline<HostSnapshot> => ({
  layers: [receiveQueue, ...layers],
  unreadable,
});
const FROM_QUEUES = queued(FROM_NIC);
const FROM_QUEUES_THAT_ARE_DOWN = queued(FROM_PORT_THAT_IS_DOWN);

/** The node of a host. Its snapshot is read anew for each decision, so that a change of policy is seen whole or not at all. */
export function makeHostNode(host: HostState): Node {
  const pipelineOf = ({ ports }: HostSnapshot, ingress: PortIndex): Pipeline<HostSnapshot> => {
    const port = ports.settingsOf(ingress);
    const hasQueues = (port.rssQueues ?? 1) > 1;
    if (!ports.isUp(ingress)) return hasQueues ? FROM_QUEUES_THAT_ARE_DOWN : FROM_PORT_THAT_IS_DOWN;
    if (port.kind === "nic") return hasQueues ? FROM_QUEUES : FROM_NIC;
    const { isolation } = ports.adapterAt(ingress);
    if (isolation?.isFiltered) return UNTAGGED_FILTERED;
    if (isolation?.mode === "ExternalVirtualSubnet") return TO_EXTENSION;
    return port.vsid === 0 ? FROM_PLAIN_ADAPTER : FROM_VIRTUAL_SUBNET;
  };
  const node = makeNode(host.name, () => host.snapshot, pipelineOf, host);
  const keeps = sharedState(host);
  const learns = sharedLessons(host);
  return {
    ...node,
    ...(keeps !== null && { keepsStateAcrossFlows: keeps }),
    ...(learns !== null && { learnsAcrossFlows: learns }),
    reentry: (ingress) => reentryAt(host.snapshot, ingress),
    decide(frame, context) {
      const decision = node.decide(frame, context);
      const { ports } = host.snapshot;
      return ports.areAllUp ? decision : withoutDownPorts(decision, ports, context.node);
    },
  };
}

/** What the flows of a host have in common, in words that go on after "because". */
function sharedState({ name, snapshot }: HostState): string | null {
  if (snapshot.ports.limitsStorms()) return `storm limits on ${name} count the frames of all flows`;
  return snapshot.policy.settings.reassembly ? `${name} puts fragments together` : null;
}

/** What some flows teach and others go by. */
function sharedLessons({ name, snapshot, learns }: HostState): string | null {
  if (learns) return `what VMs of ${name} say about their addresses decides about all flows`;
  return snapshot.policy.settings.resolve === "wire"
    ? `${name} looks for its neighbors on the wire, for all flows together (resolve: static does not)`
    : null;
}

/** What would leave through a port that is down goes nowhere, whoever sent it there. */
function withoutDownPorts(decision: Decision, ports: HostPorts, node: NodeIndex): Decision {
  const emissions = decision.emissions?.filter(({ port, direction }) => direction === "in" || ports.isUp(port));
  const rest = { ...decision, ...(emissions ? { emissions } : {}) };
  if (decision.verdict.kind !== "forward") return rest;
  const { outputs, refused = [] } = decision.verdict;
  const left = outputs.filter(({ output }) => ports.isUp(output));
  if (left.length === outputs.length) return rest;
  const stamps = [...new Set([...decision.stamps, providerStamp(node)])];
  if (left.length > 0) {
    const lost = { reason: Reason.DISCONNECTED, copies: outputs.length - left.length };
    const verdict = { kind: "forward", outputs: left, refused: [...refused, lost] } as const;
    return { ...rest, stamps, verdict, cacheable: false };
  }
  return { ...rest, stamps, verdict: { kind: "drop", reason: Reason.DISCONNECTED }, cacheable: false };
}
