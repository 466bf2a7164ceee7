/**
 * Random fabrics and random traffic from a printed seed, against an oracle that knows only the fabric's plan (`random-fabric.ts`),
 * while policies stand still and while they change. HNV_TEST_SEED repeats a run.
 */
import { describe, expect, it } from "vitest";
import { createLab, type HostPolicyChange, parseAddress, type Vsid } from "../../src/index.js";
import { type Random, seededRandom } from "../support/random.js";
import { hexOf } from "./build.js";
import {
  caOf,
  expected,
  type Fabric,
  type FabricTally,
  framesOf,
  makeFabricTally,
  randomFabric,
  randomPacket,
  runRandomFabric,
  runRandomFabricByHops,
  type Sent,
} from "./random-fabric.js";

describe("random fabrics", () => {
  function runMany(rounds: number, run: (random: Random, tally: FabricTally) => void): FabricTally {
    const random = seededRandom();
    const tally = makeFabricTally();
    for (let round = 0; round < rounds; round++) {
      try {
        run(random, tally);
      } catch (error) {
        throw new Error(`seed ${random.seed}, round ${round}: ${(error as Error).message}`);
      }
    }
    return tally;
  }

  it("deliver what the plan says, in bursts of 1 and of 256", () => {
    const tally = runMany(25, (random, counts) => runRandomFabric(random, { packets: 300, tally: counts }));
    // Few fabrics have two provider subnets with rewritten VMs in both; the long runs have them.
    const rare = "end PROVIDER_TTL";
    expect(tally.missing.filter((kind) => kind.startsWith("end") && kind !== rare)).toEqual([]);
  });

  it("go through the kernel as through the plain interpreter, hop by hop", () => {
    const tally = runMany(10, (random, counts) => runRandomFabricByHops(random, { packets: 100, tally: counts }));
    expect(tally.missing.filter((kind) => kind.startsWith("hop"))).toEqual([]);
  });
});

describe("changes of policy while traffic runs", () => {
  it("hold for the very next packet, and only flows that rest on them are decided again", () => {
    const random = seededRandom();
    let changes = 0;
    for (let round = 0; round < 200 && changes < 40; round++) {
      const fabric = randomFabric(random);
      const packets = Array.from({ length: 200 }, (_, id) => ({ ...randomPacket(random, fabric, id), ttl: 64 }));
      const flows = packets.filter((sent) => expected(fabric, sent).includes(" "));
      const moved = flows.find((sent) => sent.from.host !== hostOf(fabric, sent));
      if (!moved) continue;
      changes++;
      const lab = createLab(fabric.yaml);
      const what = `seed ${random.seed}, round ${round}`;
      const run = (): string[] =>
        lab
          .sendAll(framesOf(flows))
          .map(({ verdict, port, frame, reason }) =>
            verdict === "delivered" ? `${port} ${hexOf(frame)}` : reason!.reason,
          );
      const planned = flows.map((sent) => expected(fabric, sent));
      expect(run(), what).toEqual(planned);

      const host = `host${moved.from.host}`;
      const address = parseAddress(caOf(moved.family, moved.place, moved.number))!;
      const vsid = fabric.tenants[moved.from.tenant]!.find(({ place }) => place === moved.place)!.vsid as Vsid;
      const record = lab.policyOf(host).lookupRecords.find(vsid, address)!;
      const isTo = (sent: Sent): boolean =>
        sent.from.tenant === moved.from.tenant &&
        sent.family === moved.family &&
        sent.place === moved.place &&
        sent.number === moved.number;
      const isFrom = (sent: Sent): boolean =>
        sent.from.tenant === moved.from.tenant &&
        sent.from.subnet.vsid === vsid &&
        sent.from.number === moved.number &&
        sent.family === moved.family;
      const leaves = (sent: Sent): boolean => sent.from.host === moved.from.host;
      const arrives = (sent: Sent): boolean => hostOf(fabric, sent) === moved.from.host;
      // The host knows the record as sender (destination) and as receiver (source); the VM itself lives elsewhere.
      const touched = flows.filter((sent) => (leaves(sent) && isTo(sent)) || (arrives(sent) && isFrom(sent))).length;

      const change = (kind: HostPolicyChange, refused: { to: string; from: string }): void => {
        const before = lab.counters().flows;
        lab.changePolicy(host, kind);
        const wanted = flows.map((sent, index) =>
          leaves(sent) && isTo(sent)
            ? refused.to || planned[index]
            : arrives(sent) && isFrom(sent)
              ? refused.from || planned[index]
              : planned[index],
        );
        expect(run(), `${what}: ${kind.kind}`).toEqual(wanted);
        const after = lab.counters().flows;
        const stale = after.stale - before.stale;
        // The flow is decided again; its entry was outdated, or gone because the last decision could not be cached.
        expect(after.misses - before.misses, `${what}: ${kind.kind}`).toBeGreaterThanOrEqual(1);
        // Flows that share a bucket, or rest on more than an entry can name, are asked without need: some, never most.
        expect(stale, `${what}: ${kind.kind}, ${flows.length} flows`).toBeLessThan(touched + flows.length / 4);
      };
      change({ kind: "recordRemoved", record }, { to: "TX_NO_RECORD", from: "RX_SRC_POLICY" });
      change({ kind: "recordAdded", record }, { to: "", from: "" });
      const elsewhere = parseAddress(fabric.pa(moved.from.host))!;
      change(
        { kind: "recordReplaced", record: { ...record, providerAddress: elsewhere } },
        { to: "NOT_ACCEPTED", from: "RX_SRC_POLICY" },
      );
      change({ kind: "recordReplaced", record }, { to: "", from: "" });

      const routes = lab.policyOf(host).customerRoutes.all;
      const isGone = (route: (typeof routes)[number]): boolean =>
        route.virtualSubnetID === vsid && route.destinationPrefix.address.family === moved.family;
      const others = routes.filter((route) => !isGone(route));
      const ownRoutes = others.filter(
        ({ routingDomainID }) => routingDomainID === routes.find(isGone)!.routingDomainID,
      );
      if (moved.from.subnet.vsid === vsid && !ownRoutes.some((route) => route.virtualSubnetID === vsid)) continue; // no domain left to route in
      lab.changePolicy(host, { kind: "customerRoutesReplaced", routes: others });
      const [end] = lab.sendAll(framesOf([moved]));
      expect(end!.reason?.reason, `${what}: route removed`).toBe("TX_NO_ROUTE");
      lab.changePolicy(host, { kind: "customerRoutesReplaced", routes });
      expect(run(), `${what}: routes back`).toEqual(planned);
    }
    expect(changes).toBe(40);
  });
});

const hostOf = (fabric: Fabric, { from, place, number }: Sent): number | undefined =>
  fabric.vms.find((vm) => vm.tenant === from.tenant && vm.subnet.place === place && vm.number === number)?.host;
