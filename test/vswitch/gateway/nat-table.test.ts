import { describe, expect, it } from "vitest";
import { formatAddress, parseAddress } from "../../../src/dataplane/wire/index.js";
import { type Binding, type Endpoint, NatTable, type NatTenant } from "../../../src/vswitch/gateway/nat-table.js";
import type { ExternalRange, NatProtocol, StaticMapping } from "../../../src/vswitch/index.js";
import { seededRandom } from "../../support/random.js";

const at = (address: string, port: number): Endpoint => ({ address: parseAddress(address)!, port });
const range = (address: string, portStart: number, portEnd: number): ExternalRange => ({
  address: parseAddress(address)!,
  portStart,
  portEnd,
});
const mapping = (protocol: "tcp" | "udp", external: Endpoint, internal: Endpoint): StaticMapping => ({
  protocol,
  external,
  internal,
});
const tenant = (ranges: ExternalRange[], staticMappings: StaticMapping[] = []): NatTenant => ({
  ranges,
  staticMappings,
});
const text = ({ address, port }: Endpoint): string => `${formatAddress(address)}:${port}`;

describe("allocation", () => {
  it("an endpoint keeps its binding, whoever it talks to (RFC 4787 REQ-1)", () => {
    const table = new NatTable([tenant([range("203.0.113.2", 1, 49151)])]);
    const first = table.open(0, "udp", at("10.0.1.101", 4000))!;
    expect(table.open(0, "udp", at("10.0.1.101", 4000))).toBe(first);
    expect(table.fromOutside("udp", first.external)).toBe(first);
    expect(table.fromOutside("tcp", first.external)).toBeUndefined();
  });

  it("asks no dice: equal seeds give equal ports, others give others", () => {
    const ports = (seed: number): string[] => {
      const table = new NatTable([tenant([range("203.0.113.2", 1, 49151)])], seed);
      return Array.from({ length: 50 }, (_, i) => text(table.open(0, "tcp", at("10.0.1.101", 1000 + i))!.external));
    };
    expect(ports(7)).toEqual(ports(7));
    expect(ports(7)).not.toEqual(ports(8));
    expect(new Set(ports(7)).size).toBe(50);
  });

  it("tenants with the same internal endpoints share an external address without meeting", () => {
    const shared = [range("203.0.113.2", 100, 200)];
    const table = new NatTable([tenant(shared), tenant(shared)]);
    const bindings = [0, 1].map((own) => table.open(own, "udp", at("10.0.1.101", 4000))!);
    expect(bindings[0]!.external.port).not.toBe(bindings[1]!.external.port);
    expect(bindings.map(({ external }) => table.fromOutside("udp", external)!.tenant)).toEqual([0, 1]);
  });

  it("one internal address has one external address while that has room (RFC 4787 REQ-2)", () => {
    const table = new NatTable([tenant([range("203.0.113.2", 1, 20), range("203.0.113.3", 1, 20)])]);
    const used = Array.from({ length: 25 }, (_, i) => table.open(0, "tcp", at("10.0.1.7", 1000 + i))!.external);
    const addresses = used.map(({ address }) => formatAddress(address));
    expect(new Set(addresses.slice(0, 20)).size).toBe(1);
    expect(new Set(addresses.slice(20)).size).toBe(1);
    expect(addresses[24]).not.toBe(addresses[0]);
    const many = new NatTable([tenant([range("203.0.113.2", 1, 20), range("203.0.113.3", 1, 20)])]);
    const firsts = Array.from({ length: 30 }, (_, i) => many.open(0, "tcp", at(`10.0.1.${i + 2}`, 1000))!.external);
    expect(new Set(firsts.map(({ address }) => formatAddress(address))).size).toBe(2);
  });

  it.each([
    [1, 1],
    [65_535, 65_535],
    [31, 32],
    [1, 64],
    [63, 160],
    [1, 65_535],
  ])("gives each port of %i to %i once, then none", (portStart, portEnd) => {
    const table = new NatTable([tenant([range("203.0.113.2", portStart, portEnd)])]);
    const count = portEnd - portStart + 1;
    const ports = new Set<number>();
    const open = (i: number): Binding | undefined =>
      table.open(0, "udp", at(`10.${i >>> 16}.${(i >>> 8) & 255}.${i & 255}`, i & 0xffff));
    for (let i = 0; i < count; i++) ports.add(open(i)!.external.port);
    expect([ports.size, Math.min(...ports), Math.max(...ports)]).toEqual([count, portStart, portEnd]);
    expect(table.hasRoom(0, "udp", at("10.255.0.1", 1))).toBe(false);
    expect(open(count)).toBeUndefined();
    expect(table.hasRoom(0, "icmp", at("10.255.0.1", 1))).toBe(true);
    table.close(table.fromOutside("udp", at("203.0.113.2", portStart))!);
    expect(open(count)!.external.port).toBe(portStart);
  });

  it("addresses of the other family do not count", () => {
    const table = new NatTable([tenant([range("2001:db8::2", 1, 9)])]);
    expect(table.hasRoom(0, "udp", at("10.0.0.5", 1))).toBe(false);
    expect(text(table.open(0, "udp", at("fd00::5", 1))!.external)).toMatch(/^2001:db8::2:\d$/);
  });
});

describe("static mappings", () => {
  const web = mapping("tcp", at("203.0.113.2", 80), at("10.0.1.101", 8080));
  const table = (): NatTable => new NatTable([tenant([range("203.0.113.2", 79, 81)], [web])]);

  it("are there from the beginning, in both directions", () => {
    expect(text(table().fromOutside("tcp", at("203.0.113.2", 80))!.internal)).toBe("10.0.1.101:8080");
    expect(text(table().open(0, "tcp", at("10.0.1.101", 8080))!.external)).toBe("203.0.113.2:80");
  });

  it("keep their ports and never end", () => {
    const nat = table();
    const ports = [1, 2].map((port) => nat.open(0, "tcp", at("10.0.1.5", port))!.external.port);
    expect(ports.sort()).toEqual([79, 81]);
    expect(nat.open(0, "tcp", at("10.0.1.5", 3))).toBeUndefined();
    expect(nat.open(0, "udp", at("10.0.1.5", 3))).toBeDefined();
    nat.close(nat.fromOutside("tcp", web.external)!);
    expect(nat.fromOutside("tcp", web.external)).toBeDefined();
  });

  it("of two mappings to one endpoint, the first is where it sends from", () => {
    const twice = mapping("tcp", at("203.0.113.2", 81), at("10.0.1.101", 8080));
    const nat = new NatTable([tenant([], [web, twice])]);
    expect(nat.fromInside(0, "tcp", web.internal)!.external.port).toBe(80);
    expect(text(nat.fromOutside("tcp", twice.external)!.internal)).toBe("10.0.1.101:8080");
  });
});

it("agrees with a list of pairs under a long random sequence of openings and closings", () => {
  const random = seededRandom();
  const ranges = [range("203.0.113.2", 1000, 1050), range("203.0.113.3", 1020, 1090)];
  const table = new NatTable([tenant(ranges), tenant([ranges[1]!])], random.seed);
  const model = new Map<string, Binding>();
  const limits = [51 + 71, 71];
  for (let step = 0; step < 20_000; step++) {
    const own = random.below(2);
    const protocol: NatProtocol = random.pick(["tcp", "udp", "icmp"]);
    const internal = at(`10.0.0.${random.below(20)}`, random.below(20));
    const key = `${own} ${protocol} ${text(internal)}`;
    const known = model.get(key);
    expect(table.fromInside(own, protocol, internal), `seed ${random.seed}`).toBe(known);
    if (random.chance(0.55)) {
      const binding = table.open(own, protocol, internal);
      if (known) expect(binding).toBe(known);
      else if (binding) {
        const others = [...model.values()].filter((other) => other.protocol === protocol);
        expect(others.map(({ external }) => text(external))).not.toContain(text(binding.external));
        const fits = (own === 0 ? ranges : [ranges[1]!]).some(
          ({ address, portStart, portEnd }) =>
            formatAddress(address) === formatAddress(binding.external.address) &&
            binding.external.port >= portStart &&
            binding.external.port <= portEnd,
        );
        expect(fits).toBe(true);
        model.set(key, binding);
      } else {
        const others = [...model.values()].filter((other) => other.protocol === protocol);
        expect(others.length).toBeGreaterThanOrEqual(own === 0 ? limits[0]! : 71);
      }
    } else if (known) {
      table.close(known);
      model.delete(key);
      expect(table.byId(known.id)).toBeUndefined();
      expect(table.fromOutside(protocol, known.external)).toBeUndefined();
    }
    expect(table.size).toBe(model.size);
  }
});
