/** The door of control: fabric files in, labs and findings out. */
export { checkLab } from "./check/check.js";
export { type Cure, curesFor } from "./cures/cures.js";
export { LabKnowledge } from "./cures/lab-knowledge.js";
export { type FabricDocument, type Loaded, loadFabricFile } from "./fabric-file/load.js";
export { API_VERSION, type FabricFile, fabricFileJsonSchema } from "./fabric-file/schema.js";
export { settledLab } from "./fabric-file/settled.js";
export {
  GUEST_MTU,
  type MtuTable,
  mtuTable,
  type PathHop,
  type PathMtu,
  type PathMtuRefusal,
  pathMtu,
  providerMtuFor,
  tunnelOverhead,
} from "./mtu.js";
export { type ModeCost, type MtuMode, modeCosts } from "./mtu-modes.js";
export {
  type Imported,
  type ImportedHost,
  type ImportOptions,
  importScripts,
  type ScriptText,
} from "./powershell/import.js";
export { buildProbe, type Flow } from "./probe.js";
export { type Finding, formatPath, type Path, type Problem, type Severity } from "./problem.js";
export {
  type DomainReach,
  type Endpoint,
  type Gap,
  REACH_LIMITS,
  type ReachLimits,
  reachabilityOf,
} from "./reachability/reachability.js";
export { decodeText } from "./text.js";
