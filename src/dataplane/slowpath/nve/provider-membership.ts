/**
 * What queriers of the provider network ask about groups, and what other hosts say of theirs (IGMP, MLD): heard here, answered in its time by
 * `memberships.ts`. Only with `resolve: wire`, as address resolution. The frame goes on in any case: a querier asks everybody, adapters
 * outside of network virtualization too.
 */
import { providerStamp } from "../../policy/stamps.js";
import { formatAddress } from "../../wire/address-text.js";
import { vidOf } from "../../wire/vlan.js";
import { CONTINUE, type Layer } from "../layer.js";
import { isMembershipMessage, type MembershipMessage, readMembershipMessage } from "../responders/group-membership.js";
import { frameText, tell } from "./explain.js";
import type { ArrivalPlace } from "./memberships.js";
import type { NveSnapshot } from "./snapshot.js";
import type { NveEffect } from "./state.js";

export const providerMembership: Layer<NveSnapshot> = {
  name: "provider group membership",
  evaluate({ policy, state }, packet, context) {
    const { parsed, ingress } = packet;
    const { observer } = context;
    context.consulted(providerStamp(context.node));
    if (policy.settings.resolve !== "wire" || !isMembershipMessage(packet.bytes, parsed)) {
      if (observer) tell(observer, frameText(parsed), "nothing about groups that is heard on the wire");
      return CONTINUE;
    }
    context.doNotCache();
    const ip = parsed.ip!;
    const at: ArrivalPlace = {
      port: ingress,
      vlan: parsed.tag === null ? 0 : vidOf(parsed.tag),
      family: ip.family,
    };
    const message = state.memberships.listensAt(at) ? readMembershipMessage(packet.bytes, ip) : null;
    if (observer) tell(observer, frameText(parsed), messageText(message));
    if (message?.kind === "query") context.raise<NveEffect>({ kind: "groupQuery", at, query: message });
    if (message?.kind === "report") context.raise<NveEffect>({ kind: "groupReported", at, group: message.group });
    return CONTINUE;
  },
};

function messageText(message: MembershipMessage | null): string {
  if (message === null) return "not for this host";
  if (message.kind === "report") return `another host is in group ${formatAddress(message.group)}`;
  const about = message.group ? `group ${formatAddress(message.group)}` : "all groups";
  return `asks about ${about}, version ${message.version}; answered within ${message.maxResponseMs} ms`;
}
