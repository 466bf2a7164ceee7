/** `EmulatedLab.selectNextHop`, Select-NetVirtualizationNextHop in a program's hands: what it answers is what a packet would meet. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import {
  createLab,
  type EmulatedLab,
  formatAddress,
  loadLab,
  type NoSelectedNextHop,
  PolicyError,
  parseAddress,
  type SelectedNextHop,
} from "../src/index.js";
import { frame, hexOf, ip, udp } from "./engine/build.js";

const EXAMPLE = fileURLToPath(new URL("../examples/two-tenants.yaml", import.meta.url));
const TEXT = readFileSync(EXAMPLE, "utf8");
const DEFAULT_GATEWAY = "02005E000101";
const BLUE = "{11111111-2222-3333-4444-000000005001}";

const lab = loadLab(EXAMPLE);
const select = (
  destinationCustomerAddress: string,
  sourceVirtualSubnetID = 5001,
  sourceCustomerAddress: string | null = "10.0.0.5",
  on: EmulatedLab = lab,
): SelectedNextHop | NoSelectedNextHop =>
  on.selectNextHop("host1", {
    destinationCustomerAddress,
    sourceVirtualSubnetID,
    ...(sourceCustomerAddress === null ? {} : { sourceCustomerAddress }),
  });
const reasonOf = (answer: SelectedNextHop | NoSelectedNextHop): string =>
  "reason" in answer ? `${answer.reason.reason}: ${answer.why}` : `found ${answer.nextHopAddress}`;

describe("the six fields", () => {
  it("within a virtual subnet: the destination itself, and the sender's own MAC", () => {
    expect(select("10.0.0.7")).toEqual({
      sourceCustomerAddress: "10.0.0.5",
      destinationCustomerAddress: "10.0.0.7",
      nextHopAddress: "10.0.0.7",
      sourceVirtualSubnetID: 5001,
      nextHopMACAddress: "060600000007",
      sourceMACAddress: "060600000005",
    });
  });

  it("into another virtual subnet: the destination's MAC, and the router's of that subnet", () => {
    expect(select("10.0.1.9")).toMatchObject({
      nextHopAddress: "10.0.1.9",
      nextHopMACAddress: "060600000009",
      sourceMACAddress: "060600000201",
    });
  });

  it("through a gateway VM: its CA and MAC", () => {
    const text = `${TEXT}customerRoutes:
  - { routingDomainID: "${BLUE}", virtualSubnetID: 5002, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.1.9, metric: 255 }\n`;
    expect(select("8.8.8.8", 5001, "10.0.0.5", createLab(text))).toMatchObject({
      destinationCustomerAddress: "8.8.8.8",
      nextHopAddress: "10.0.1.9",
      nextHopMACAddress: "060600000009",
      sourceMACAddress: "060600000201",
    });
  });

  it("left to an external router: its CA and MAC, and the sender's own", () => {
    const text = TEXT.replace("mode: 2012R2", "mode: 2012R2\nsettings: { useExternalRouter: true }");
    expect(select("10.0.1.9", 5001, "10.0.0.5", createLab(text))).toMatchObject({
      nextHopAddress: "10.0.0.1",
      nextHopMACAddress: "060600000101",
      sourceMACAddress: "060600000005",
    });
  });

  it("the source may be left out, and need not be known: then its MAC is not", () => {
    expect(select("10.0.0.7", 5001, null)).toMatchObject({ sourceCustomerAddress: null, sourceMACAddress: null });
    expect(select("10.0.0.7", 5001, "10.0.0.99")).toMatchObject({ sourceMACAddress: null });
    expect(select("10.0.1.9", 5001, null)).toMatchObject({ sourceMACAddress: "060600000201" });
  });

  it("addresses may be given as texts or as Address, in any spelling, and are printed in one", () => {
    const answer = lab.selectNextHop("host1", {
      sourceCustomerAddress: "FD00:10:0::5",
      destinationCustomerAddress: parseAddress("fd00:10::7")!,
      sourceVirtualSubnetID: 5001,
    });
    expect(answer).toMatchObject({
      sourceCustomerAddress: "fd00:10::5",
      destinationCustomerAddress: "fd00:10::7",
      nextHopMACAddress: "060600000007",
    });
  });

  it("link-local: the record of the address, never a route", () => {
    const text = `${TEXT}lookupRecords:
  - { customerAddress: 169.254.1.7, virtualSubnetID: 5001, macAddress: 060600000007, providerAddress: 192.168.4.22 }\n`;
    expect(select("169.254.1.7", 5001, null, createLab(text))).toMatchObject({ nextHopMACAddress: "060600000007" });
    expect(reasonOf(select("169.254.1.7"))).toBe("TX_NO_RECORD: no lookup record (VSID 5001, 169.254.1.7)");
  });
});

describe("no next hop, and why", () => {
  it.each([
    ["10.0.0.99", 5001, "TX_NO_RECORD: no lookup record (VSID 5001, 10.0.0.99)"],
    ["10.9.9.9", 5001, "TX_NO_ROUTE: no customer route of the routing domain of VSID 5001 covers 10.9.9.9"],
    ["10.0.1.9", 6001, "TX_NO_ROUTE: no customer route of the routing domain of VSID 6001 covers 10.0.1.9"],
    ["10.0.0.7", 7001, "TX_NO_ROUTE: no customer route of the routing domain of VSID 7001 covers 10.0.0.7"],
    ["10.0.1.1", 5001, "TX_ROUTER_SELF: 10.0.1.1 is the gateway address of virtual subnet 5002: the router itself"],
  ])("%s from VSID %i", (destination, vsid, expected) => {
    expect(reasonOf(select(destination, vsid))).toBe(expected);
  });
});

describe("what no packet could ask", () => {
  const refusal = (question: object): string => {
    try {
      lab.selectNextHop("host1", question as Parameters<EmulatedLab["selectNextHop"]>[1]);
    } catch (error) {
      if (error instanceof PolicyError) return `${error.code} ${String(error.message)} ${error.accepted}`;
      throw error;
    }
    return "answered";
  };
  const QUESTION = { destinationCustomerAddress: "10.0.0.7", sourceVirtualSubnetID: 5001 };

  it.each([
    [{ destinationCustomerAddress: "10.0.0" }, 'CUSTOMER_ADDRESS_INVALID "10.0.0" is no address.'],
    [{ destinationCustomerAddress: undefined }, 'CUSTOMER_ADDRESS_INVALID "undefined" is no address.'],
    [{ sourceCustomerAddress: "x" }, 'CUSTOMER_ADDRESS_INVALID "x" is no address.'],
    [{ sourceCustomerAddress: "fd00:10::5" }, "CUSTOMER_ADDRESS_INVALID fd00:10::5 and 10.0.0.7 are of two families."],
    [{ sourceCustomerAddress: "0.0.0.0" }, "CUSTOMER_ADDRESS_INVALID 0.0.0.0 is not the address of one station."],
    [{ destinationCustomerAddress: "224.0.0.1" }, "CUSTOMER_ADDRESS_INVALID 224.0.0.1 is not the"],
    [{ destinationCustomerAddress: "10.0.0.255" }, "CUSTOMER_ADDRESS_INVALID 10.0.0.255 is not the"],
    [{ destinationCustomerAddress: "255.255.255.255" }, "CUSTOMER_ADDRESS_INVALID 255.255.255.255 is not the"],
    [{ sourceVirtualSubnetID: 0 }, "VSID_OUT_OF_RANGE VSID 0 is out of range. 4096–16777214"],
    [{ sourceVirtualSubnetID: 16777215 }, "VSID_OUT_OF_RANGE VSID 16777215 is"],
    [{ sourceVirtualSubnetID: "5001" }, "VSID_OUT_OF_RANGE VSID 5001 is"],
  ])("%o", (change, expected) => {
    expect(refusal({ ...QUESTION, ...change })).toContain(expected);
  });

  it("a host that is none", () => {
    expect(() => lab.selectNextHop("host9", QUESTION)).toThrow("no host is named host9");
  });
});

describe.each(["2012R2", "2012"])("the answer is what a packet meets, mode %s", (mode) => {
  it("for every pair of addresses of every tenant, on both hosts, routed by the distributed router or an external one", () => {
    let asked = 0;
    for (const settings of ["", "settings: { useExternalRouter: true }"]) {
      const text = TEXT.replace("mode: 2012R2", `mode: ${mode}\n${settings}`);
      const both = createLab(text);
      for (const sender of SENDERS) {
        for (const destination of [...SENDERS.map(({ ca }) => ca), "10.0.0.1", "10.9.9.9", "10.0.1.77"]) {
          if (destination === sender.ca || destination.includes(":") !== sender.ca.includes(":")) continue;
          expectSame(both, sender, destination);
          asked++;
        }
      }
    }
    expect(asked).toBeGreaterThan(60);
  });
});

const SENDERS = [
  { port: "host1/Blue1", mac: "06-06-00-00-00-05", ca: "10.0.0.5", vsid: 5001, gateway: "06-06-00-00-01-01" },
  { port: "host1/Blue1", mac: "06-06-00-00-00-05", ca: "fd00:10::5", vsid: 5001, gateway: "06-06-00-00-01-01" },
  { port: "host2/Blue2", mac: "06-06-00-00-00-07", ca: "10.0.0.7", vsid: 5001, gateway: "06-06-00-00-01-01" },
  { port: "host2/Blue2", mac: "06-06-00-00-00-07", ca: "fd00:10::7", vsid: 5001, gateway: "06-06-00-00-01-01" },
  { port: "host2/Blue3", mac: "06-06-00-00-00-09", ca: "10.0.1.9", vsid: 5002, gateway: "06-06-00-00-02-01" },
  { port: "host1/Red1", mac: "08-08-00-00-00-05", ca: "10.0.0.5", vsid: 6001, gateway: DEFAULT_GATEWAY },
  { port: "host2/Red2", mac: "08-08-00-00-00-07", ca: "10.0.0.7", vsid: 6001, gateway: DEFAULT_GATEWAY },
] as const;

/** Compares the answer with the first node's output, as `explain` shows it. */
function expectSame(both: EmulatedLab, sender: (typeof SENDERS)[number], destination: string): void {
  const host = sender.port.split("/")[0]!;
  const answer = both.selectNextHop(host, {
    sourceCustomerAddress: sender.ca,
    destinationCustomerAddress: destination,
    sourceVirtualSubnetID: sender.vsid,
  });
  const what = `${sender.port} to ${destination}`;
  const isOnLink = destination.replace(/[.:]\w+$/, "") === sender.ca.replace(/[.:]\w+$/, "");
  const neighbor = both.policyOf(host).lookupRecords.find(sender.vsid as never, parseAddress(destination)!)?.macAddress;
  const mac = isOnLink && neighbor ? neighbor.toString(16).padStart(12, "0") : sender.gateway;
  const payload = udp(sender.ca, destination, [4000, 5000], new Uint8Array(8));
  const [step] = both.explain(
    sender.port,
    frame(mac, sender.mac, ip({ source: sender.ca, destination, protocol: 17, payload })),
  );
  if ("reason" in answer) {
    expect(step!.reason?.reason, what).toBe(answer.reason.reason);
    return;
  }
  // To a router outside, the lab's dummy provider address of gateway records leads nowhere.
  if (step!.verdict === "drop") {
    expect(step!.reason?.reason, what).toBe("TX_NO_PROVIDER_ROUTE");
    expect(formatAddress(parseAddress(answer.nextHopAddress)!)).toMatch(/\.1$|::1$/);
    return;
  }
  const { after, port } = step!.outputs[0]!;
  const inner = port.endsWith("nic1") ? after.slice(14 + 20 + 8) : after;
  expect(hexOf(inner.slice(0, 12)).toUpperCase(), what).toBe(`${answer.nextHopMACAddress}${answer.sourceMACAddress}`);
}
