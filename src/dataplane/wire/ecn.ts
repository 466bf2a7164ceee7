/**
 * Explicit congestion notification through tunnels: RFC 6040, which RFC 9601 extends to tunnels with a shim such as GRE.
 *
 * The ECN field is the low two bits of TOS or traffic class (RFC 3168 §5). The field of frames that are not IP counts
 * as Not-ECT on the way in and is left alone on the way out.
 */
export const ECN_NOT_ECT = 0;
export const ECN_ECT1 = 1;
export const ECN_ECT0 = 2;
export const ECN_CE = 3;

/** `normal` and `compat` are RFC 6040 §4.1's modes; `linux` hides CE from the outer header, as RFC 3168 §9.1.1 had it. */
export type EcnEncapsulation = "normal" | "compat" | "linux";

/** The outer field for an inner one. */
export function outerEcn(mode: EcnEncapsulation, inner: number): number {
  switch (mode) {
    case "normal":
      return inner;
    case "compat":
      return ECN_NOT_ECT;
    case "linux":
      return inner === ECN_CE ? ECN_ECT0 : inner;
  }
}

/** The packet must be dropped: congestion was experienced and its transport could not hear of it. */
export const ECN_DROP = -1;

/** RFC 6040 §4.2, figure 4; rows by the inner field as it arrived, columns by the outer, both in the order 00 01 10 11. */
const DECAPSULATION = [
  [ECN_NOT_ECT, ECN_NOT_ECT, ECN_NOT_ECT, ECN_DROP],
  [ECN_ECT1, ECN_ECT1, ECN_ECT1, ECN_CE],
  [ECN_ECT0, ECN_ECT1, ECN_ECT0, ECN_CE],
  [ECN_CE, ECN_CE, ECN_CE, ECN_CE],
] as const;

/** The inner field that goes on, or ECN_DROP. */
export const innerEcn = (outer: number, inner: number): number => DECAPSULATION[inner]![outer]!;

/**
 * Combinations that no RFC 6040 sender makes, worth counting: any mark over an inner Not-ECT, ECT(0) over ECT(1), and
 * ECT(1) over CE.
 */
export const isEcnAnomaly = (outer: number, inner: number): boolean =>
  (inner === ECN_NOT_ECT && outer !== ECN_NOT_ECT) ||
  (inner === ECN_ECT1 && outer === ECN_ECT0) ||
  (inner === ECN_CE && outer === ECN_ECT1);
