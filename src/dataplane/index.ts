/** The data plane: moves packets. */
export * from "./drop-reasons.js";
export * from "./engine.js";
export type { FlowEntryView } from "./flow/index.js";
export type { Companions, TimedEvent } from "./timeline/index.js";
export * from "./trace.js";
