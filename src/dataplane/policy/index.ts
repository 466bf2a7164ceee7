/** The door of policy: what a host is told to do, as immutable snapshots, with the limits of the cmdlets that write it. */
export * from "./customer-routes.js";
export * from "./host-policy.js";
export { LookupRecords, LookupRecordsBuilder, type LookupRecordTexts } from "./lookup-records.js";
export * from "./path-mtus.js";
export * from "./policy.js";
export * from "./provider-network.js";
export * from "./stamps.js";
export * from "./validate.js";
