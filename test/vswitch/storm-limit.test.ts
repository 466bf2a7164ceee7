/** The storm limit of an adapter, through whole labs and the engine. */
import { describe, expect, test } from "vitest";
import { reasonName } from "../../src/dataplane/index.js";
import { createLab } from "../../src/index.js";
import { kernelModule } from "../../src/kernel-file.js";
import { Lab } from "../../src/vswitch/index.js";
import { load } from "../control/labs.js";
import { frame } from "../engine/build.js";

const MAC = "0A-00-00-00-00-01";
const BROADCAST = "FF-FF-FF-FF-FF-FF";
const LAB = `
apiVersion: hnv/v1
hosts:
  - name: host1
    nics: [{ name: nic1, mac: 02-00-C0-A8-04-0B }]
    vms:
      - { name: Loud, adapters: [{ mac: ${MAC}, vsid: 0, stormLimit: 3 }] }
      - { name: Free, adapters: [{ mac: 0A-00-00-00-00-02, vsid: 0 }] }
`;
const to = (destination: string, source = MAC, tag = 0): Uint8Array =>
  frame(destination, source, Uint8Array.of(0x88, 0xb5, tag, ...new Array<number>(45).fill(0)));
const MS = 1_000_000n;

describe("stormLimit", () => {
  const sender = () => {
    const lab = createLab(LAB);
    return (bytes: Uint8Array, ms: bigint, port = "host1/Loud"): string =>
      lab.send(port, bytes, ms * MS).some(({ verdict }) => verdict === "delivered") ? "passed" : "dropped";
  };

  test("what is beyond it is dropped until the second ends, broadcast and multicast together", () => {
    const send = sender();
    const group = to("01-00-5E-01-02-03");
    const results = [1000n, 1001n, 1500n, 1500n, 1999n, 2000n].map((ms, n) => send(n % 2 ? group : to(BROADCAST), ms));
    expect(results).toEqual(["passed", "passed", "passed", "dropped", "dropped", "passed"]);
  });

  test("unicast does not count, known or unknown, and other ports have their own limit, or none", () => {
    const send = sender();
    for (let n = 0; n < 10; n++) {
      expect(send(to("0A-00-00-00-00-02"), 1000n)).toBe("passed");
      expect(send(to("0A-00-00-00-00-99"), 1000n)).toBe("passed");
      expect(send(to(BROADCAST, "0A-00-00-00-00-02"), 1000n, "host1/Free")).toBe("passed");
    }
    expect(send(to(BROADCAST), 1000n)).toBe("passed");
  });

  test("a frame that is dropped for an earlier reason does not count", () => {
    const send = sender();
    for (let n = 0; n < 10; n++) expect(send(to(BROADCAST, "0A-00-00-00-00-77"), 1000n)).toBe("dropped");
    expect([1, 2, 3, 4].map(() => send(to(BROADCAST), 1000n))).toEqual(["passed", "passed", "passed", "dropped"]);
  });

  test("a clock that goes back opens no new second", () => {
    const send = sender();
    expect([2000n, 2000n, 2000n, 1500n, 3000n].map((ms) => send(to(BROADCAST), ms))).toEqual([
      "passed",
      "passed",
      "passed",
      "dropped",
      "passed",
    ]);
  });

  test("explaining counts nothing", () => {
    const lab = createLab(LAB);
    for (let n = 0; n < 10; n++) expect(lab.explain("host1/Loud", to(BROADCAST))[0]!.verdict).toBe("forward");
    expect(lab.send("host1/Loud", to(BROADCAST))[0]!.verdict).toBe("delivered");
  });

  test("the drops have Windows' name, and the lab one thread", () => {
    const lab = createLab(LAB);
    for (let n = 0; n < 5; n++) lab.send("host1/Loud", to(BROADCAST));
    expect(lab.counters().reasons).toMatchObject([
      {
        port: "host1/Loud",
        reason: { reason: "STORM_LIMIT", windowsReason: "StormLimit", windowsNumber: 30 },
        count: 2,
      },
    ]);
    const plain = new Lab(load(LAB).lab, { kernel: kernelModule() });
    expect(plain.keepsStateAcrossFlows).toMatch(/^storm limits on host1/);
  });

  test("bursts of any size lose the same frames", () => {
    const play = (burst: number): string[] => {
      const lab = new Lab(load(LAB).lab, { kernel: kernelModule() });
      const { engine } = lab;
      const { memory } = engine;
      const buffer = memory.allocate(256 * 64);
      const ends: { sequence: number; text: string }[] = [];
      for (let first = 0; first < 600; first += burst) {
        const count = Math.min(burst, 600 - first);
        for (let n = 0; n < count; n++) {
          const sequence = first + n;
          const bytes = to(sequence % 3 ? BROADCAST : "0A-00-00-00-00-02", MAC, sequence & 255);
          memory.bytes.set(bytes, buffer + n * 64);
          engine.setRow(
            n,
            buffer + n * 64,
            bytes.length,
            lab.port("host1/Loud")!,
            BigInt(sequence) * 7n * MS,
            sequence,
          );
        }
        for (const _ of engine.run(count)) {
          for (const { sequence, verdict, reason } of engine.lastBurst()) {
            ends.push({ sequence, text: `${sequence} ${verdict} ${reasonName(reason)}` });
          }
        }
      }
      return ends.sort((a, b) => a.sequence - b.sequence).map(({ text }) => text);
    };
    const once = play(1);
    expect(once.filter((text) => text.endsWith("STORM_LIMIT"))).toHaveLength(400 - 5 * 3);
    for (const burst of [5, 64, 256]) expect(play(burst)).toEqual(once);
  });
});
