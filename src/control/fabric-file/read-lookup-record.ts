import type { LookupRecord } from "../../dataplane/policy/index.js";
import type { Vsid } from "../../dataplane/wire/index.js";
import { readAddress, readMac } from "./scalars.js";
import type { FabricFile } from "./schema.js";

/** A raw record that the checks have passed. */
export const readLookupRecord = (raw: NonNullable<FabricFile["lookupRecords"]>[number]): LookupRecord => ({
  customerAddress: readAddress(raw.customerAddress)!,
  virtualSubnetID: raw.virtualSubnetID as Vsid,
  macAddress: readMac(raw.macAddress)!,
  providerAddress: readAddress(raw.providerAddress)!,
  rule: raw.rule ?? "TranslationMethodEncap",
  type: raw.type ?? "Static",
  useVmMACAddress: raw.useVmMACAddress ?? false,
  customerID: raw.customerID ?? null,
  context: raw.context ?? null,
  vmName: raw.vmName ?? null,
});
