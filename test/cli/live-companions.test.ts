/** How forwarding threads tell each other effects: both ends in one thread. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { LiveCompanions, makeCompanions } from "../../src/cli/live/companions.js";
import type { Effect, NodeIndex } from "../../src/dataplane/transposition/index.js";
import { Poller } from "../../src/io/index.js";
import { system } from "../../src/io/live/system.js";

const NODE = 0 as NodeIndex;
const effect = (number: number): Effect => ({ kind: "test", number }) as Effect;

let crew: ReturnType<typeof makeCompanions> | undefined;
let companions: readonly LiveCompanions[] = [];
afterEach(() => {
  for (const one of companions) one.close();
  crew?.close();
});

function make(count: number): readonly LiveCompanions[] {
  crew = makeCompanions(count);
  companions = crew.jobs.map((job) => new LiveCompanions(job));
  return companions;
}

function heardBy(companion: LiveCompanions): Effect[] {
  const heard: Effect[] = [];
  companion.hear((_, effect) => heard.push(effect));
  return heard;
}

/** Would a thread that sleeps for its sake wake up? */
function wakes(companion: LiveCompanions): boolean {
  const began = performance.now();
  new Poller([companion]).wait(50);
  return performance.now() - began < 40;
}

const isLinux = process.platform === "linux" && ["x64", "arm64"].includes(process.arch);

describe.runIf(isLinux)("companions", () => {
  test("what one tells all others hear, in its order and once", () => {
    const [first, second, third] = make(3) as [LiveCompanions, LiveCompanions, LiveCompanions];
    for (let number = 0; number < 100; number++) first.tell(NODE, effect(number));
    third.tell(NODE, effect(100));
    const all = Array.from({ length: 100 }, (_, number) => effect(number));
    expect(heardBy(second)).toEqual([...all, effect(100)]);
    expect(heardBy(third)).toEqual(all);
    expect(heardBy(first)).toEqual([effect(100)]);
    expect([first, second, third].map(heardBy)).toEqual([[], [], []]);
    expect([first, second, third].map(({ isSpeaker }) => isSpeaker)).toEqual([true, false, false]);
  });

  test("a thread that sleeps is woken, and sleeps again when it has heard all", () => {
    const [first, second] = make(2) as [LiveCompanions, LiveCompanions];
    expect(wakes(second)).toBe(false);
    first.tell(NODE, effect(1));
    first.tell(NODE, effect(2));
    expect(wakes(second)).toBe(true);
    expect(wakes(first)).toBe(false);
    expect(heardBy(second)).toHaveLength(2);
    expect(wakes(second)).toBe(false);
    first.tell(NODE, effect(3));
    expect(wakes(second)).toBe(true);
  });

  test("a thread that has heard before it was woken does not stay awake for it", () => {
    const [first, second] = make(2) as [LiveCompanions, LiveCompanions];
    const { countEvent } = system();
    vi.spyOn(system(), "countEvent").mockImplementationOnce((descriptor) => {
      expect(heardBy(second)).toHaveLength(1);
      countEvent(descriptor);
    });
    first.tell(NODE, effect(1));
    wakes(second);
    expect(heardBy(second)).toEqual([]);
    expect(wakes(second)).toBe(false);
  });

  test("what is told while a thread hears others is heard as well, or wakes it", () => {
    const [first, second, third] = make(3) as [LiveCompanions, LiveCompanions, LiveCompanions];
    third.tell(NODE, effect(1));
    third.tell(NODE, effect(2));
    wakes(first);
    const heard: Effect[] = [];
    first.hear((_, effect_) => {
      if (heard.length === 0) second.tell(NODE, effect(3));
      heard.push(effect_);
    });
    expect(heard.length === 3 || wakes(first)).toBe(true);
  });

  test("who does not hear is told so much and no more; what was not told is counted, and others hear it", () => {
    const [first, second, third] = make(3) as [LiveCompanions, LiveCompanions, LiveCompanions];
    for (let number = 0; number < 65_536; number++) {
      first.tell(NODE, effect(number));
      if (number % 1000 === 0) heardBy(third);
    }
    heardBy(third);
    first.tell(NODE, effect(65_536));
    expect(first.untold).toBe(1);
    expect(heardBy(third)).toEqual([effect(65_536)]);
    expect(heardBy(second).at(-1)).toEqual(effect(65_535));
    first.tell(NODE, effect(65_537));
    expect(heardBy(second)).toEqual([effect(65_537)]);
  });

  test("what a thread told that has ended holds nobody up", () => {
    const [first, second] = make(2) as [LiveCompanions, LiveCompanions];
    second.tell(NODE, effect(1));
    second.close();
    expect(heardBy(first).length).toBeLessThanOrEqual(1);
    expect(heardBy(first)).toEqual([]);
  });

  test("nobody waits for companions that never come, once the run is to end", () => {
    const [first] = make(2) as [LiveCompanions];
    first.join(new Int32Array([1]));
    expect(first.isSpeaker).toBe(true);
  });
});
