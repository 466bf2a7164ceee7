/** The data plane: moves packets. */
export * from "./drop-reasons.js";
export * from "./engine.js";
export * from "./trace.js";
