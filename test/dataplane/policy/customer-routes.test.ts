import { describe, expect, test } from "vitest";
import { type CustomerRoute, CustomerRoutes } from "../../../src/dataplane/policy/index.js";
import {
  type Address,
  formatPrefix,
  ipv4Address,
  maskAddress,
  prefixContains,
} from "../../../src/dataplane/wire/index.js";
import { BLUE, chanceFromSeed, ip, prefix, RED, route, vsid } from "./samples.js";

const BLUE_ROUTES = [
  route(BLUE, 5001, "10.0.0.0/24"),
  route(BLUE, 5001, "fd00:10::/64", "::"),
  route(BLUE, 5002, "10.0.1.0/24"),
  route(BLUE, 5009, "0.0.0.0/0", "10.0.9.2"),
];
const TABLE = CustomerRoutes.from([...BLUE_ROUTES, route(RED, 6001, "10.0.0.0/24")]);
const blue = TABLE.routingDomainOf(vsid(5001))!;
const red = TABLE.routingDomainOf(vsid(6001))!;

describe("routing domains", () => {
  test("routes bind VSIDs to domains; a VSID without a route has none", () => {
    expect(blue.id).toBe(BLUE);
    expect(blue.vsids).toEqual([5001, 5002, 5009]);
    expect(blue.routes).toEqual(BLUE_ROUTES);
    expect(TABLE.routingDomainOf(vsid(5002))).toBe(blue);
    expect(red.id).toBe(RED);
    expect(TABLE.routingDomainOf(vsid(7001))).toBeUndefined();
  });

  test("hard case 2: a VSID bound to two routing domains is refused", () => {
    const second = route(RED, 5001, "10.5.0.0/24");
    expect(() => CustomerRoutes.from([...BLUE_ROUTES, second])).toThrowError(
      expect.objectContaining({ code: "VSID_IN_TWO_ROUTING_DOMAINS", value: second }),
    );
  });

  test("on-link prefixes, IPv4 first, and gateway addresses", () => {
    expect(TABLE.onLinkPrefixes(vsid(5001)).map(formatPrefix)).toEqual(["10.0.0.0/24", "fd00:10::/64"]);
    expect(TABLE.onLinkPrefixes(vsid(5009)), "a route by a gateway is not on-link").toEqual([]);
    expect(TABLE.gatewayOwner(blue, ip("10.0.1.1"))).toBe(5002);
    expect(TABLE.gatewayOwner(blue, ip("fd00:10::1"))).toBe(5001);
    expect(TABLE.gatewayOwner(red, ip("10.0.1.1")), "of another domain").toBeUndefined();
    expect(TABLE.gatewayOwner(blue, ip("10.0.1.2"))).toBeUndefined();
  });

  test("a change shares the domains that stay as they are, and leaves the old table alone", () => {
    const changed = TABLE.withRoutes([...BLUE_ROUTES.map((r) => ({ ...r })), route(RED, 6002, "10.0.1.0/24")]);
    expect(changed.routingDomainOf(vsid(5001))).toBe(blue);
    expect(changed.routingDomainOf(vsid(6001))).toBeUndefined();
    expect(changed.lookup(red, ip("10.0.1.5"), vsid(6002))?.virtualSubnetID).toBe(6002);
    expect(TABLE.lookup(red, ip("10.0.1.5"), vsid(6001))).toBeUndefined();
    expect(TABLE.routingDomainOf(vsid(6001))).toBe(red);
  });
});

describe("lookup", () => {
  test("the longest prefix of the domain wins, whatever the source's VSID", () => {
    expect(TABLE.lookup(blue, ip("10.0.1.9"), vsid(5001))).toEqual(BLUE_ROUTES[2]);
    expect(TABLE.lookup(blue, ip("198.51.100.1"), vsid(5001))).toEqual(BLUE_ROUTES[3]);
    expect(TABLE.lookup(blue, ip("fd00:10::7"), vsid(5002))).toEqual(BLUE_ROUTES[1]);
    expect(TABLE.lookup(blue, ip("fd00:11::7"), vsid(5001)), "the IPv4 default is none for IPv6").toBeUndefined();
    expect(TABLE.lookup(red, ip("198.51.100.1"), vsid(6001))).toBeUndefined();
  });

  test("hard case 4: among equal prefixes the lowest metric, the own VSID, the lowest VSID, the first inserted", () => {
    const routes = [
      route(BLUE, 5003, "10.9.0.0/16", "10.0.3.2", 10),
      route(BLUE, 5002, "10.9.0.0/16", "10.0.2.2", 10),
      route(BLUE, 5002, "10.9.0.0/16", "10.0.2.3", 10),
      route(BLUE, 5001, "10.9.0.0/16", "10.0.1.2", 20),
    ];
    const pick = (list: readonly CustomerRoute[], preferred: number): CustomerRoute | undefined => {
      const table = CustomerRoutes.from(list);
      return table.lookup(table.routingDomainOf(vsid(5002))!, ip("10.9.1.1"), vsid(preferred));
    };
    expect(pick(routes, 5001), "metric before own VSID").toBe(routes[1]);
    expect(pick(routes, 5003), "own VSID before lowest").toBe(routes[0]);
    expect(pick(routes, 5009), "lowest VSID, first inserted").toBe(routes[1]);
    expect(pick([...routes].reverse(), 5002), "first inserted").toBe(routes[2]);
    expect(pick([...routes, route(BLUE, 5004, "10.9.1.0/24", "10.0.4.2", 99)], 5002)?.virtualSubnetID).toBe(5004);
  });

  test("equals a walk over all routes", () => {
    const chance = chanceFromSeed();
    const near = (): Address => ipv4Address(0x0a00_0000 + (chance.below(8) << 13) + chance.below(1 << 13));
    for (let round = 0; round < 40; round++) {
      const routes = Array.from({ length: 1 + chance.below(40) }, (): CustomerRoute => {
        const length = chance.pick([0, 8, 16, 19, 20, 24, 30, 32]);
        const made = route(BLUE, 5001 + chance.below(5), "10.0.0.0/8", "10.99.0.2", chance.below(3));
        return { ...made, destinationPrefix: { address: maskAddress(near(), length), length } };
      });
      const table = CustomerRoutes.from(routes);
      const domain = table.routingDomainOf(routes[0]!.virtualSubnetID)!;
      for (let step = 0; step < 100; step++) {
        const [destination, preferred] = [near(), 5001 + chance.below(5)];
        const found = table.lookup(domain, destination, vsid(preferred));
        expect(found, `seed ${chance.seed} round ${round}`).toBe(naiveLookup(routes, destination, preferred));
      }
    }
  });

  function naiveLookup(
    routes: readonly CustomerRoute[],
    destination: Address,
    preferred: number,
  ): CustomerRoute | undefined {
    const covering = routes.filter((r) => prefixContains(r.destinationPrefix, destination));
    const longest = Math.max(...covering.map((r) => r.destinationPrefix.length));
    const equals = covering.filter((r) => r.destinationPrefix.length === longest);
    const lowest = Math.min(...equals.map((r) => r.metric));
    const best = equals.filter((r) => r.metric === lowest);
    const own = best.filter((r) => r.virtualSubnetID === preferred);
    if (own.length > 0) return own[0];
    const lowestVsid = Math.min(...best.map((r) => r.virtualSubnetID));
    return best.find((r) => r.virtualSubnetID === lowestVsid);
  }
});

test("prefixes too long for a host address have no gateway", () => {
  const table = CustomerRoutes.from([route(BLUE, 5001, "10.0.0.2/31"), route(BLUE, 5001, "fd00::2/127", "::")]);
  const domain = table.routingDomainOf(vsid(5001))!;
  expect(table.gatewayOwner(domain, ip("10.0.0.3"))).toBeUndefined();
  expect(table.gatewayOwner(domain, ip("fd00::3"))).toBeUndefined();
  expect(table.onLinkPrefixes(vsid(5001))).toEqual([prefix("10.0.0.2/31"), prefix("fd00::2/127")]);
});
