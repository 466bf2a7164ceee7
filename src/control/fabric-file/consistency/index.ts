/** How the parts of a fabric file agree with each other. Every mistake here makes the lab impossible to build. */
export type { Checking } from "./context.js";
export { addressKey } from "./context.js";
export { adapterPortName, carriedIds, isolationPortName, listedIds, vsidsOf } from "./names.js";

import { checkBuiltInGateways } from "./built-in-gateways.js";
import type { Checking } from "./context.js";
import { checkEvents } from "./events.js";
import { checkGateways } from "./gateways.js";
import { checkNames } from "./names.js";
import { checkProvider } from "./provider.js";
import { checkRecords } from "./records.js";
import { checkTenants } from "./tenants.js";

export function checkConsistency(checking: Checking): void {
  checkNames(checking);
  const subnets = checkTenants(checking);
  checkGateways(checking, subnets);
  checkBuiltInGateways(checking);
  checkProvider(checking);
  checkRecords(checking);
  checkEvents(checking);
}
