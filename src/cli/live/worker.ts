/** A thread of a live run that does nothing but forward. */
import { parentPort, workerData } from "node:worker_threads";
import { forward } from "./forward.js";
import type { LiveJob } from "./messages.js";
import { BlockingPause } from "./pause.js";

const port = parentPort!;
await forward(
  workerData as LiveJob,
  (message) => port.postMessage(message),
  (interfaces) => new BlockingPause(interfaces),
);
port.close();
