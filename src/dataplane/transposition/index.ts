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
  GrePush,
  NodeIndex,
  NvgrePush,
  OuterHeaders,
  PortIndex,
  Stamp,
  Verdict,
} from "./transposition.js";
