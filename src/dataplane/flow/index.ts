export { type CompileTarget, compileDecision } from "./compile.js";
export { type FlowEntryView, flowEntries } from "./entries.js";
