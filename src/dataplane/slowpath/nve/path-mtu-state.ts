/**
 * How long what routers have told of path MTUs is kept: one timer per destination; when it is due and the MTU was told again meanwhile, it
 * waits on. Whose knowledge it is, and what rests on it, is the node's own business.
 */
import { PATH_MTU_LIFETIME_MS } from "../../policy/path-mtus.js";
import type { PathMtu } from "../../policy/policy.js";
import { type Address, sameAddress } from "../../wire/address.js";
import type { NodeWork } from "../layer.js";

/** What decisions want of a node's knowledge about paths. */
export type PathMtuEffect =
  | { readonly kind: "pathMtu"; readonly destination: Address; readonly mtu: number }
  /** A timer: what is known about this destination may have expired. */
  | { readonly kind: "pathMtuEnd"; readonly destination: Address };

/** Where a node keeps it. */
export interface PathMtuStore {
  all(): readonly PathMtu[];
  learn(pathMtu: PathMtu): void;
  /** Forgets the destination, if what is known about it has expired. */
  expire(destination: Address): void;
  /** What is known has changed; null: no longer anything. */
  tell(destination: Address, mtu: number | null): void;
}

export function settlePathMtu(effect: PathMtuEffect, store: PathMtuStore, work: NodeWork): void {
  const { kind, destination } = effect;
  const known = (): PathMtu | undefined => store.all().find((one) => sameAddress(one.destination, destination));
  const before = known()?.mtu;
  if (kind === "pathMtu") {
    const mtu = Math.min(effect.mtu, before ?? Number.POSITIVE_INFINITY); // another message of this tick may have told less
    store.learn({ destination, mtu, expiresMs: work.nowMs + PATH_MTU_LIFETIME_MS });
  } else store.expire(destination);
  const left = known();
  const isTimerDue = kind === "pathMtuEnd" || before === undefined;
  if (left && isTimerDue) work.setTimer<PathMtuEffect>(left.expiresMs, { kind: "pathMtuEnd", destination });
  if (left?.mtu !== before) store.tell(destination, left?.mtu ?? null);
}
