/** The door of `transposition`: what a decision is, and the plain interpreter that carries it out. */
export { apply } from "./apply.js";
export { readdress } from "./readdress.js";
export type {
  AddressRewrite,
  Decision,
  DscpMode,
  EcnMode,
  Effect,
  Emission,
  EthernetFields,
  Forward,
  NodeIndex,
  NvgrePush,
  PortIndex,
  Stamp,
  Verdict,
} from "./transposition.js";
