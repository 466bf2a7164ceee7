/** The host around the engine, and labs of hosts. Builds from plain settings; knows no file. */
export type { LabChange, RecordKey, TimedChange } from "./changes.js";
export { Lab, type LabOptions, type ProviderAddressState, providerPortName } from "./lab.js";
export * from "./settings.js";
