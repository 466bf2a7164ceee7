import { expect, test } from "vitest";
import { ACTION } from "../../../src/dataplane/packet/index.js";

test("no two flags of an entry's action share a bit, nor a field's", () => {
  const {
    KEEP_MASK,
    VERDICT_MASK,
    VERDICT_SHIFT: _,
    KEY_CHUNKS_MASK,
    KEY_CHUNKS_SHIFT: __,
    CLASS_SHIFT,
    ...flags
  } = ACTION;
  const masks = [KEEP_MASK, VERDICT_MASK, KEY_CHUNKS_MASK, (0xff << CLASS_SHIFT) >>> 0, ...Object.values(flags)];
  const sum = masks.reduce((total, mask) => total + mask, 0);
  const union = masks.reduce((all, mask) => (all | mask) >>> 0, 0);
  expect(sum).toBe(union);
});
