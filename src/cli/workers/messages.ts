/** What the main thread and a worker say to each other. Frames do not travel in messages: they lie in the shared memory. */
import type { PortIndex } from "../../dataplane/transposition/index.js";
import type { CaptureReader, Encoded, Encoding } from "../../io/index.js";
import type { BurstLimits } from "../arrivals.js";
import type { EngineRecipe } from "../engines.js";
import type { Counters } from "../results.js";

/** Given to a worker at its birth. */
export interface Job {
  /** Shared: the captures' buffers, and the slots. */
  readonly memory: WebAssembly.Memory;
  readonly recipe: EngineRecipe;
  /** Where the input's frames lie, one region per capture. */
  readonly buffers: readonly CaptureReader["buffers"][];
  readonly outputs: readonly WorkerOutput[];
  readonly slots: readonly SlotPlaces[];
  readonly limits: BurstLimits;
  /** Added to the first IPv4 identification of every node, so that workers do not all count through the same numbers. */
  readonly identificationOffset: number;
}

/** What leaves at these ports goes to one file. */
export interface WorkerOutput {
  readonly ports: readonly PortIndex[];
  readonly gapBytes: number;
  readonly encoding: Encoding | null;
}

/** Addresses in the shared memory of what belongs to one batch. */
export interface SlotPlaces {
  readonly rows: number;
  /** STREAM blocks, one per output. */
  readonly streams: readonly number[];
}

/** For each output its stream's records, or null where the stream holds frames that are still to be encoded, or none. */
export type EncodedStreams = readonly (Encoded | null)[];

export type ToWorker =
  /** Frames in the first `count` rows of a slot. */
  | { readonly kind: "batch"; readonly slot: number; readonly count: number }
  /** The streams of the slot are empty again. */
  | { readonly kind: "go on" }
  | { readonly kind: "end" };

export type FromWorker =
  /** What the first `rowCount` frames of the batch became lies in the streams of the slot. If it is not all, the worker waits. */
  | { readonly kind: "part"; readonly rowCount: number; readonly isLast: boolean; readonly encoded: EncodedStreams }
  | { readonly kind: "counters"; readonly counters: Counters };
