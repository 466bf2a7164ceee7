import { expect, it } from "vitest";
import { assembleRedirect } from "../../../../src/io/live/xdp/program.js";

it("the program is what clang makes of `return bpf_redirect_map(&map, ctx->rx_queue_index, XDP_PASS)`", () => {
  expect(Buffer.from(assembleRedirect(0x1234)).toString("hex")).toBe(
    [
      "6112100000000000", // r2 = *(u32 *)(r1 + 16)
      "1811000034120000", // r1 = map 0x1234
      "0000000000000000",
      "b703000002000000", // r3 = 2
      "8500000033000000", // call 51
      "9500000000000000", // exit
    ].join(""),
  );
});
