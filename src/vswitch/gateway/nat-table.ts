/**
 * The bindings of a NAT: which external endpoint stands for which internal one, who gets a free one, and who loses it.
 *
 * Mapping is endpoint-independent (RFC 4787 REQ-1, RFC 5382 REQ-1, RFC 5508 REQ-1): an internal endpoint has one external endpoint for
 * all whom it talks to, so a binding knows no remote. Several tenants may share an external address and have the same internal ones;
 * the tenant is part of the internal side, never of the external.
 *
 *     (tenant, protocol, internal address, port)  ◄── binding ──►  (protocol, external address, port)
 *
 * Allocation asks no dice: a hash of the internal endpoint says where in the range the search for a free port begins, so equal
 * traffic gives equal bytes. Ranges bound everything; ports of static mappings are never given away.
 */
import { type Address, fnv1a, setU16, setU32 } from "../../dataplane/wire/index.js";
import type { ExternalRange, NatProtocol, StaticMapping } from "../settings.js";

/** One side of a flow: a port of TCP or UDP, or the identifier of ICMP echo messages. */
export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

/** How long a binding may be idle depends on what its packets have said; `open` is that of UDP and ICMP, the others are TCP's. */
export type Phase = "open" | "opening" | "established" | "closing";

export interface Binding {
  /** Unique among all that the table has ever had. */
  readonly id: number;
  /** Index into the gateway's tenants. */
  readonly tenant: number;
  readonly protocol: NatProtocol;
  readonly internal: Endpoint;
  readonly external: Endpoint;
  /** From a static mapping: never ends. */
  readonly isStatic: boolean;
  phase: Phase;
  /** Has a packet from inside shown up since the last look (`gateway-state.ts`)? */
  isInUse: boolean;
  /** When to look at it again, or to end it. */
  dueMs: number;
  /** The earliest timer that is set for it. */
  timerMs: number;
}

export interface NatTenant {
  readonly ranges: readonly ExternalRange[];
  readonly staticMappings: readonly StaticMapping[];
}

const PORTS = 0x1_0000;

export class NatTable {
  readonly #tenants: readonly NatTenant[];
  readonly #seed: number;
  readonly #inside = new Map<string, Binding>();
  readonly #outside = new Map<string, Binding>();
  readonly #byId = new Map<number, Binding>();
  /** Ports in use, a bit each, by protocol and external address. */
  readonly #taken = new Map<string, Uint32Array>();
  #nextId = 1;

  constructor(tenants: readonly NatTenant[], seed = 0) {
    this.#tenants = tenants;
    this.#seed = seed;
    tenants.forEach(({ staticMappings }, tenant) => {
      for (const { protocol, internal, external } of staticMappings)
        this.#add(tenant, protocol, internal, external, true);
    });
  }

  /** All bindings, static ones included. */
  get size(): number {
    return this.#byId.size;
  }

  /** The binding of a tenant's endpoint. */
  fromInside(tenant: number, protocol: NatProtocol, internal: Endpoint): Binding | undefined {
    return this.#inside.get(`${tenant} ${keyOf(protocol, internal)}`);
  }

  /** The binding that an external endpoint belongs to. */
  fromOutside(protocol: NatProtocol, external: Endpoint): Binding | undefined {
    return this.#outside.get(keyOf(protocol, external));
  }

  byId(id: number): Binding | undefined {
    return this.#byId.get(id);
  }

  /** Would `open` find a free port? */
  hasRoom(tenant: number, protocol: NatProtocol, internal: Endpoint): boolean {
    return this.#findFree(tenant, protocol, internal) !== undefined;
  }

  /** The endpoint's binding, a new one if it has none; undefined if all external ports of its tenant and family are taken. */
  open(tenant: number, protocol: NatProtocol, internal: Endpoint): Binding | undefined {
    const known = this.fromInside(tenant, protocol, internal);
    if (known) return known;
    const external = this.#findFree(tenant, protocol, internal);
    return external && this.#add(tenant, protocol, internal, external, false);
  }

  close(binding: Binding): void {
    if (binding.isStatic || !this.#byId.delete(binding.id)) return;
    const { tenant, protocol, internal, external } = binding;
    this.#inside.delete(`${tenant} ${keyOf(protocol, internal)}`);
    this.#outside.delete(keyOf(protocol, external));
    const taken = this.#takenPorts(protocol, external.address);
    taken[external.port >>> 5]! &= ~(1 << (external.port & 31));
  }

  #add(tenant: number, protocol: NatProtocol, internal: Endpoint, external: Endpoint, isStatic: boolean): Binding {
    const phase = protocol === "tcp" ? "opening" : "open";
    const binding: Binding = {
      id: this.#nextId++,
      tenant,
      protocol,
      internal,
      external,
      isStatic,
      phase,
      isInUse: true,
      dueMs: Number.POSITIVE_INFINITY,
      timerMs: Number.POSITIVE_INFINITY,
    };
    this.#byId.set(binding.id, binding);
    // Of several static mappings to one internal endpoint the first is what it sends from.
    const inside = `${tenant} ${keyOf(protocol, internal)}`;
    if (!this.#inside.has(inside)) this.#inside.set(inside, binding);
    this.#outside.set(keyOf(protocol, external), binding);
    const taken = this.#takenPorts(protocol, external.address);
    taken[external.port >>> 5]! |= 1 << (external.port & 31);
    return binding;
  }

  /**
   * All bindings of an internal address get the same external one while it has room (RFC 4787 REQ-2, "paired"); then the next one
   * of the tenant: a flow from another address is better than none.
   */
  #findFree(tenant: number, protocol: NatProtocol, internal: Endpoint): Endpoint | undefined {
    const ranges = this.#tenants[tenant]!.ranges.filter(({ address }) => address.family === internal.address.family);
    const first = hashOf(this.#seed, tenant, internal.address, 0);
    const start = hashOf(this.#seed, tenant, internal.address, internal.port);
    for (let i = 0; i < ranges.length; i++) {
      const { address, portStart, portEnd } = ranges[(first + i) % ranges.length]!;
      const from = portStart + (start % (portEnd - portStart + 1));
      const taken = this.#takenPorts(protocol, address);
      const port = nextFree(taken, from, portEnd) ?? nextFree(taken, portStart, from - 1);
      if (port !== undefined) return { address, port };
    }
    return undefined;
  }

  #takenPorts(protocol: NatProtocol, address: Address): Uint32Array {
    const key = keyOf(protocol, { address, port: 0 });
    const known = this.#taken.get(key);
    if (known) return known;
    const taken = new Uint32Array(PORTS / 32);
    this.#taken.set(key, taken);
    return taken;
  }
}

/** The first port of [from, to] whose bit is clear; words without one are passed by in one step. */
function nextFree(taken: Uint32Array, from: number, to: number): number | undefined {
  for (let port = from; port <= to; ) {
    const free = ~taken[port >>> 5]! & (0xffff_ffff << (port & 31));
    if (free !== 0) {
      const found = (port & ~31) + 31 - Math.clz32(free & -free);
      return found <= to ? found : undefined;
    }
    port = (port | 31) + 1;
  }
  return undefined;
}

const keyOf = (protocol: NatProtocol, { address: a, port }: Endpoint): string =>
  `${protocol} ${a.family} ${a.w0} ${a.w1} ${a.w2} ${a.w3} ${port}`;

function hashOf(seed: number, tenant: number, address: Address, port: number): number {
  const tuple = new Uint8Array(26);
  setU32(tuple, 0, seed);
  setU32(tuple, 4, tenant);
  [address.w0, address.w1, address.w2, address.w3].forEach((word, i) => {
    setU32(tuple, 8 + 4 * i, word);
  });
  setU16(tuple, 24, port);
  const hash = fnv1a(tuple, 0, tuple.length);
  return (hash ^ (hash >>> 15)) >>> 0; // FNV's low bits alone follow the last octets too closely
}
