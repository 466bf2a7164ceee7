/** The door of `slowpath`: the contract of layers, the walk through them, the NVE's layers, and the tunnel codec. */
export { type DecapOptions, decapNode, type EncapOptions, encapNode } from "./codec.js";
export {
  consumeAs,
  dropFor,
  forwardOf,
  forwardTo,
  makeNode,
  ongoingFrame,
  type Pipeline,
  passFor,
} from "./evaluate.js";
export {
  CONSUME,
  CONTINUE,
  type Consultation,
  type DecideContext,
  type FrameAtPort,
  type Layer,
  type LayerContext,
  type LayerNote,
  type Node,
  type NodeEvent,
  type NodeState,
  type NodeWork,
  type Observer,
  type Outcome,
  type PacketView,
  type Plan,
  type Reentry,
} from "./layer.js";
export { answerWith, isAddressResolution, readMessage } from "./nve/address-resolution.js";
export {
  CONTROL_EVENTS_PER_SECOND,
  CONTROL_MESSAGES_PER_SECOND,
  type ControlCounters,
  type ControlEffect,
  type ControlEvent,
  ControlState,
} from "./nve/control-state.js";
export { deliverLocally } from "./nve/deliver.js";
export { innerMtu, OUTER_TTL, pathMtuTo } from "./nve/encapsulate.js";
export { INBOUND_LAYERS } from "./nve/inbound.js";
export { lacksLength, lengthFilled } from "./nve/large-send.js";
export type { CustomerAddressEvent, LearningCounters } from "./nve/learned-addresses.js";
export type { LocalPort, LocalPorts } from "./nve/local-ports.js";
export type { MembershipCounters } from "./nve/memberships.js";
export { isNextHop, type NextHop, type NoNextHop, selectNextHop } from "./nve/next-hop.js";
export { type NextHopAnswer, type NextHopQuery, type NoNextHopAnswer, queryNextHop } from "./nve/next-hop-query.js";
export {
  DEFAULT_GUEST_OFFLOAD,
  DEFAULT_NIC_OFFLOAD,
  type GuestOffload,
  NIC_FAULTS,
  type NicFault,
  type NicOffload,
  TUNNEL_FAMILIES,
  type TunnelFamily,
} from "./nve/offload.js";
export { OUTBOUND_LAYERS } from "./nve/outbound.js";
export { believedMtu, isTooBigMessage } from "./nve/path-mtu.js";
export { type PathMtuEffect, type PathMtuStore, settlePathMtu } from "./nve/path-mtu-state.js";
export { inVlan } from "./nve/provider-frames.js";
export { providerMembership } from "./nve/provider-membership.js";
export { providerResolution } from "./nve/provider-resolution.js";
export { chooseQueue, INDIRECTION_TABLE_SIZE, receiveQueue } from "./nve/receive-queue.js";
export { unusableAddress } from "./nve/records.js";
export { REDIRECT_LIFETIME_MS, REDIRECTS_MAX, type Redirect } from "./nve/redirects.js";
export { reentryAt } from "./nve/reentry.js";
export { type Taken, takenBy } from "./nve/senders.js";
export type { NveSnapshot } from "./nve/snapshot.js";
export { type NveEffect, NveState, toldOf } from "./nve/state.js";
export type { NveWork } from "./nve/work.js";
export { messageIsIntact, quotedPacket } from "./quoted-packet.js";
export { errorAbout, type Problem, type Router } from "./responders/icmp-errors.js";
export type { Message } from "./responders/message.js";
