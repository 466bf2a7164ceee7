/**
 * The library door: `import { createLab } from "hnv"`.
 *
 * What this file exports follows semantic versioning from 1.0 on; until then a minor version may change it, and CHANGELOG.md
 * says so. Everything else in the package is internal, whatever its files export.
 *
 *     const lab = loadLab("lab.yaml");
 *     for (const { verdict, port, frame } of lab.send("host1/Blue1", bytes)) console.log(verdict, port, dissect(frame));
 *     console.log(lab.explain("host1/Blue1", bytes));
 *
 * Captures: `for await (const { data } of readFrames("vm.pcap"))` reads; `createCapture` begins a file that `writeFrame`
 * fills and `finish` names.
 */
export { checkLab, type Finding, loadFabricFile, mtuTable, type Problem, pathMtu } from "./control/index.js";
export { REASON_COUNT, Reason, type ReasonName, reasonName, reasonText } from "./dataplane/index.js";
export type { HostPolicy, HostPolicyChange, LookupRecord } from "./dataplane/policy/index.js";
export { PolicyError } from "./dataplane/policy/index.js";
export type { ControlCounters } from "./dataplane/slowpath/index.js";
export {
  Address,
  dissect,
  formatAddress,
  formatMac,
  formatPrefix,
  hexDump,
  type Mac,
  type Prefix,
  parseAddress,
  parseMac,
  parsePrefix,
  type Vsid,
} from "./dataplane/wire/index.js";
export {
  type CapturedFrame,
  CaptureError,
  type CaptureWriter,
  type CaptureWriterOptions,
  createCapture,
  type FrameDetails,
  readFrames,
} from "./io/index.js";
export {
  type CreateLabOptions,
  createLab,
  EmulatedLab,
  type Explanation,
  FabricError,
  type FrameAtPort,
  type FrameEnd,
  type LabCounters,
  type LabEvent,
  loadLab,
  type NextHopQuestion,
  type NoSelectedNextHop,
  type ReasonText,
  type SelectedNextHop,
} from "./library.js";
export type { LabChange } from "./vswitch/index.js";
