import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import * as layout from "../../../src/io/capture/layout.js";

it("the scanner's constants are those of layout.ts", () => {
  const generated = readFileSync(new URL("../../../src/io/assembly/constants.generated.ts", import.meta.url), "utf8");
  const found = [...generated.matchAll(/^export const (\w+): u32 = (\d+);$/gm)].map(([, name, value]) => [
    name,
    Number(value),
  ]);
  const expected = Object.entries(layout).flatMap(([name, value]) =>
    typeof value === "number"
      ? [[name, value]]
      : Object.entries(value).map(([field, number]) => [`${name}_${field}`, number]),
  );
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
});
