export { type CompileTarget, compileDecision, writeEnd } from "./compile.js";
export { type FlowEntryView, flowEntries } from "./entries.js";
export {
  DEFAULT_IDLE_TIMEOUTS,
  type FlowState,
  flowStateOf,
  type IdleTimeouts,
  writeIdleTimeouts,
} from "./idle-timeouts.js";
