/**
 * What a host keeps of the path MTUs that routers have told: it lies in the host's policy, for encapsulation goes by it as it does by routes and
 * neighbors. One timer per destination: when it is due and the MTU was told again meanwhile, it waits on.
 */
import { PATH_MTU_LIFETIME_MS } from "../../policy/path-mtus.js";
import { type Address, sameAddress } from "../../wire/address.js";
import { formatAddress } from "../../wire/address-text.js";
import type { NveWork } from "./work.js";

/** What decisions want of a host's knowledge about paths. */
export type PathMtuEffect =
  | { readonly kind: "pathMtu"; readonly destination: Address; readonly mtu: number }
  /** A timer: what is known about this destination may have expired. */
  | { readonly kind: "pathMtuEnd"; readonly destination: Address };

export function settlePathMtu(effect: PathMtuEffect, work: NveWork): void {
  const { kind, destination } = effect;
  const before = work.policy.pathMtus.find(destination);
  if (kind === "pathMtu") {
    const expiresMs = work.nowMs + PATH_MTU_LIFETIME_MS;
    work.changePolicy({ kind: "pathMtuLearnt", pathMtu: { destination, mtu: effect.mtu, expiresMs } });
  } else {
    work.changePolicy({ kind: "pathMtuExpired", destination, nowMs: work.nowMs });
  }
  const left = work.policy.pathMtus.all.find((known) => sameAddress(known.destination, destination));
  const isTimerDue = kind === "pathMtuEnd" || before === undefined;
  if (left && isTimerDue) work.setTimer<PathMtuEffect>(left.expiresMs, { kind: "pathMtuEnd", destination });
  if (left?.mtu !== before)
    work.notify({ kind: "pathMtu", providerAddress: formatAddress(destination), mtu: left?.mtu ?? null });
}
