/** What the forwarding loop of a live run and whoever started it say to each other. Frames never come by here. */
import type { TimedEvent } from "../../dataplane/index.js";
import type { PortIndex } from "../../dataplane/transposition/index.js";
import type { Mac } from "../../dataplane/wire/index.js";
import type { CaptureFormat, LiveCounters, LiveShare } from "../../io/index.js";
import type { Lab, ProviderAddressState } from "../../vswitch/index.js";
import type { LabRecipe } from "../engines.js";
import type { ExitStatus } from "../errors.js";
import type { Counters, controlResults } from "../results.js";
import type { CompanionsJob } from "./companions.js";

/** Given to the loop at its birth. */
export interface LiveJob {
  readonly recipe: LabRecipe;
  /** With the MAC address of ports that are NICs. */
  readonly bindings: readonly { readonly port: PortIndex; readonly uri: string; readonly mac: Mac | undefined }[];
  /** Which of the bindings are captured, and where the pieces go. */
  readonly captures: readonly {
    readonly binding: number;
    readonly format: CaptureFormat;
    readonly queue: SharedArrayBuffer;
  }[];
  /** `CaptureJob.bell`. */
  readonly bell: SharedArrayBuffer;
  /** This thread's number, from 0. */
  readonly worker: number;
  readonly share: LiveShare;
  /** Null if there is one thread only. */
  readonly companions: CompanionsJob | null;
  /** Never sleeps. */
  readonly busyPoll: boolean;
  /** One 32-bit word, shared: not 0 ends the run. */
  readonly stop: SharedArrayBuffer;
}

/** All counters of one moment. */
export interface LiveState {
  /** When time began for the lab; null before it. */
  readonly startMs: number | null;
  readonly elapsedMs: number;
  readonly counters: Counters;
  /** In the order of the bindings. */
  readonly interfaces: readonly LiveCounters[];
  /** Theirs now. */
  readonly mtus: readonly (number | null)[];
  /** Answers that responders would have given, had their port not been over its limit. */
  readonly heldAnswers: number;
  /** What threads have not told each other, since too much waited. */
  readonly untold: number;
  /** What nodes told since the state before. */
  readonly told: readonly TimedEvent[];
  /** Of hosts that have sent or obeyed control messages. */
  readonly controlled: ReturnType<typeof controlResults>;
  /** Of hosts that learn records. */
  readonly learning: ReturnType<Lab["learning"]>;
  /** Of hosts that are in provider groups. */
  readonly memberships: ReturnType<Lab["memberships"]>;
  /** Of hosts with a wire. */
  readonly providerAddresses: readonly ProviderAddressState[];
  /** Frames that were given to be written, and that found no room, in the order of the job. */
  readonly captures: readonly { readonly frames: number; readonly lost: number }[];
  /** Of several threads: what came in to each. */
  readonly inByWorker?: readonly number[];
}

export type FromForwarder =
  /** Everything is bound. */
  | { readonly kind: "bound"; readonly mtus: readonly (number | null)[] }
  /** Once a second. */
  | { readonly kind: "state"; readonly state: LiveState }
  /** The last word: drained and given back. `damage` says what ended before its time. */
  | { readonly kind: "ended"; readonly state: LiveState; readonly damage: readonly string[] }
  /** Could not begin or go on, for a reason that people can do something about. */
  | { readonly kind: "failed"; readonly exitStatus: ExitStatus; readonly lines: readonly string[] };
