/** Which packets of a VM may enter its port again: what `encapsulate.ts`, `oversize.ts` and the switch's frame format resubmit, seen from what policy allows. */
import type { PortIndex } from "../../transposition/transposition.js";
import { ETHERNET_LENGTH } from "../../wire/ethernet.js";
import { NO_REENTRY, type Reentry } from "../layer.js";
import { innerMtu } from "./encapsulate.js";
import type { NveSnapshot } from "./snapshot.js";

export function reentryAt({ policy, ports }: Pick<NveSnapshot, "policy" | "ports">, ingress: PortIndex): Reentry {
  const { kind, guestOffload } = ports.settingsOf(ingress);
  if (kind === "nic") return NO_REENTRY;
  if (guestOffload?.checksum) return { above: 0, syn: false }; // any packet's checksum may have to be finished
  const { innerFragmentation, mssClamp } = policy.settings;
  const cut = guestOffload?.lso ? guestOffload.mtu : Number.POSITIVE_INFINITY;
  const fragmented = innerFragmentation ? narrowest(policy) : Number.POSITIVE_INFINITY;
  return { above: ETHERNET_LENGTH + Math.min(cut, fragmented), syn: mssClamp };
}

/** The longest inner packet that fits every way that is known. */
function narrowest(policy: NveSnapshot["policy"]): number {
  const ways = [
    ...policy.providerAddresses.all.map(({ providerAddress: { family }, interfaceIndex }) =>
      innerMtu(policy.interfaceMtu(interfaceIndex), family),
    ),
    ...policy.pathMtus.all.map(({ mtu, destination: { family } }) => innerMtu(mtu, family)),
  ];
  return Math.min(...ways);
}
