export { type KernelCalls, loadKernel } from "./kernel.js";
