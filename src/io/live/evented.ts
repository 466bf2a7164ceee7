/** Interfaces whose frames come through the event loop, one callback each, and not from a descriptor that can be polled. */

import { isMainThread } from "node:worker_threads";
import { liveErrorAt } from "./errors.js";
import type { LiveInterface } from "./live-interface.js";

export interface EventedInterface extends LiveInterface {
  /**
   * Called when a frame has come where none waited. `isFull`: they had better be received now, within the call; otherwise further
   * ones will be dropped.
   */
  onArrival: ((isFull: boolean) => void) | null;
}

/** Frames that wait when an interface asks for immediate attention. */
export const PRESSING = 2048;

/** The packages behind these interfaces serve the first thread of a process only. */
export function requireMainThread(uri: string): void {
  if (!isMainThread)
    throw liveErrorAt("LIVE_UNSUPPORTED", uri, "can be opened in the main thread only, not in a worker");
}
