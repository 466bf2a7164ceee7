/** The walk itself, with layers made for it. */
import { describe, expect, it } from "vitest";
import { Reason } from "../../../src/dataplane/drop-reasons.js";
import { ANY_STAMP, portStamp, providerStamp } from "../../../src/dataplane/policy/index.js";
import { CONTINUE, dropFor, forwardTo, type Layer, makeNode, passFor } from "../../../src/dataplane/slowpath/index.js";
import type { Stamp } from "../../../src/dataplane/transposition/index.js";
import { ipFrame, MACS, mac, node, outputOf, port, verdictName } from "./fixture.js";

const FRAME = ipFrame({ destination: MACS.blue2, source: MACS.blue1, from: "10.0.0.5", to: "10.0.0.7", tci: 0x2005 });
const layer = (name: string, evaluate: Layer<string>["evaluate"]): Layer<string> => ({ name, evaluate });
const drop = layer("drop", () => dropFor(Reason.TX_NO_ROUTE));

const decide = (
  layers: readonly Layer<string>[],
  bytes = FRAME,
  observe: Parameters<ReturnType<typeof makeNode>["decide"]>[1]["observe"] = null,
) =>
  makeNode(
    "n",
    () => "snapshot",
    () => ({ layers, unreadable: Reason.RX_ETH_SHORT }),
  ).decide({ bytes, start: 0, end: bytes.length, ingress: port(3) }, { node: node(7), nowMs: 42, observe });

describe("the walk", () => {
  it("goes on until a layer decides, and no further", () => {
    const walked: string[] = [];
    const note = (name: string, outcome = CONTINUE): Layer<string> =>
      layer(name, () => {
        walked.push(name);
        return outcome;
      });
    const decision = decide([note("one"), note("two", passFor(Reason.RX_GRE_PROTO)), note("three")]);
    expect(walked).toEqual(["one", "two"]);
    expect(verdictName(decision)).toBe("pass RX_GRE_PROTO");
  });

  it("hands snapshot, packet and context to each layer", () => {
    const look = layer("look", (snapshot, packet, context) => {
      expect(snapshot).toBe("snapshot");
      expect(packet).toMatchObject({ ingress: 3, start: 0, end: FRAME.length });
      expect(packet.plan).toMatchObject({ vsid: 0, pop: false, destinationMac: mac(MACS.blue2), removeTag: false });
      expect(context).toMatchObject({ node: 7, nowMs: 42, observer: null });
      return dropFor(Reason.NOT_ACCEPTED);
    });
    expect(verdictName(decide([look]))).toBe("NOT_ACCEPTED");
  });

  it("drops what no layer wants", () => {
    expect(verdictName(decide([layer("idle", () => CONTINUE)]))).toBe("NOT_ACCEPTED");
  });

  it("drops what can not be read, before any layer, and does not cache it", () => {
    const decision = decide([layer("never", () => expect.unreachable())], FRAME.subarray(0, 13));
    expect([verdictName(decision), decision.cacheable]).toEqual(["RX_ETH_SHORT", false]);
  });

  it("gives each layer its own observer", () => {
    const notes: string[] = [];
    const tells = (name: string): Layer<string> =>
      layer(name, (_snapshot, _packet, { observer }) => {
        observer?.note({ saw: "a frame", decided: "nothing" });
        return CONTINUE;
      });
    decide([tells("one"), tells("two")], FRAME, (name) => ({ note: ({ saw }) => notes.push(`${name} saw ${saw}`) }));
    expect(notes).toEqual(["one saw a frame", "two saw a frame"]);
  });
});

describe("stamps", () => {
  const consults = (...stamps: number[]): Layer<string> =>
    layer("consults", (_snapshot, _packet, context) => {
      for (const stamp of stamps) context.consulted(stamp as Stamp);
      return CONTINUE;
    });

  it("are collected without repetition, in order", () => {
    expect(decide([consults(70_000, 70_001, 70_000), drop]).stamps).toEqual([70_000, 70_001]);
  });

  it("four fit, five become the one that moves with everything", () => {
    expect(decide([consults(70_000, 70_001, 70_002, 70_003), drop]).stamps).toHaveLength(4);
    expect(decide([consults(70_000, 70_001, 70_002, 70_003, 70_004), drop]).stamps).toEqual([ANY_STAMP]);
  });

  it("the node's provider stamp stands for those of its ports", () => {
    const five = [portStamp(port(3)), 70_000, 70_001, 70_002, providerStamp(node(7))];
    expect(decide([consults(...five), drop]).stamps).toEqual(five.slice(1));
    const foreign = [portStamp(port(3)), 70_000, 70_001, 70_002, providerStamp(node(8))];
    expect(decide([consults(...foreign), drop]).stamps).toEqual([ANY_STAMP]);
  });

  it("however many there are", () => {
    const many = Array.from({ length: 5000 }, (_, index) => 70_000 + index);
    expect(decide([consults(...many, providerStamp(node(7))), drop]).stamps).toEqual([ANY_STAMP]);
    expect(decide([consults(ANY_STAMP, 70_000), drop]).stamps).toEqual([ANY_STAMP]);
  });

  it("and cacheability do not leak into the next decision", () => {
    let first = true;
    const once = layer("once", (_snapshot, _packet, context) => {
      if (first) {
        context.consulted(70_000 as Stamp);
        context.doNotCache();
      }
      first = false;
      return dropFor(Reason.TX_NO_ROUTE);
    });
    const testNode = makeNode(
      "n",
      () => "",
      () => ({ layers: [once], unreadable: Reason.RX_ETH_SHORT }),
    );
    const again = () =>
      testNode.decide(
        { bytes: FRAME, start: 0, end: FRAME.length, ingress: port(3) },
        { node: node(7), nowMs: 0, observe: null },
      );
    const before = again();
    expect([before.cacheable, before.stamps]).toEqual([false, [70_000]]);
    const after = again();
    expect([after.cacheable, after.stamps]).toEqual([true, []]);
    expect(before.stamps).toEqual([70_000]);
  });
});

describe("forwardTo", () => {
  const out = (change: (plan: Parameters<Layer<string>["evaluate"]>[1]["plan"]) => void) =>
    outputOf(
      decide([
        layer("out", (_snapshot, packet) => {
          change(packet.plan);
          return forwardTo(packet, port(5), null);
        }),
      ]),
    );

  it("leaves the Ethernet header alone where nothing changed", () => {
    expect(out(() => {})).toEqual({
      output: 5,
      pop: false,
      dscpInwards: false,
      ethernet: null,
      decrementTtl: false,
      push: null,
      lengthLimit: null,
    });
  });

  it("a new address keeps the tag, a removed tag keeps the addresses", () => {
    const source = mac(MACS.blue1);
    expect(
      out((plan) => {
        plan.destinationMac = mac(MACS.blue3);
      }).ethernet,
    ).toEqual({
      destination: mac(MACS.blue3),
      source,
      tag: 0x2005,
    });
    expect(
      out((plan) => {
        plan.removeTag = true;
      }).ethernet,
    ).toEqual({
      destination: mac(MACS.blue2),
      source,
      tag: null,
    });
  });
});
