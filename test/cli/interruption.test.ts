/** Signals while a run waits for its inputs. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it, onTestFinished } from "vitest";
import { Interruption } from "../../src/cli/drive.js";

function interruption(): Interruption {
  const made = new Interruption();
  onTestFinished(() => made.end());
  return made;
}

it("keeps nothing of what has been waited for: inputs come in any number of pieces", async () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const run = interruption();
  const results: WeakRef<object>[] = [];
  for (let piece = 0; piece < 100; piece++) {
    const result = { piece };
    results.push(new WeakRef(result));
    expect(await run.unless(Promise.resolve(result))).toEqual({ piece });
  }
  await new Promise((resolve) => setTimeout(resolve, 10));
  collectGarbage();
  expect(results.filter((result) => result.deref() !== undefined).length).toBeLessThan(5);
});

it("ends the waiting, whether the signal comes before or meanwhile", async () => {
  const run = interruption();
  const never = new Promise<void>(() => {});
  setTimeout(() => process.emit("SIGTERM", "SIGTERM"), 10);
  await expect(run.unless(never)).rejects.toThrow("ended by SIGTERM");
  await expect(run.unless(never)).rejects.toThrow("ended by SIGTERM");
});

it("hands on what the work came to", async () => {
  await expect(interruption().unless(Promise.reject(new Error("the input failed")))).rejects.toThrow(
    "the input failed",
  );
});
