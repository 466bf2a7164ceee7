import { describe, expect, it } from "vitest";
import {
  ECN_CE,
  ECN_DROP,
  ECN_ECT0,
  ECN_ECT1,
  ECN_NOT_ECT,
  innerEcn,
  isEcnAnomaly,
  outerEcn,
} from "../../../src/dataplane/wire/ecn.js";

const ALL = [ECN_NOT_ECT, ECN_ECT1, ECN_ECT0, ECN_CE];

describe("ECN through the tunnel", () => {
  it("RFC 3168 §5: the code points", () => {
    expect(ALL).toEqual([0b00, 0b01, 0b10, 0b11]);
  });

  it("RFC 6040 §4.1: normal mode copies, compatibility mode clears", () => {
    expect(ALL.map((inner) => outerEcn("normal", inner))).toEqual(ALL);
    expect(ALL.map((inner) => outerEcn("compat", inner))).toEqual([0, 0, 0, 0]);
  });

  it("RFC 3168 §9.1.1: Linux hides congestion experienced from the outer header", () => {
    expect(ALL.map((inner) => outerEcn("linux", inner))).toEqual([ECN_NOT_ECT, ECN_ECT1, ECN_ECT0, ECN_ECT0]);
  });

  // In the order of RFC 6040's figure 4: columns Not-ECT, ECT(0), ECT(1), CE.
  const COLUMNS = [ECN_NOT_ECT, ECN_ECT0, ECN_ECT1, ECN_CE];
  it.each([
    ["Not-ECT", ECN_NOT_ECT, [ECN_NOT_ECT, ECN_NOT_ECT, ECN_NOT_ECT, ECN_DROP]],
    ["ECT(0)", ECN_ECT0, [ECN_ECT0, ECN_ECT0, ECN_ECT1, ECN_CE]],
    ["ECT(1)", ECN_ECT1, [ECN_ECT1, ECN_ECT1, ECN_ECT1, ECN_CE]],
    ["CE", ECN_CE, [ECN_CE, ECN_CE, ECN_CE, ECN_CE]],
  ])("RFC 6040 §4.2: what goes on when %s arrives inside", (_, inner, expected) => {
    expect(COLUMNS.map((outer) => innerEcn(outer, inner))).toEqual(expected);
  });

  it("what any mode makes comes out as it went in, and is no anomaly", () => {
    for (const mode of ["normal", "compat", "linux"] as const) {
      for (const inner of ALL) {
        expect(innerEcn(outerEcn(mode, inner), inner)).toBe(inner);
        expect(isEcnAnomaly(outerEcn(mode, inner), inner)).toBe(false);
      }
    }
  });

  it("marks over Not-ECT, ECT(0) over ECT(1) and ECT(1) over CE are anomalies", () => {
    const anomalies = ALL.flatMap((outer) =>
      ALL.filter((inner) => isEcnAnomaly(outer, inner)).map((inner) => [outer, inner]),
    );
    expect(anomalies).toEqual([
      [ECN_ECT1, ECN_NOT_ECT],
      [ECN_ECT1, ECN_CE],
      [ECN_ECT0, ECN_NOT_ECT],
      [ECN_ECT0, ECN_ECT1],
      [ECN_CE, ECN_NOT_ECT],
    ]);
  });
});
