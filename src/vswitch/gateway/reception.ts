/** What the gateway's sides have in common: is the frame for us, and who asks for our addresses. */
import { Reason } from "../../dataplane/index.js";
import {
  answerWith,
  CONSUME,
  CONTINUE,
  dropFor,
  isAddressResolution,
  type Layer,
  type LayerContext,
  type Outcome,
  type PacketView,
  readMessage,
} from "../../dataplane/slowpath/index.js";
import {
  type Address,
  formatAddress,
  formatMac,
  isGroupMac,
  isLimitedBroadcast,
  isMulticast,
  type Mac,
} from "../../dataplane/wire/index.js";
import type { GatewayState } from "./gateway-state.js";

/** One of the gateway's sides: its MAC there, and its addresses. */
export interface Side {
  readonly mac: Mac;
  isOurs(address: Address): boolean;
}

type SideOf = (state: GatewayState, packet: PacketView) => Side;

/** Untagged frames for our MAC address or for all, with headers that can be read. */
const frameForUs = (sideOf: SideOf): Layer<GatewayState> => ({
  name: "frame",
  evaluate(state, packet, context) {
    const { parsed } = packet;
    const { mac } = sideOf(state, packet);
    const reason = judgeFrame(packet, mac);
    if (context.observer) {
      const saw = `destination ${formatMac(parsed.destination)}, EtherType 0x${parsed.etherType.toString(16)}`;
      tell(context, saw, reason === Reason.NONE ? "for the gateway" : `drop; the gateway's MAC is ${formatMac(mac)}`);
    }
    return reason === Reason.NONE ? CONTINUE : dropFor(reason);
  },
});

function judgeFrame({ parsed }: PacketView, mac: Mac): Reason {
  if (parsed.tag !== null) return Reason.UNAUTHORIZED_VLAN;
  if (parsed.destination !== mac && !isGroupMac(parsed.destination)) return Reason.NOT_ACCEPTED;
  if (isAddressResolution(parsed)) return Reason.NONE;
  if (parsed.etherType !== 0x0800 && parsed.etherType !== 0x86dd) return Reason.GATEWAY_NON_IP;
  if (parsed.ip === null) return Reason.INVALID_PACKET;
  const isGroup = isGroupMac(parsed.destination) || isGroupAddress(parsed.ip.destination);
  return isGroup ? Reason.GATEWAY_GROUP : Reason.NONE;
}

const isGroupAddress = (address: Address): boolean => isMulticast(address) || isLimitedBroadcast(address);

/** Questions for our addresses are answered; the gateway itself asks nobody, its neighbors are given. */
const addressResolution = (sideOf: SideOf): Layer<GatewayState> => ({
  name: "address resolution",
  evaluate(state, packet, context) {
    if (!isAddressResolution(packet.parsed)) return CONTINUE;
    context.doNotCache();
    const message = readMessage(packet.bytes, packet.parsed);
    if (message === null) return told(context, "malformed", dropFor(Reason.INVALID_PACKET));
    if (message.kind !== "question") return told(context, message.kind, CONSUME);
    const { mac, isOurs } = sideOf(state, packet);
    if (!isOurs(message.target)) {
      return told(context, `asks for ${formatAddress(message.target)}`, dropFor(Reason.TX_UNANSWERED));
    }
    context.emit(packet.ingress, answerWith(message, mac, true));
    return told(context, `asks for ${formatAddress(message.target)}`, CONSUME);
  },
});

/** The layers that every frame passes first. */
export const reception = (sideOf: SideOf): readonly Layer<GatewayState>[] => [
  frameForUs(sideOf),
  addressResolution(sideOf),
];

export function tell(context: LayerContext, saw: string, decided: string, record?: unknown): void {
  context.observer?.note({ saw, decided, ...(record === undefined ? {} : { record }) });
}

function told(context: LayerContext, saw: string, outcome: Outcome): Outcome {
  if (context.observer) tell(context, saw, outcome.kind === "drop" ? "drop" : "answered, or taken note of");
  return outcome;
}
