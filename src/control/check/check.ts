/**
 * What is wrong with a lab that can be built: the static mistakes that keep unicast from arriving, each with its place in the file
 * and a cure. Nothing is sent; the tables are asked the questions that packets would ask.
 */
import type { LabSettings } from "../../vswitch/index.js";
import type { FabricDocument } from "../fabric-file/load.js";
import type { Finding } from "../problem.js";
import { checkCombinations } from "./combinations.js";
import { Findings } from "./findings.js";
import { checkFlooding } from "./flooding.js";
import { checkGateways } from "./gateways.js";
import { viewLab } from "./places.js";
import { checkProvider } from "./provider.js";
import { checkRecords } from "./records.js";
import { checkTenants } from "./tenants.js";

/** `lab` is what `document` was loaded into. In the order of the file; `loadFabricFile`'s own findings are not repeated. */
export function checkLab(document: FabricDocument, lab: LabSettings): readonly Finding[] {
  const findings = new Findings(document);
  const view = viewLab(document, lab);
  checkTenants(view, findings);
  checkRecords(view, findings);
  checkCombinations(view, findings);
  checkGateways(view, findings);
  checkFlooding(view, findings);
  checkProvider(view, findings);
  return findings.list();
}
