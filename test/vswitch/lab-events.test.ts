/** Events of a fabric file: what changes, when, for whom, and what becomes of the frames on the way. */
import { describe, expect, test } from "vitest";
import {
  createLab,
  type EmulatedLab,
  formatAddress,
  type LabEvent,
  type Mac,
  parseAddress,
  type Vsid,
} from "../../src/index.js";
import { frame, ip, udp } from "../engine/build.js";

const MACS = { Blue1: "06-06-00-00-00-05", Blue2: "06-06-00-00-00-07", Blue3: "06-06-00-00-00-09" };
const CAS = { Blue1: "10.0.0.5", Blue2: "10.0.0.7", Blue3: "10.0.0.9" };
type Vm = keyof typeof MACS;

const host = (number: number, vm: Vm, more = ""): string => `
  - name: host${number}
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-1${number} }]
    providerAddresses: [{ address: 192.168.4.1${number} }]
    vms: [{ name: ${vm}, adapters: [{ mac: ${MACS[vm]}, vsid: 5001, addresses: [${CAS[vm]}] }] }]${more}`;

const text = (events: string, late = ""): string => `
apiVersion: hnv/v1
routingDomains:
  - name: Blue
    id: "{11111111-2222-3333-4444-000000005001}"
    subnets: [{ vsid: 5001, prefixes: [10.0.0.0/24] }]
provider: { subnets: [{ prefix: 192.168.4.0/24, mtu: 1600 }] }
hosts:${host(1, "Blue1", late)}${host(2, "Blue2")}${host(3, "Blue3")}
events:
${events}
`;

const data = (from: Vm, to: Vm): Uint8Array =>
  frame(
    MACS[to],
    MACS[from],
    ip({
      source: CAS[from],
      destination: CAS[to],
      protocol: 17,
      payload: udp(CAS[from], CAS[to], [1, 2], new Uint8Array(20)),
    }),
  );

interface Played {
  readonly lab: EmulatedLab;
  readonly events: LabEvent[];
  /** Sends one frame at this time; where it ended. */
  at(ms: number, from: Vm, to: Vm, port?: string): string;
}

function play(events: string, late?: string): Played {
  const told: LabEvent[] = [];
  const lab = createLab(text(events, late), { onEvent: (event) => told.push(event) });
  const homes = { Blue1: "host1/Blue1", Blue2: "host2/Blue2", Blue3: "host3/Blue3" };
  return {
    lab,
    events: told,
    at(ms, from, to, port = homes[from]) {
      const [end] = lab.send(port, data(from, to), BigInt(ms) * 1_000_000n);
      return end!.verdict === "dropped" ? `${end!.reason!.reason} at ${end!.port}` : `${end!.verdict} at ${end!.port}`;
    },
  };
}

describe("records", () => {
  test("are added, changed and removed at their time after the first frame, not before", () => {
    const record = "virtualSubnetID: 5001, customerAddress: 10.0.0.99, macAddress: 06-06-00-00-00-07";
    const { at } = play(`
  - { at: 10, event: recordRemoved, record: { virtualSubnetID: 5001, customerAddress: 10.0.0.7, host: host1 } }
  - { at: 20, event: recordAdded, record: { host: host1, virtualSubnetID: 5001, customerAddress: 10.0.0.7, macAddress: ${MACS.Blue2}, providerAddress: 192.168.4.13 } }
  - { at: 30, event: recordChanged, record: { host: host1, virtualSubnetID: 5001, customerAddress: 10.0.0.7, macAddress: ${MACS.Blue2}, providerAddress: 192.168.4.12 } }
  - { at: 40, event: recordAdded, record: { ${record}, providerAddress: 192.168.4.12 } }`);
    const start = 1_000_000;
    expect(at(start, "Blue1", "Blue2")).toBe("delivered at host2/Blue2");
    expect(at(start + 9, "Blue1", "Blue2")).toBe("delivered at host2/Blue2");
    expect(at(start + 10, "Blue1", "Blue2")).toBe("TX_NO_RECORD at host1/Blue1");
    expect(at(start + 20, "Blue1", "Blue2")).toMatch(/^RX_.* at host3\/nic1$/);
    expect(at(start + 30, "Blue1", "Blue2")).toBe("delivered at host2/Blue2");
  });

  test("what a cmdlet would refuse is told, and the run goes on", () => {
    const { at, events } = play(`
  - { at: 5, event: recordAdded, record: { host: host1, virtualSubnetID: 5001, customerAddress: 10.0.0.7, macAddress: ${MACS.Blue2}, providerAddress: 192.168.4.13 } }`);
    at(0, "Blue1", "Blue2");
    expect(at(6, "Blue1", "Blue2")).toBe("delivered at host2/Blue2");
    expect(events).toMatchObject([{ timeMs: 5, node: "host1", kind: "changeRefused", change: "recordAdded" }]);
  });
});

describe("records without an address, on hosts of Windows Server 2012, which knows no types", () => {
  const record = `virtualSubnetID: 5001, customerAddress: 0.0.0.0, macAddress: ${MACS.Blue1}`;
  test.each(["", ", type: L2Only"])("are a gateway's, as in lookupRecords%s", (type) => {
    const { at, lab, events } = play(`
  - { at: 5, event: recordAdded, record: { ${record}, providerAddress: 192.168.4.11${type} } }
  - { at: 15, event: recordRemoved, record: { ${record}${type} } }
mode: 2012`);
    const types = (): readonly string[] =>
      [...lab.policyOf("host2").lookupRecords].map((each) => each.type).filter((each) => each !== "Static");
    at(0, "Blue1", "Blue2");
    at(10, "Blue1", "Blue2");
    expect(types()).toEqual(["GatewayWildcard"]);
    at(20, "Blue1", "Blue2");
    expect(types()).toEqual([]);
    expect(events.filter(({ kind }) => kind === "changeRefused")).toEqual([]);
  });
});

describe("a VM that moves", () => {
  const MOVE = "  - { at: 100, event: vmMoved, vm: host2/Blue2, to: host3, downtime: 50 }";

  test("stands still, and then goes on at the other host, in both directions; its port keeps its name", () => {
    const { at, events } = play(MOVE);
    expect(at(0, "Blue1", "Blue2")).toBe("delivered at host2/Blue2");
    expect(at(0, "Blue2", "Blue1")).toBe("delivered at host1/Blue1");
    expect(at(120, "Blue1", "Blue2")).toMatch(/^RX_.* at host2\/nic1$/);
    expect(at(120, "Blue2", "Blue1")).toBe("NIC_DISABLED at host2/Blue2");
    expect(at(150, "Blue1", "Blue2")).toBe("delivered at host2/Blue2");
    expect(at(150, "Blue3", "Blue2")).toBe("delivered at host2/Blue2");
    expect(at(150, "Blue2", "Blue1")).toBe("delivered at host1/Blue1");
    const moves = events.filter(({ kind }) => kind !== "policyMismatch"); // what host1 heard while the VM stood still
    expect(moves.map(({ timeMs, kind, node }) => [timeMs, node, kind])).toEqual([
      [100, "host2", "vmStopped"],
      [150, "host3", "vmResumed"],
      [150, "host1", "policyChanged"],
      [150, "host2", "policyChanged"],
      [150, "host3", "policyChanged"],
    ]);
  });

  test("is missed by a host whose policy is late", () => {
    const { at } = play(MOVE, "\n    policyDelay: 500");
    at(0, "Blue1", "Blue2");
    expect(at(200, "Blue1", "Blue2")).not.toBe("TX_NO_RECORD at host1/Blue1");
    expect(at(200, "Blue3", "Blue2")).toBe("delivered at host2/Blue2");
    expect(at(651, "Blue1", "Blue2")).toBe("delivered at host2/Blue2");
    expect(at(651, "Blue2", "Blue1")).toBe("delivered at host1/Blue1");
  });

  test("is found again through a REDIRECT by a sender whose policy is late, where redirects are accepted", () => {
    const late = (acceptRedirect: boolean): Played =>
      play(MOVE, `\n    policyDelay: 500\n    settings: { acceptRedirect: ${acceptRedirect} }`);
    const fates = ({ at }: Played): string[] => {
      at(0, "Blue1", "Blue2");
      return [200, 210, 400, 649, 651].map((ms) => at(ms, "Blue1", "Blue2"));
    };
    const moved = "RX_MOVED at host2/nic1";
    const found = "delivered at host2/Blue2";
    const [on, off] = [late(true), late(false)];
    expect(fates(on)).toEqual([moved, found, found, found, found]);
    expect(fates(off)).toEqual([moved, moved, moved, moved, found]);
    expect(on.events.filter(({ kind }) => kind === "redirect").map(({ node }) => node)).toEqual(["host1"]);
  });

  test("may go back and on again", () => {
    const { at } = play(`${MOVE}
  - { at: 300, event: vmMoved, vm: host3/Blue2, to: host1 }
  - { at: 400, event: vmMoved, vm: host1/Blue2, to: host2 }`);
    at(0, "Blue1", "Blue2");
    for (const ms of [200, 350, 450]) {
      expect(at(ms, "Blue1", "Blue2"), `at ${ms}`).toBe("delivered at host2/Blue2");
      expect(at(ms, "Blue2", "Blue3"), `at ${ms}`).toBe("delivered at host3/Blue3");
    }
  });
});

describe("links and hosts", () => {
  test("a NIC whose link is down neither sends nor receives", () => {
    const { at } = play(`
  - { at: 10, event: linkDown, port: host2/nic1 }
  - { at: 20, event: linkUp, port: host2/nic1 }`);
    at(0, "Blue1", "Blue2");
    expect(at(10, "Blue1", "Blue2")).toBe("DISCONNECTED at host2/nic1");
    expect(at(10, "Blue2", "Blue1")).toBe("DISCONNECTED at host2/Blue2");
    expect(at(20, "Blue1", "Blue2")).toBe("delivered at host2/Blue2");
    expect(at(20, "Blue2", "Blue1")).toBe("delivered at host1/Blue1");
  });

  test("a host that reboots loses its policy until management writes it again", () => {
    const { at, lab, events } = play(
      "  - { at: 10, event: hostRebooted, host: host2, downtime: 20, restoreAfter: 30 }",
    );
    at(0, "Blue1", "Blue2");
    expect(at(15, "Blue1", "Blue2")).toBe("DISCONNECTED at host2/nic1");
    expect(at(15, "Blue2", "Blue1")).toBe("NIC_DISABLED at host2/Blue2");
    expect(at(30, "Blue1", "Blue2")).toBe("passed at host2/nic1"); // no provider address: not ours
    expect(lab.policyOf("host2").lookupRecords.size).toBe(0);
    expect(at(60, "Blue1", "Blue2")).toBe("delivered at host2/Blue2");
    expect(at(60, "Blue2", "Blue1")).toBe("delivered at host1/Blue1");
    expect(events.map(({ timeMs, kind }) => [timeMs, kind])).toEqual([
      [10, "hostDown"],
      [30, "hostUp"],
      [60, "policyRestored"],
    ]);
  });
});

describe("things that happen to a host at the same time", () => {
  const MOVE = "  - { at: 10, event: vmMoved, vm: host2/Blue2, to: host3, downtime: 200 }";
  const reboot = (at: number, host: string, downtime: number): string =>
    `\n  - { at: ${at}, event: hostRebooted, host: ${host}, downtime: ${downtime}, restoreAfter: 0 }`;

  test.each([
    ["the link, which comes back after the host", 20, 60, 60],
    ["the host, which comes back after the link", 80, 30, 100],
  ])("a NIC whose link is down while its host reboots waits for %s", (_, downtime, linkAt, backAt) => {
    const { at } = play(`  - { at: 10, event: linkDown, port: host2/nic1 }${reboot(20, "host2", downtime)}
  - { at: ${linkAt}, event: linkUp, port: host2/nic1 }`);
    at(0, "Blue1", "Blue2");
    expect(at(backAt - 1, "Blue1", "Blue2")).toBe("DISCONNECTED at host2/nic1");
    expect(at(backAt, "Blue1", "Blue2")).toBe("delivered at host2/Blue2");
    expect(at(backAt, "Blue2", "Blue1")).toBe("delivered at host1/Blue1");
  });

  test.each([
    ["longer", 200, 250],
    ["shorter", 10, 60],
  ])("a second reboot, %s, says when the host is back", (_, downtime, backAt) => {
    const { at, events } = play(`${reboot(10, "host2", 100)}${reboot(50, "host2", downtime)}`);
    at(0, "Blue1", "Blue2");
    expect(at(backAt - 1, "Blue1", "Blue2")).toBe("DISCONNECTED at host2/nic1");
    expect(at(backAt, "Blue1", "Blue2")).toBe("delivered at host2/Blue2");
    at(400, "Blue1", "Blue2");
    expect(events.map(({ timeMs, kind }) => [timeMs, kind])).toEqual([
      [10, "hostDown"],
      [50, "hostDown"],
      [backAt, "hostUp"],
      [backAt, "policyRestored"],
    ]);
  });

  test("a VM on its way does not run again on the host that it leaves, when that has rebooted", () => {
    const { at } = play(`${MOVE}${reboot(50, "host2", 50)}`);
    at(0, "Blue1", "Blue2");
    expect(at(150, "Blue2", "Blue1")).toBe("NIC_DISABLED at host2/Blue2");
    expect(at(210, "Blue2", "Blue1")).toBe("delivered at host1/Blue1");
  });

  test("a VM that comes to a host that is away runs when that is back", () => {
    const { at, events } = play(`${MOVE}${reboot(100, "host3", 200)}`);
    at(0, "Blue1", "Blue2");
    expect(at(299, "Blue2", "Blue1")).toBe("NIC_DISABLED at host2/Blue2");
    expect(at(300, "Blue2", "Blue1")).not.toBe("NIC_DISABLED at host2/Blue2");
    expect(events.map(({ kind }) => kind)).toContain("vmArrived");
  });

  test("a VM on its way is not moved again", () => {
    const { at, events, lab } = play(MOVE);
    at(0, "Blue1", "Blue2");
    at(50, "Blue1", "Blue2");
    lab.change({ kind: "vmMoved", from: "host2", vm: "Blue2", to: "host1", downtimeMs: 0 });
    expect(events.at(-1)).toMatchObject({
      kind: "changeRefused",
      message: "Blue2 is on its way to another host already",
    });
    expect(at(210, "Blue1", "Blue2")).toBe("delivered at host2/Blue2");
    expect(events.filter(({ kind }) => kind === "vmResumed").map(({ node }) => node)).toEqual(["host3"]);
  });

  test("a file that would have it moved before it is there is refused, by the millisecond", () => {
    const back = (at: number): string => `${MOVE}\n  - { at: ${at}, event: vmMoved, vm: host3/Blue2, to: host2 }`;
    for (const at of [50, 210])
      expect(() => createLab(text(back(at))), `${at}`).toThrow("host3/Blue2 is on its way to host3 until 210");
    const { at, events } = play(back(211));
    at(0, "Blue1", "Blue2");
    expect(at(220, "Blue2", "Blue1")).toBe("delivered at host1/Blue1");
    expect(events.filter(({ kind }) => kind === "changeRefused")).toEqual([]);
  });
});

describe("what management writes again after a reboot (hnv-policy: records and addresses are not persistent)", () => {
  const REBOOT = "\n  - { at: 50, event: hostRebooted, host: host1, downtime: 100, restoreAfter: 50 }";
  const record = (ca: string, place: number): string =>
    `{ host: host1, virtualSubnetID: 5001, customerAddress: ${ca}, macAddress: ${MACS.Blue2}, providerAddress: 192.168.4.1${place} }`;
  const placeOf = (lab: EmulatedLab, ca: string): string | undefined => {
    const found = lab.policyOf("host1").lookupRecords.find(5001 as Vsid, parseAddress(ca)!);
    return found && formatAddress(found.providerAddress);
  };

  test.each([
    ["before", 10],
    ["while the host is away", 100],
    ["between its return and the restoration", 170],
  ])("VMs that moved %s are where they are, and not where they were at first", (_, moved) => {
    const { at } = play(`  - { at: ${moved}, event: vmMoved, vm: host2/Blue2, to: host3 }${REBOOT}`);
    at(0, "Blue1", "Blue2");
    expect(at(190, "Blue1", "Blue2")).not.toMatch(/^delivered/);
    expect(at(300, "Blue1", "Blue2")).toBe("delivered at host2/Blue2");
    expect(at(300, "Blue2", "Blue1")).toBe("delivered at host1/Blue1");
  });

  test("records that were added, changed and removed before, meanwhile and after the host's return", () => {
    const steps = [10, 100, 170].flatMap((at, n) => [
      `  - { at: ${at}, event: recordAdded, record: ${record(`10.0.0.10${n}`, 2)} }`,
      `  - { at: ${at}, event: recordAdded, record: ${record(`10.0.0.11${n}`, 2)} }`,
      `  - { at: ${at + 1}, event: recordChanged, record: ${record(`10.0.0.10${n}`, 3)} }`,
      `  - { at: ${at + 1}, event: recordRemoved, record: { virtualSubnetID: 5001, customerAddress: 10.0.0.11${n} } }`,
    ]);
    const removed =
      "  - { at: 101, event: recordRemoved, record: { virtualSubnetID: 5001, customerAddress: 10.0.0.9 } }";
    const { at, lab } = play(`${steps.join("\n")}\n${removed}${REBOOT}`);
    at(0, "Blue1", "Blue2");
    at(300, "Blue1", "Blue2");
    for (const n of [0, 1, 2]) {
      expect(placeOf(lab, `10.0.0.10${n}`), `changed ${n}`).toBe("192.168.4.13");
      expect(placeOf(lab, `10.0.0.11${n}`), `removed ${n}`).toBeUndefined();
    }
    expect(placeOf(lab, CAS.Blue3)).toBeUndefined();
    expect(placeOf(lab, CAS.Blue2)).toBe("192.168.4.12");
  });

  test("what the library has changed, and all of it after a second reboot before the first restoration", () => {
    const again = "\n  - { at: 170, event: hostRebooted, host: host1, downtime: 10, restoreAfter: 10 }";
    const { at, lab } = play(`${REBOOT}${again}`);
    at(0, "Blue1", "Blue2");
    const old = lab.policyOf("host1").lookupRecords.find(5001 as Vsid, parseAddress(CAS.Blue2)!)!;
    lab.changePolicy("host1", {
      kind: "recordReplaced",
      record: { ...old, providerAddress: parseAddress("192.168.4.13")! },
    });
    at(100, "Blue2", "Blue1");
    lab.changePolicy("host1", {
      kind: "recordAdded",
      record: { ...old, customerAddress: parseAddress("10.0.0.99")!, macAddress: (old.macAddress + 1) as Mac },
    });
    at(185, "Blue2", "Blue1");
    expect(placeOf(lab, CAS.Blue2)).toBeUndefined();
    at(300, "Blue2", "Blue1");
    expect([placeOf(lab, CAS.Blue2), placeOf(lab, "10.0.0.99")]).toEqual(["192.168.4.13", "192.168.4.12"]);
  });
});

describe("what a host found out by itself does not outlive it", () => {
  const wire = (duplicateAddressDetection: boolean): string =>
    `\nsettings: { resolve: wire, duplicateAddressDetection: ${duplicateAddressDetection} }`;
  const reboot = (at: number): string =>
    `\n  - { at: ${at}, event: hostRebooted, host: host1, downtime: 10, restoreAfter: 0 }`;

  test("neighbors are looked for again", () => {
    const { at, lab } = play(reboot(50) + wire(false));
    at(0, "Blue1", "Blue2");
    at(10, "Blue1", "Blue2");
    expect(lab.policyOf("host1").neighbors.all).toHaveLength(1);
    at(70, "Blue3", "Blue2");
    expect(lab.policyOf("host1").providerAddresses.all).toHaveLength(1);
    expect(lab.policyOf("host1").neighbors.all).toEqual([]);
  });

  test("duplicate address detection begins anew, undisturbed by the timers of the first (RFC 5227 §2.1.1: three probes)", () => {
    const { at, lab, events } = play(reboot(2500) + wire(true));
    at(0, "Blue3", "Blue2");
    lab.pass(9_000_000_000n);
    const states = events.filter(({ kind, node }) => kind === "providerAddressChanged" && node === "host1");
    expect(states.map(({ timeMs, addressState }) => [timeMs, addressState])).toEqual([
      [0, "Tentative"],
      [2510, "Tentative"],
      [5510, "Preferred"],
    ]);
  });

  test("path MTUs are forgotten", () => {
    const { at, lab } = play(reboot(50));
    const destination = parseAddress("192.168.4.12")!;
    at(0, "Blue1", "Blue2");
    lab.changePolicy("host1", { kind: "pathMtuLearnt", pathMtu: { destination, mtu: 1300, expiresMs: 600_000 } });
    expect(lab.policyOf("host1").pathMtus.find(destination)).toBe(1300);
    at(70, "Blue1", "Blue2");
    expect(lab.policyOf("host1").pathMtus.find(destination)).toBeUndefined();
  });
});

test("the same frames give the same ends, however they are cut into calls", () => {
  const events = `
  - { at: 7, event: linkDown, port: host2/nic1 }
  - { at: 9, event: linkUp, port: host2/nic1 }
  - { at: 11, event: hostRebooted, host: host1, downtime: 1, restoreAfter: 1 }
  - { at: 12, event: vmMoved, vm: host2/Blue2, to: host3, downtime: 3 }
  - { at: 13, event: hostRebooted, host: host3, downtime: 3, restoreAfter: 0 }
  - { at: 14, event: hostRebooted, host: host3, downtime: 4, restoreAfter: 0 }`;
  const frames = Array.from({ length: 60 }, (_, ms) => ms).map((n) => Math.floor(n / 3));
  const one = play(events);
  const singly = frames.map((ms) => one.at(ms, "Blue1", "Blue2"));
  const other = createLab(text(events));
  const together = [];
  for (let ms = 0; ms < 20; ms++) {
    const three = Array.from({ length: 3 }, () => ({ port: "host1/Blue1", frame: data("Blue1", "Blue2") }));
    for (const end of other.sendAll(three, BigInt(ms) * 1_000_000n)) {
      if (end.verdict === "dropped") together.push(`${end.reason!.reason} at ${end.port}`);
      else if (end.verdict === "delivered") together.push(`${end.verdict} at ${end.port}`);
    }
  }
  expect(together).toEqual(singly);
});

describe("mistakes in events are all found, each at its place", () => {
  test.each([
    ["vm: host2/Blue9, to: host3", "no VM of host2 is called Blue9"],
    ["vm: host9/Blue2, to: host3", "no host is called host9"],
    ["vm: host2/Blue2, to: host9", "no host is called host9"],
    ["vm: host2/Blue2, to: host2", "host2/Blue2 is on host2 already"],
    ["vm: Blue2, to: host2", "expected HOST/NAME, found Blue2"],
  ])("vmMoved { %s }", (fields, message) => {
    expect(() => createLab(text(`  - { at: 1, event: vmMoved, ${fields} }`))).toThrow(message);
  });
  test.each([
    ["linkDown, port: host1/nic9", "no NIC of host1 is called nic9"],
    ["hostRebooted, host: host9", "no host is called host9"],
    ["hostRebooted", 'the field "host" is missing'],
    [
      "recordAdded, record: { virtualSubnetID: 5001, customerAddress: 0.0.0.0, macAddress: 06-06-00-00-00-99, providerAddress: 192.168.4.12 }",
      "a Static record needs a customer address",
    ],
    ["earthquake", "expected recordAdded, recordChanged,"],
  ])("%s", (fields, message) => {
    expect(() => createLab(text(`  - { at: 1, event: ${fields} }`))).toThrow(message);
  });
});
