/**
 * REDIRECT and UNREACHABLE in whole labs: Blue2 has moved from host 2 to host 3, which host 1 has not been told. A router lies between host 1
 * and the others.
 */
import { describe, expect, test } from "vitest";
import { type PacketEnd, reasonName, type TimedEvent, trace } from "../../src/dataplane/index.js";
import type { PortIndex } from "../../src/dataplane/transposition/index.js";
import { parseAddress } from "../../src/dataplane/wire/index.js";
import { kernelModule } from "../../src/kernel-file.js";
import { Lab } from "../../src/vswitch/index.js";
import { change, load } from "../control/labs.js";
import { frame, icmp } from "../engine/build.js";
import { innerOf, workedPacket } from "../vectors/worked-packets.js";

const MOVED = `apiVersion: hnv/v1
routingDomains:
  - name: Blue
    id: "{11111111-2222-3333-4444-000000005001}"
    subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }]
provider:
  subnets:
    - { prefix: 192.168.4.0/24, vlan: 103, mtu: 1600, gateway: 192.168.4.1 }
    - { prefix: 192.168.5.0/24, vlan: 104, mtu: 1600, gateway: 192.168.5.1 }
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11 }]
    vms: [{ name: Blue1, adapters: [{ mac: 06-06-00-00-00-05, vsid: 5001, addresses: [10.0.0.5] }] }]
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-05-16 }]
    providerAddresses: [{ address: 192.168.5.22 }]
  - name: host3
    nics: [{ name: nic1, mac: 02-00-C0-A8-05-21 }]
    providerAddresses: [{ address: 192.168.5.33 }]
    vms: [{ name: Blue2, adapters: [{ mac: 06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7] }] }]
lookupRecords:
  - { host: host1, customerAddress: 10.0.0.7, virtualSubnetID: 5001, macAddress: 060600000007, providerAddress: 192.168.5.22 }
`;
/** Nobody has told host 2 anything either. */
const UNKNOWN = change(
  MOVED,
  "lookupRecords:\n",
  `lookupRecords:
  - { host: host2, customerAddress: 10.0.0.7, virtualSubnetID: 5001, macAddress: 060600000007, providerAddress: 192.168.5.22 }
`,
);

/** Blue1 pings Blue2. */
const PING = innerOf("a");

interface Scene {
  readonly lab: Lab;
  readonly events: TimedEvent[];
  /** How each frame ended that this one caused, as `delivered at host3/Blue2`. */
  ping(timeMs: number): string[];
  /** The same for what happens by itself until then. */
  wait(untilMs: number): string[];
}

function scene(text = MOVED): Scene {
  const events: TimedEvent[] = [];
  const lab = new Lab(load(text).lab, { kernel: kernelModule(), onEvent: (event) => events.push(event) });
  const { engine } = lab;
  const show = ({ verdict, port, reason }: PacketEnd): string =>
    `${verdict} at ${engine.ports[port]!.name}${reason ? `: ${reasonName(reason)}` : ""}`;
  const ns = (ms: number): bigint => BigInt(ms) * 1_000_000n;
  return {
    lab,
    events,
    ping: (timeMs) => engine.send([{ port: lab.port("host1/Blue1")!, frame: PING }], ns(timeMs)).map(show),
    wait: (untilMs) => engine.sendNothing(ns(untilMs)).map(show),
  };
}

const ARRIVES = ["delivered at host3/Blue2"];
const LOST = ["dropped at host2/nic1: RX_MOVED"];
const OBEYED = "consumed at host1/nic1";

/** An event as one line. */
const shown = ({ timeMs, event }: TimedEvent): string => [timeMs, ...Object.values(event)].join(" ");

describe("a VM that has moved", () => {
  test("the first packet is lost and earns a REDIRECT, the next arrives", () => {
    const { ping, wait, lab, events } = scene();
    expect(ping(0)).toEqual(LOST);
    expect(wait(2)).toEqual([OBEYED]);
    expect(ping(10)).toEqual(ARRIVES);
    expect(ping(11)).toEqual(ARRIVES);
    expect(events.map(shown)).toEqual(["2 redirect 5001 10.0.0.7 192.168.5.22 192.168.5.33"]);
    const { injected, dropped, delivered, consumed, in: entered } = lab.engine.totals();
    expect({ entered, injected, dropped, delivered, consumed }).toEqual({
      entered: 3,
      injected: 1,
      dropped: 1,
      delivered: 2,
      consumed: 1,
    });
  });

  test("the same for packets of a gateway VM, whose flows rest on more than their entries can name", () => {
    const wildcard =
      "{ customerAddress: 0.0.0.0, virtualSubnetID: 5001, macAddress: 060600000005, providerAddress: 192.168.4.11, type: GatewayWildcard }";
    const text = change(MOVED, ", addresses: [10.0.0.5]", "");
    const { ping, wait } = scene(change(text, "lookupRecords:\n", `lookupRecords:\n  - ${wildcard}\n`));
    expect(ping(0)).toEqual(LOST);
    expect(wait(2)).toEqual([OBEYED]);
    expect(ping(10)).toEqual(ARRIVES);
    expect(ping(60_010)).toEqual(LOST);
  });

  test("packets of the same millisecond are lost, and earn no second message", () => {
    const { ping, wait, lab } = scene();
    for (let n = 0; n < 10; n++) expect(ping(0)).toEqual(LOST);
    expect(wait(2)).toEqual([OBEYED]);
    expect(lab.controlCounters("host2")).toMatchObject({ sent: 1, held: 9 });
    expect(lab.controlCounters("host1")).toMatchObject({ redirects: 1 });
  });

  test("while it holds, packets go by their flow entries", () => {
    const { ping, wait, lab } = scene();
    ping(0);
    wait(2);
    ping(10);
    const { misses, stale } = lab.engine.flowCounters();
    for (let ms = 11; ms < 100; ms++) expect(ping(ms)).toEqual(ARRIVES);
    expect(lab.engine.flowCounters()).toMatchObject({ misses, stale });
  });

  test("after a minute the record counts again, until the next REDIRECT", () => {
    const { ping, wait } = scene();
    ping(0);
    wait(2);
    expect(ping(60_001)).toEqual(ARRIVES);
    expect(ping(60_002)).toEqual(LOST);
    expect(wait(60_010)).toEqual([OBEYED]);
    expect(ping(60_011)).toEqual(ARRIVES);
  });

  test("the control plane has the last word: a record that is rewritten ends the redirect", () => {
    const { ping, wait, lab } = scene();
    ping(0);
    wait(2);
    expect(ping(10)).toEqual(ARRIVES);
    const record = lab.policyOf("host1")!.lookupRecords.find(5001 as never, parseAddress("10.0.0.7")!)!;
    lab.changePolicy("host1", { kind: "recordReplaced", record: { ...record } });
    expect(ping(11)).toEqual(LOST);
    lab.changePolicy("host1", {
      kind: "recordReplaced",
      record: { ...record, providerAddress: parseAddress("192.168.5.33")! },
    });
    expect(ping(12)).toEqual(ARRIVES);
  });

  test("with acceptRedirect off all packets are lost, and one REDIRECT a second is dropped", () => {
    const { ping, wait, lab, events } = scene(
      change(MOVED, "  - name: host1\n", "  - name: host1\n    settings: { acceptRedirect: false }\n"),
    );
    const ends: string[] = [];
    for (let ms = 0; ms < 3000; ms += 100) ends.push(...ping(ms));
    ends.push(...wait(4000));
    expect(ends.filter((end) => end === LOST[0])).toHaveLength(30);
    expect(ends.filter((end) => end === "dropped at host1/nic1: RX_CTRL")).toHaveLength(3);
    expect(ends).toHaveLength(33);
    expect([lab.controlCounters("host2"), events]).toMatchObject([{ sent: 3, held: 27 }, []]);
  });

  test("with sendControlMessages off, or in Windows Server 2012, nothing is said", () => {
    for (const setting of ["settings: { sendControlMessages: false }", "mode: 2012"]) {
      const { ping, wait } = scene(change(MOVED, "  - name: host2\n", `  - name: host2\n    ${setting}\n`));
      expect([ping(0), wait(100), ping(200)]).toEqual([LOST, [], LOST]);
    }
  });

  test("trace shows the layer that redirects, and the message that would be sent", () => {
    const { ping, wait, lab } = scene();
    const port = lab.port("host1/Blue1")!;
    const before = trace(lab.engine, port, PING);
    expect(before.at(-1)!.notes.at(-1)!.decided).toBe(
      "it lives at 192.168.5.33 now; the sending host is told: REDIRECT",
    );
    expect(before.at(-1)!.decision.effects).toMatchObject([{ kind: "controlMessage" }]);
    ping(0);
    wait(2);
    const [step] = trace(lab.engine, port, PING);
    expect(step!.notes.find(({ layer }) => layer === "redirect")!.decided).toBe("by a REDIRECT at 192.168.5.33");
    expect(lab.engine.totals()).toMatchObject({ in: 1, injected: 1 });
  });
});

describe("a gateway VM that has moved", () => {
  const GATEWAY = change(
    change(
      change(
        MOVED,
        "subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }]",
        "subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }, { vsid: 5002, prefixes: [10.0.2.0/24] }]",
      ),
      "{ name: Blue2, adapters: [{ mac: 06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7] }] }",
      "{ name: GW, adapters: [{ mac: 06-06-00-00-00-22, vsid: 5002, addresses: [10.0.2.2] }] }",
    ),
    "customerAddress: 10.0.0.7, virtualSubnetID: 5001, macAddress: 060600000007,",
    "customerAddress: 10.0.2.2, virtualSubnetID: 5002, macAddress: 060600000022,",
  ).concat(`customerRoutes:
  - { host: host1, routingDomainID: "{11111111-2222-3333-4444-000000005001}", virtualSubnetID: 5002, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.2.2, metric: 255 }
`);
  const outwards = (destination: string): Uint8Array =>
    frame("02-00-5E-00-01-01", "06-06-00-00-00-05", icmp("10.0.0.5", destination, [8, 0, 0, 0, 0, 1, 0, 1]));

  test("packets for others on their way through it earn one REDIRECT for all", () => {
    const { lab, events, wait } = scene(GATEWAY);
    const ends = (timeMs: number, destination: string): string[] =>
      lab.engine
        .send([{ port: lab.port("host1/Blue1")!, frame: outwards(destination) }], BigInt(timeMs) * 1_000_000n)
        .map(({ verdict, port }) => `${verdict} at ${lab.engine.ports[port]!.name}`);
    expect(ends(0, "203.0.113.9")).toEqual(["dropped at host2/nic1"]);
    expect(ends(0, "203.0.113.10")).toEqual(["dropped at host2/nic1"]);
    expect(wait(2)).toEqual([OBEYED]);
    expect(events.map(shown)).toEqual(["2 redirect 5002 10.0.2.2 192.168.5.22 192.168.5.33"]);
    for (const destination of ["203.0.113.9", "203.0.113.10", "198.51.100.1"])
      expect(ends(10, destination)).toEqual(["delivered at host3/GW"]);
    expect(lab.controlCounters("host2")).toMatchObject({ sent: 1, held: 1 });
  });
});

test("a host that knows nothing of the VM says UNREACHABLE: a policy mismatch, once a second", () => {
  const { ping, wait, lab, events } = scene(UNKNOWN);
  const ends: string[] = [];
  for (let ms = 0; ms < 2000; ms += 100) ends.push(...ping(ms));
  ends.push(...wait(3000));
  expect(ends.filter((end) => end === "dropped at host2/nic1: RX_NO_LOCAL_DST")).toHaveLength(20);
  expect(ends.filter((end) => end === OBEYED)).toHaveLength(2);
  expect(events.map(shown)).toEqual([
    "2 policyMismatch 5001 10.0.0.7 192.168.5.22",
    "1002 policyMismatch 5001 10.0.0.7 192.168.5.22",
  ]);
  expect(lab.controlCounters("host2")).toMatchObject({ sent: 2, held: 18 });
});

test("bursts of 1, 7 and 256 give the same frames, in the same order", () => {
  const play = (burst: number): string[] => {
    const { lab } = scene();
    const { engine } = lab;
    const { memory } = engine;
    const room = memory.allocate(256 * 128);
    const left: { sequence: number; text: string }[] = [];
    const collect = (): void => {
      const ends = [...engine.lastBurst()].map((end) => ({
        sequence: end.sequence,
        text: `${end.timestampNs} ${end.verdict} ${end.port} ${end.reason}`,
      }));
      left.push(...ends.sort((a, b) => a.sequence - b.sequence));
    };
    const times = Array.from({ length: 600 }, (_, n) => Math.floor(n * n * 350)); // closer first, further apart later
    const port = lab.port("host1/Blue1") as PortIndex;
    for (let first = 0; first < times.length; first += burst) {
      const rows = times.slice(first, first + burst);
      rows.forEach((timeNs, index) => {
        const place = room + index * 128;
        memory.bytes.set(PING, place);
        engine.setRow(index, place, PING.length, port, BigInt(timeNs), first + index);
      });
      for (const _ of engine.run(rows.length)) collect();
    }
    for (const _ of engine.passTime(engine.nowMs + 1000)) collect();
    return left.map(({ text }) => text);
  };
  const all = play(256);
  expect(all.length).toBeGreaterThan(600);
  expect(play(1)).toEqual(all);
  expect(play(7)).toEqual(all);
});

describe("live migration: Blue2 moves to host 3 within 80 ms, host 1 hears of it 400 ms later", () => {
  const MIGRATION = change(
    change(
      change(
        MOVED.slice(0, MOVED.indexOf("lookupRecords:")),
        "    vms: [{ name: Blue2, adapters: [{ mac: 06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7] }] }]\n",
        "",
      ),
      "    providerAddresses: [{ address: 192.168.5.22 }]\n",
      `    providerAddresses: [{ address: 192.168.5.22 }]
    vms: [{ name: Blue2, adapters: [{ mac: 06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7] }] }]
`,
    ),
    "  - name: host1\n",
    "  - name: host1\n    policyDelay: 400\n",
  );
  const EVENTS = "events:\n  - { at: 1000, event: vmMoved, vm: host2/Blue2, to: host3, downtime: 80 }\n";

  /** How the frames that Blue1 sends every 10 ms for two seconds ended, and how many of each end; messages left out. */
  function migrate(more: string): Readonly<Record<string, number>> {
    const { ping, wait, lab } = scene(`${MIGRATION}${more}${EVENTS}`);
    const counts: Record<string, number> = {};
    for (let ms = 0; ms < 2000; ms += 10) {
      const [end] = ping(5_000 + ms) as [string]; // messages come behind
      counts[end] = (counts[end] ?? 0) + 1;
    }
    wait(9_000);
    const { in: entered, injected, delivered, dropped, consumed } = lab.engine.totals();
    expect(entered + injected).toBe(delivered + dropped + consumed);
    return counts;
  }

  test("with REDIRECT one packet is lost after the VM is there", () => {
    expect(migrate("")).toEqual({
      "delivered at host2/Blue2": 100 + 91, // the port keeps its name
      "dropped at host2/nic1: RX_NO_LOCAL_DST": 8,
      "dropped at host2/nic1: RX_MOVED": 1,
    });
  });

  test("without it, all of 400 ms", () => {
    expect(migrate("settings: { acceptRedirect: false }\n")).toEqual({
      "delivered at host2/Blue2": 100 + 52,
      "dropped at host2/nic1: RX_NO_LOCAL_DST": 8,
      "dropped at host2/nic1: RX_MOVED": 40,
    });
  });
});

test("a host that reboots forgets its redirects, and goes on counting", () => {
  const events = "events:\n  - { at: 100, event: hostRebooted, host: host1, restoreAfter: 0 }\n";
  const { ping, wait, lab } = scene(`${MOVED}${events}`);
  ping(0);
  wait(50);
  expect(ping(60)).toEqual(ARRIVES);
  wait(200);
  expect(ping(210)).toEqual(LOST);
  wait(1500);
  expect(ping(1510)).toEqual(LOST);
  wait(1600);
  expect(ping(1610)).toEqual(ARRIVES);
  expect(lab.controlCounters("host1")).toMatchObject({ redirects: 2 });
});

test("a tenant whose addresses are those of the hosts cannot forge a message", () => {
  const settings = load(`apiVersion: hnv/v1
routingDomains:
  - name: Evil
    id: "{11111111-2222-3333-4444-000000007001}"
    subnets: [{ vsid: 7001, prefixes: [192.168.4.0/24] }]
  - name: Blue
    id: "{11111111-2222-3333-4444-000000005001}"
    subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }]
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    providerAddresses: [{ address: 192.168.4.11, prefixLength: 24 }]
    vms: [{ name: Victim, adapters: [{ mac: 06-06-00-00-00-11, vsid: 7001, addresses: [192.168.4.11] }] }]
  - name: host2
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-16 }]
    providerAddresses: [{ address: 192.168.4.22, prefixLength: 24 }]
    vms:
      - { name: Evil, adapters: [{ mac: 06-06-00-00-00-22, vsid: 7001, addresses: [192.168.4.22] }] }
      - { name: Blue2, adapters: [{ mac: 06-06-00-00-00-07, vsid: 5001, addresses: [10.0.0.7] }] }
`).lab;
  const lab = new Lab(settings, { kernel: kernelModule() });
  // What host 2 itself would send to host 1: to its MAC, from host 2's address, about a packet for Blue2.
  const quote = [0, 0, 0, 0, ...workedPacket("a").subarray(14)];
  for (const destinationMac of ["02-00-C0-A8-04-0B", "06-06-00-00-00-11"]) {
    for (const type of [3, 5]) {
      const message = icmp("192.168.4.22", "192.168.4.11", [type, 10, 0, 0, ...quote]);
      const forged = frame(destinationMac, "06-06-00-00-00-22", message);
      const [end] = lab.engine.send([{ port: lab.port("host2/Evil")!, frame: forged }]);
      expect(end).toMatchObject({ verdict: "delivered", port: lab.port("host1/Victim") });
    }
  }
  lab.engine.sendNothing(1_000_000_000n);
  expect(lab.controlCounters("host1")).toMatchObject({ redirects: 0 });
  expect(lab.engine.totals()).toMatchObject({ in: 4, delivered: 4, injected: 0, consumed: 0 });
});
