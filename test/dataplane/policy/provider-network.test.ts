import { expect, test } from "vitest";
import type { ProviderAddress, ProviderRoute } from "../../../src/dataplane/policy/index.js";
import { Neighbors, ProviderAddresses, ProviderRoutes } from "../../../src/dataplane/policy/index.js";
import { ip, mac, prefix } from "./samples.js";

const pa = (address: string, interfaceIndex: number, prefixLength: number): ProviderAddress => ({
  providerAddress: ip(address),
  interfaceIndex,
  prefixLength,
  vlanID: 103,
  macAddress: mac("02-00-C0-A8-04-0B"),
  addressState: "Preferred",
});
const by = (interfaceIndex: number, destination: string, nextHop: string, metric = 0): ProviderRoute => ({
  interfaceIndex,
  destinationPrefix: prefix(destination),
  nextHop: ip(nextHop),
  metric,
});

const ADDRESSES = [pa("192.168.4.11", 1, 24), pa("2001:db8:4::11", 1, 64), pa("192.168.5.11", 2, 24)];

test("provider addresses are found by value", () => {
  const table = new ProviderAddresses(ADDRESSES);
  expect(table.find(ip("2001:db8:4::11"))).toBe(ADDRESSES[1]);
  expect(table.find(ip("192.168.4.12"))).toBeUndefined();
  expect(table.all).toEqual(ADDRESSES);
});

test("the subnet of a provider address is on-link, on its own interface only", () => {
  const table = new ProviderRoutes([], ADDRESSES);
  expect(table.nextHop(1, ip("192.168.4.22"))).toEqual(ip("192.168.4.22"));
  expect(table.nextHop(1, ip("2001:db8:4::22"))).toEqual(ip("2001:db8:4::22"));
  expect(table.nextHop(2, ip("192.168.4.22"))).toBeUndefined();
  expect(table.nextHop(3, ip("192.168.4.22"))).toBeUndefined();
});

test("longest prefix, then lowest metric; a next hop of 0.0.0.0 or :: is on-link", () => {
  const routes = [
    by(1, "0.0.0.0/0", "192.168.4.1", 256),
    by(1, "0.0.0.0/0", "192.168.4.2", 10),
    by(1, "10.0.0.0/8", "192.168.4.3", 999),
    by(1, "10.1.0.0/16", "0.0.0.0"),
    by(1, "192.168.4.0/24", "192.168.4.9", 0),
    by(1, "192.168.4.128/25", "192.168.4.9", 500),
    by(1, "::/0", "fe80::1"),
  ];
  const table = new ProviderRoutes(routes, ADDRESSES);
  expect(table.nextHop(1, ip("198.51.100.1"))).toEqual(ip("192.168.4.2"));
  expect(table.nextHop(1, ip("10.2.0.1"))).toEqual(ip("192.168.4.3"));
  expect(table.nextHop(1, ip("10.1.0.1"))).toEqual(ip("10.1.0.1"));
  expect(table.nextHop(1, ip("192.168.4.22")), "a subnet's own route comes before a written one alike").toEqual(
    ip("192.168.4.22"),
  );
  expect(table.nextHop(1, ip("192.168.4.200"))).toEqual(ip("192.168.4.9"));
  expect(table.nextHop(1, ip("2001:db8:9::1"))).toEqual(ip("fe80::1"));
  expect(table.nextHop(2, ip("198.51.100.1"))).toBeUndefined();
  expect(table.all).toEqual(routes);
});

test("neighbors are found by address", () => {
  const table = new Neighbors([{ address: ip("192.168.4.22"), mac: mac("02-00-C0-A8-04-16") }]);
  expect(table.find(ip("192.168.4.22"))).toBe(0x0200_c0a8_0416);
  expect(table.find(ip("192.168.4.23"))).toBeUndefined();
});
