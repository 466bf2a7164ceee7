/**
 * What the virtual switch checks on every frame that a network adapter sends, before anything forwards it.
 *
 * The order is that of the switch: format, 802.1Q parsing, bridge group addresses, source address, VLAN rule, storm limit,
 * guards (guards.ts). ACLs have their place before the guards.
 */
import { Reason } from "../dataplane/index.js";
import { portStamp } from "../dataplane/policy/index.js";
import {
  CONTINUE,
  consumeAs,
  dropFor,
  type Layer,
  type LayerContext,
  lacksLength,
  lengthFilled,
  type Outcome,
  type PacketView,
  passFor,
} from "../dataplane/slowpath/index.js";
import {
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  formatMac,
  isBridgeReservedMac,
  isGroupMac,
  isTpid,
  type Mac,
  vidOf,
  ZERO_MAC,
} from "../dataplane/wire/index.js";
import { guards } from "./guards.js";
import type { HostSnapshot } from "./host-snapshot.js";

/** 802.1Q reserves VID 4095; a frame that carries it has no VLAN. */
const VID_RESERVED = 4095;

/**
 * Frames whose headers cannot be read, and a destination that no adapter can have. What a guest with large sends hands over may have no
 * length; with it, the frame enters again.
 */
export const frameFormat: Layer<HostSnapshot> = {
  name: "frame format",
  evaluate({ ports }, packet, context): Outcome {
    const { parsed } = packet;
    const { observer } = context;
    const { guest } = ports.adapterAt(packet.ingress);
    if (guest.lso && lacksLength(packet.bytes, parsed)) {
      context.doNotCache(); // what stands behind a length of zero is in no flow key
      const filled = lengthFilled(packet, guest);
      if (filled) {
        context.resubmit(packet.ingress, filled);
        observer?.note({
          saw: "TCP of length 0",
          decided: "the guest leaves the length to hardware: it is that of the frame",
        });
        return consumeAs(Reason.TX_LENGTH_FILLED);
      }
    }
    const claimsIp = parsed.etherType === ETHERTYPE_IPV4 || parsed.etherType === ETHERTYPE_IPV6;
    if (claimsIp && !parsed.ip) {
      observer?.note({
        saw: `EtherType 0x${parsed.etherType.toString(16)}`,
        decided: "drop: the IP header is malformed",
      });
      return dropFor(Reason.INVALID_PACKET);
    }
    if (parsed.destination === ZERO_MAC) {
      observer?.note({ saw: "destination 00-00-00-00-00-00", decided: "drop: nobody has this address" });
      return dropFor(Reason.INVALID_DEST_MAC);
    }
    observer?.note({ saw: `${parsed.end - parsed.start} bytes`, decided: "well-formed" });
    return CONTINUE;
  },
};

/** Takes the 802.1Q tag apart; a priority tag (VID 0) carries no VLAN and comes off (IeeePriorityTag resets or trusts its PCP). */
export const tagFormat: Layer<HostSnapshot> = {
  name: "802.1Q tag",
  evaluate(_snapshot, { parsed, plan }, { observer }): Outcome {
    if (parsed.tag === null) {
      observer?.note({ saw: "no tag", decided: "VLAN 0" });
      return CONTINUE;
    }
    const vid = vidOf(parsed.tag);
    if (vid === VID_RESERVED) {
      observer?.note({ saw: `VID ${vid}`, decided: "drop: the VID is reserved" });
      return dropFor(Reason.INVALID_VLAN_FORMAT);
    }
    if (vid === 0) plan.removeTag = true;
    observer?.note({ saw: `VID ${vid}`, decided: vid === 0 ? "a priority tag, removed" : `VLAN ${vid}` });
    return CONTINUE;
  },
};

export const bridgeReserved: Layer<HostSnapshot> = {
  name: "bridge group address",
  evaluate(_snapshot, { parsed }, { observer }): Outcome {
    const isReserved = isBridgeReservedMac(parsed.destination);
    observer?.note({
      saw: `destination ${formatMac(parsed.destination)}`,
      decided: isReserved ? "drop: bridges keep these frames" : "not reserved",
    });
    return isReserved ? dropFor(Reason.BRIDGE_RESERVED) : CONTINUE;
  },
};

/** The source must be the adapter's own address, unless MacAddressSpoofing is on (Set-VMNetworkAdapter). */
export const sourceMac: Layer<HostSnapshot> = {
  name: "source MAC",
  evaluate(snapshot, packet, context): Outcome {
    const reason = judgeSource(snapshot, packet);
    const { mac, macAddressSpoofing } = snapshot.ports.adapterAt(packet.ingress);
    explainSource(context, packet, reason, mac, macAddressSpoofing);
    return reason === Reason.NONE ? CONTINUE : dropFor(reason);
  },
};

function judgeSource(snapshot: HostSnapshot, { ingress, parsed }: PacketView): Reason {
  if (isGroupMac(parsed.source) || parsed.source === ZERO_MAC) return Reason.INVALID_SOURCE_MAC;
  const adapter = snapshot.ports.adapterAt(ingress);
  return parsed.source === adapter.mac || adapter.macAddressSpoofing ? Reason.NONE : Reason.MAC_SPOOFING;
}

function explainSource(context: LayerContext, packet: PacketView, reason: Reason, mac: Mac, spoofing: boolean): void {
  if (!context.observer) return;
  const saw = `source ${formatMac(packet.parsed.source)}; the adapter's is ${formatMac(mac)}, spoofing ${spoofing ? "on" : "off"}`;
  const decided =
    reason === Reason.NONE
      ? "accepted"
      : reason === Reason.MAC_SPOOFING
        ? "drop: not the adapter's address"
        : "drop: not an address that a sender can have";
  context.observer.note({ saw, decided });
}

/**
 * An adapter in a virtual subnet, or without a VLAN, sends untagged (VLAN and VSID exclude each other on a port). Nor may it hide a tag
 * behind a priority tag, which comes off: the frame would leave the NIC in that VLAN.
 */
export const vlanRule: Layer<HostSnapshot> = {
  name: "VLAN",
  evaluate(_snapshot, { parsed }, { observer }): Outcome {
    const vid = parsed.tag === null ? 0 : vidOf(parsed.tag);
    const isHidden = parsed.tag !== null && isTpid(parsed.etherType);
    const isUntagged = vid === 0 && !isHidden;
    observer?.note({
      saw: `VLAN ${vid}${isHidden ? ", and another tag behind it" : ""}`,
      decided: isUntagged ? "untagged, as the port is" : "drop: the port has no VLAN",
    });
    return isUntagged ? CONTINUE : dropFor(Reason.UNAUTHORIZED_VLAN);
  },
};

/**
 * The storm limit: so many broadcast and multicast frames in each second (Set-VMNetworkAdapter -StormLimit). Unknown unicast does not count:
 * this switch floods none.
 */
export const stormLimit: Layer<HostSnapshot> = {
  name: "storm limit",
  evaluate({ ports }, { ingress, parsed }, context): Outcome {
    const limit = ports.adapterAt(ingress).stormLimit;
    context.consulted(portStamp(ingress));
    const isCounted = limit > 0 && isGroupMac(parsed.destination);
    const isBeyond = isCounted && !context.meter(limit);
    context.observer?.note({
      saw: limit > 0 ? `${limit} broadcast and multicast frames a second` : "no limit",
      decided: isBeyond ? "drop: beyond the limit" : isCounted ? "counts against the limit" : "does not count",
    });
    return isBeyond ? dropFor(Reason.STORM_LIMIT) : CONTINUE;
  },
};

/** Set-VMNetworkAdapterIsolation without AllowUntaggedTraffic: the plain port of the adapter is closed. */
export const untaggedFilter: Layer<HostSnapshot> = {
  name: "isolation",
  evaluate(_snapshot, _packet, { observer }): Outcome {
    observer?.note({ saw: "no isolation id", decided: "drop: AllowUntaggedTraffic is off" });
    return dropFor(Reason.FILTERED_ISOLATION_UNTAGGED);
  },
};

/** Set-VMNetworkAdapterIsolation -IsolationMode ExternalVirtualSubnet: whose extension is not here; nothing else touches the frame. */
export const leftToExtension: Layer<HostSnapshot> = {
  name: "isolation",
  evaluate(_snapshot, _packet, { observer }): Outcome {
    observer?.note({ saw: "ExternalVirtualSubnet", decided: "passed on: a forwarding extension's business" });
    return passFor(Reason.NONE);
  },
};

export const INGRESS: readonly Layer<HostSnapshot>[] = [
  frameFormat,
  tagFormat,
  bridgeReserved,
  sourceMac,
  vlanRule,
  stormLimit,
  guards,
];
