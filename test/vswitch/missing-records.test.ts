/** A lookup record that a host misses is told as a policy mismatch: when, of what, and how often. */
import { describe, expect, it } from "vitest";
import { MISSING_RECORDS_MAX } from "../../src/dataplane/slowpath/nve/missing-records.js";
import { createLab, type EmulatedLab, type LabEvent, parseAddress, type Vsid } from "../../src/index.js";
import { TWO_HOSTS } from "../control/labs.js";
import { Random, seededRandom } from "../support/random.js";
import { packet, ROUTER } from "./whole-labs.js";

const BLUE1 = "06-06-00-00-00-05";
const BLUE2 = "06-06-00-00-00-07";
const NEXT_HOP = `customerRoutes:
  - { routingDomainID: "{11111111-2222-3333-4444-000000005001}", virtualSubnetID: 5002, destinationPrefix: 0.0.0.0/0, nextHop: 10.0.1.99 }
`;
const ms = (n: number): bigint => BigInt(n) * 1_000_000n;

interface Watched {
  readonly lab: EmulatedLab;
  readonly events: LabEvent[];
}
function watched(text = TWO_HOSTS, flowCapacity?: number): Watched {
  const events: LabEvent[] = [];
  const choices = flowCapacity === undefined ? {} : { flowCapacity };
  return { lab: createLab(text, { ...choices, onEvent: (event) => events.push(event) }), events };
}
const mismatch = (timeMs: number, customerAddress: string, virtualSubnetID = 5001, node = "host1"): LabEvent => ({
  timeMs,
  node,
  kind: "policyMismatch",
  virtualSubnetID,
  customerAddress,
  providerAddress: null,
});

describe("a record that a host misses is told as a policy mismatch", () => {
  it.each<[string, Uint8Array, LabEvent]>([
    ["in the sender's virtual subnet", packet(BLUE2, BLUE1, "10.0.0.5", "10.0.0.99"), mismatch(1, "10.0.0.99")],
    ["in another", packet(ROUTER, BLUE1, "10.0.0.5", "10.0.1.99"), mismatch(1, "10.0.1.99", 5002)],
    ["of a route's next hop", packet(ROUTER, BLUE1, "10.0.0.5", "8.8.8.8"), mismatch(1, "10.0.1.99", 5002)],
    ["of a link-local address", packet(BLUE1, BLUE1, "10.0.0.5", "169.254.0.9"), mismatch(1, "169.254.0.9")],
  ])("%s", (_, frame, event) => {
    const { lab, events } = watched(TWO_HOSTS + NEXT_HOP);
    if (event.customerAddress === "169.254.0.9") frame.set([0x06, 0x06, 0, 0, 0, 0x77]); // no record has this MAC
    expect(lab.send("host1/Blue1", frame)[0]).toMatchObject({ reason: { reason: "TX_NO_RECORD" } });
    lab.pass(ms(2));
    expect(events).toEqual([event]);
  });

  it("records on one host only: both hosts tell, one since it gets UNREACHABLE, one since its reply has no record", () => {
    const { lab, events } = watched();
    const record = lab.policyOf("host2").lookupRecords.find(5001 as Vsid, parseAddress("10.0.0.5")!)!;
    lab.changePolicy("host2", { kind: "recordRemoved", record });
    lab.send("host1/Blue1", packet(BLUE2, BLUE1, "10.0.0.5", "10.0.0.7"), ms(0));
    lab.send("host2/Blue2", packet(BLUE1, BLUE2, "10.0.0.7", "10.0.0.5"), ms(10));
    lab.pass(ms(12));
    expect(events).toEqual([
      { ...mismatch(2, "10.0.0.7"), providerAddress: "192.168.4.22" },
      mismatch(11, "10.0.0.5", 5001, "host2"),
    ]);
  });

  it("once in a minute, as long as packets come; in between their drop is cached", () => {
    const { lab, events } = watched();
    const sendAt = (time: number) => lab.send("host1/Blue1", packet(BLUE2, BLUE1, "10.0.0.5", "10.0.0.99"), ms(time));
    for (let time = 0; time < 130_000; time += 500) sendAt(time);
    expect(events).toEqual([1, 60_501, 121_001].map((time) => mismatch(time, "10.0.0.99")));
    expect(lab.counters().flows.hits).toBe(260 - 2 * 3); // one is told of, the next one makes the entry
  });

  it("a thousand in a minute: the others' drops are cached as well, until it is over; those that met the limit are counted", () => {
    const { lab, events } = watched(
      TWO_HOSTS.replaceAll("10.0.1.0/24", "10.1.0.0/16").replaceAll("10.0.1.9", "10.1.0.9"),
    );
    const frames = Array.from({ length: MISSING_RECORDS_MAX + 200 }, (_, n) => ({
      port: "host1/Blue1",
      frame: packet(ROUTER, BLUE1, "10.0.0.5", `10.1.${1 + (n >> 8)}.${n & 255}`),
    }));
    for (const time of [0, 10]) lab.sendAll(frames, ms(time));
    expect(events).toHaveLength(MISSING_RECORDS_MAX);
    expect(lab.controlCounters("host1").eventsHeld).toBe(200);
    const { hits } = lab.counters().flows;
    lab.sendAll(frames, ms(20));
    expect(lab.counters().flows.hits - hits).toBe(frames.length);
    lab.sendAll(frames.slice(-100), ms(61_000));
    lab.pass(ms(61_001));
    expect(events).toHaveLength(MISSING_RECORDS_MAX + 100);
  });

  it("the same events whatever the size of bursts and of the flow table", () => {
    const { seed } = seededRandom();
    const play = (flowCapacity: number, together: boolean): readonly LabEvent[] => {
      const random = new Random(seed);
      const { lab, events } = watched(TWO_HOSTS + NEXT_HOP, flowCapacity);
      for (let time = 0; time < 300_000; time += random.below(5000)) {
        const frames = Array.from({ length: 1 + random.below(12) }, () => {
          const to = `${random.pick(["10.0.0", "10.0.1", "203.0.113"])}.${20 + random.below(8)}`;
          return { port: "host1/Blue1", frame: packet(ROUTER, BLUE1, "10.0.0.5", to) };
        });
        if (together) lab.sendAll(frames, ms(time));
        else for (const { port, frame } of frames) lab.send(port, frame, ms(time));
      }
      return events;
    };
    const once = play(1024, true);
    expect(once.length).toBeGreaterThan(40);
    for (const flowCapacity of [4, 1024]) {
      for (const together of [false, true]) expect(play(flowCapacity, together), `seed ${seed}`).toEqual(once);
    }
  });
});
