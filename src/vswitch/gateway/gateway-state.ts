/**
 * What a built-in gateway knows. Layers read it; it changes between ticks only, by the effects that they raise and by timers.
 *
 *     first packet of an endpoint ─► open: gets a binding, and the packet enters again
 *     packet from inside          ─► used, if the last look at the binding was after the last packet
 *     timer                       ─► look: the binding's stamp moves, so that the next packet of a live flow comes to the slow path
 *                                 ─► end: no packet came since the look, for the whole timeout
 *
 * The kernel forwards a live flow without telling anyone; so a binding ends when it has been idle for its timeout at least, and for
 * a quarter more at most. Only packets from inside keep a binding (RFC 4787 REQ-6): nobody outside can.
 */
import { bindingStamp, PathMtus, providerStamp } from "../../dataplane/policy/index.js";
import {
  type NodeState,
  type NodeWork,
  type PathMtuEffect,
  type PathMtuStore,
  settlePathMtu,
} from "../../dataplane/slowpath/index.js";
import type { Effect, NodeIndex, PortIndex, Stamp } from "../../dataplane/transposition/index.js";
import { type Address, formatAddress, prefixContains, sameAddress } from "../../dataplane/wire/index.js";
import type { ExternalRoute, GatewaySettings, GatewayTenant, GreTunnel, NatProtocol } from "../settings.js";
import { type Binding, type Endpoint, NatTable, type Phase } from "./nat-table.js";

export interface GatewayPorts {
  readonly external: PortIndex;
  /** In the order of the tenants. */
  readonly inside: readonly PortIndex[];
}

/** What layers want changed. `ingress` and `frame` belong to a packet that has to wait for it. */
export type GatewayEffect =
  | {
      readonly kind: "open";
      readonly tenant: number;
      readonly protocol: NatProtocol;
      readonly internal: Endpoint;
      /** The datagram of which the packet is the first fragment; null if it is whole. */
      readonly fragments: string | null;
      readonly ingress: PortIndex;
      readonly frame: Uint8Array;
    }
  /** A packet from inside has used the binding; or, from outside, has ended a connection of it. */
  | { readonly kind: "used"; readonly binding: number; readonly phase: Phase }
  | { readonly kind: "due"; readonly binding: number }
  | { readonly kind: "firstFragment"; readonly key: string; readonly binding: number }
  | { readonly kind: "laterFragment"; readonly key: string; readonly ingress: PortIndex; readonly frame: Uint8Array }
  | { readonly kind: "forgetFragments" }
  | PathMtuEffect;

/** Look at a binding again when this part of its timeout is over. */
const LOOK_AFTER = 1 / 4;
/** As long as a receiver waits for the rest of a datagram (RFC 1122 §3.3.2). */
const FRAGMENTS_MS = 60_000;
/** Datagrams in pieces that are known at a time; beyond it the oldest are forgotten. */
export const FRAGMENTED_MAX = 4096;

/** A datagram in pieces: the binding that its first one had, or null if others came before that. */
interface Fragmented {
  readonly binding: number | null;
  readonly untilMs: number;
}

const OUTSIDE = -1;
const PROTOCOL_NUMBERS: Readonly<Record<NatProtocol, number>> = { tcp: 6, udp: 17, icmp: 1 };

export class GatewayState implements NodeState {
  readonly table: NatTable;
  /** Of the paths to tunnels' far ends, as routers outside have told. */
  pathMtus = new PathMtus();
  /** The oldest first. */
  readonly #fragmented = new Map<string, Fragmented>();
  #willForget = false;

  constructor(
    readonly settings: GatewaySettings,
    readonly node: NodeIndex,
    readonly ports: GatewayPorts,
  ) {
    this.table = new NatTable(settings.tenants);
  }

  // What layers ask.

  /** The tenant behind a port. */
  tenantAt(port: PortIndex): number {
    return this.ports.inside.indexOf(port);
  }

  tenant(index: number): GatewayTenant {
    return this.settings.tenants[index]!;
  }

  isExternal(address: Address): boolean {
    return this.settings.tenants.some(
      ({ ranges, staticMappings, tunnels }) =>
        ranges.some((range) => sameAddress(range.address, address)) ||
        staticMappings.some(({ external }) => sameAddress(external.address, address)) ||
        tunnels.some(({ source }) => sameAddress(source, address)),
    );
  }

  /** The external route with the longest prefix, the first of equal ones. */
  routeTo(destination: Address): ExternalRoute | undefined {
    return longest(
      this.settings.external.routes.filter(({ destinationPrefix }) => prefixContains(destinationPrefix, destination)),
      ({ destinationPrefix }) => destinationPrefix.length,
    );
  }

  /** The tenant's tunnel with the longest prefix that holds the address. */
  tunnelTo({ tunnels }: GatewayTenant, destination: Address): GreTunnel | undefined {
    const found = tunnels.flatMap((tunnel) =>
      tunnel.prefixes.filter((prefix) => prefixContains(prefix, destination)).map(({ length }) => ({ tunnel, length })),
    );
    return longest(found, ({ length }) => length)?.tunnel;
  }

  /** The longest outer packet that a tunnel's path carries. When it changes the node's provider stamp moves. */
  pathMtuOf({ destination }: GreTunnel): number {
    return Math.min(this.settings.external.mtu, this.pathMtus.find(destination) ?? Number.POSITIVE_INFINITY);
  }

  insideStamp(tenant: number, protocol: NatProtocol, { address, port }: Endpoint): Stamp {
    return bindingStamp(this.node, tenant, PROTOCOL_NUMBERS[protocol], address, port);
  }

  outsideStamp(protocol: NatProtocol, { address, port }: Endpoint): Stamp {
    return bindingStamp(this.node, OUTSIDE, PROTOCOL_NUMBERS[protocol], address, port);
  }

  /** The binding of a datagram's first fragment; null if that has not come, undefined if nobody has asked yet. */
  bindingOfFragments(key: string): Binding | null | undefined {
    const known = this.#fragmented.get(key);
    if (known === undefined) return undefined;
    return known.binding === null ? null : (this.table.byId(known.binding) ?? null);
  }

  // What changes between ticks.

  settle(raised: Effect, work: NodeWork): void {
    const effect = raised as GatewayEffect;
    switch (effect.kind) {
      case "open":
        this.#open(effect, work);
        break;
      case "used":
        this.#used(effect.binding, effect.phase, work);
        break;
      case "due":
        this.#due(effect.binding, work);
        break;
      case "firstFragment":
        this.#remember(effect.key, effect.binding, work);
        break;
      case "laterFragment":
        if (!this.#fragmented.has(effect.key)) this.#remember(effect.key, null, work);
        work.resubmit(effect.ingress, effect.frame);
        break;
      case "forgetFragments":
        this.#forgetFragments(work);
        break;
      case "pathMtu":
      case "pathMtuEnd":
        settlePathMtu(effect, this.#pathMtuStore(work), work);
    }
  }

  #pathMtuStore(work: NodeWork): PathMtuStore {
    return {
      all: () => this.pathMtus.all,
      learn: (pathMtu) => {
        this.pathMtus = this.pathMtus.with(pathMtu);
      },
      expire: (destination) => {
        this.pathMtus = this.pathMtus.expired(destination, work.nowMs);
      },
      tell: (destination, mtu) => {
        work.moveStamps([providerStamp(this.node)]);
        work.notify({ kind: "tunnelMtu", destination: formatAddress(destination), mtu });
      },
    };
  }

  /** The packet enters again in any case: without a binding it ends there for its reason. */
  #open(effect: GatewayEffect & { kind: "open" }, work: NodeWork): void {
    const { tenant, protocol, internal, fragments, ingress, frame } = effect;
    const isNew = this.table.fromInside(tenant, protocol, internal) === undefined;
    const binding = this.table.open(tenant, protocol, internal);
    if (binding && isNew) {
      work.moveStamps([this.outsideStamp(protocol, binding.external)]);
      this.#lookLater(binding, work);
    }
    if (binding && fragments !== null) this.#remember(fragments, binding.id, work);
    work.resubmit(ingress, frame);
  }

  #used(id: number, phase: Phase, work: NodeWork): void {
    const binding = this.table.byId(id);
    if (!binding || binding.isStatic) return;
    binding.phase = phase;
    binding.isInUse = true;
    this.#lookLater(binding, work);
  }

  #lookLater(binding: Binding, work: NodeWork): void {
    this.#schedule(binding, work.nowMs + this.timeoutOf(binding) * LOOK_AFTER, work);
  }

  /** A timer that comes too early sets the next; so a binding has few, however often it is used. */
  #schedule(binding: Binding, dueMs: number, work: NodeWork): void {
    binding.dueMs = dueMs;
    if (dueMs >= binding.timerMs) return;
    binding.timerMs = dueMs;
    work.setTimer<GatewayEffect>(dueMs, { kind: "due", binding: binding.id });
  }

  #due(id: number, work: NodeWork): void {
    const binding = this.table.byId(id);
    if (!binding || work.nowMs < binding.timerMs) return;
    binding.timerMs = Number.POSITIVE_INFINITY;
    if (work.nowMs < binding.dueMs) this.#schedule(binding, binding.dueMs, work);
    else if (binding.isInUse) this.#look(binding, work);
    else this.#end(binding, work);
  }

  #look(binding: Binding, work: NodeWork): void {
    binding.isInUse = false;
    work.moveStamps([this.insideStamp(binding.tenant, binding.protocol, binding.internal)]);
    this.#schedule(binding, work.nowMs + this.timeoutOf(binding), work);
  }

  #end(binding: Binding, work: NodeWork): void {
    const { tenant, protocol, internal, external } = binding;
    this.table.close(binding);
    work.moveStamps([this.insideStamp(tenant, protocol, internal), this.outsideStamp(protocol, external)]);
  }

  timeoutOf({ protocol, phase }: Binding): number {
    const { tcpEstablishedMs, tcpTransitoryMs, udpMs, icmpMs } = this.settings.timeouts;
    if (protocol === "tcp") return phase === "established" ? tcpEstablishedMs : tcpTransitoryMs;
    return protocol === "udp" ? udpMs : icmpMs;
  }

  #remember(key: string, binding: number | null, work: NodeWork): void {
    this.#fragmented.delete(key); // to the end
    if (this.#fragmented.size >= FRAGMENTED_MAX) this.#fragmented.delete(this.#fragmented.keys().next().value!);
    const untilMs = work.nowMs + FRAGMENTS_MS;
    this.#fragmented.set(key, { binding, untilMs });
    if (this.#willForget) return;
    this.#willForget = true;
    work.setTimer<GatewayEffect>(untilMs, { kind: "forgetFragments" });
  }

  #forgetFragments(work: NodeWork): void {
    this.#willForget = false;
    for (const [key, { untilMs }] of this.#fragmented) {
      if (untilMs > work.nowMs) {
        this.#willForget = true;
        work.setTimer<GatewayEffect>(untilMs, { kind: "forgetFragments" });
        return;
      }
      this.#fragmented.delete(key);
    }
  }
}

function longest<Item>(items: readonly Item[], lengthOf: (item: Item) => number): Item | undefined {
  let best: Item | undefined;
  for (const item of items) if (best === undefined || lengthOf(item) > lengthOf(best)) best = item;
  return best;
}
