/**
 * What happens to a lab while frames pass: the `events:` of a fabric file, as plain data. Times are those of the frames, so a capture is
 * replayed with the same convergence, to the same bytes, every time.
 */
import type { LookupRecord } from "../dataplane/policy/index.js";

/** What one record is found by; MAC address and type only where several may share the rest. */
export type RecordKey = Pick<LookupRecord, "virtualSubnetID" | "customerAddress"> &
  Partial<Pick<LookupRecord, "macAddress" | "type">>;

export type LabChange =
  /** New-, Set- and Remove-NetVirtualizationLookupRecord, on one host, or with null on every host. */
  | { readonly kind: "recordAdded" | "recordChanged"; readonly host: string | null; readonly record: LookupRecord }
  | { readonly kind: "recordRemoved"; readonly host: string | null; readonly record: RecordKey }
  /** Live migration: the VM stops on one host and goes on, `downtimeMs` later, on another; then its records are rewritten everywhere. */
  | {
      readonly kind: "vmMoved";
      readonly from: string;
      readonly vm: string;
      readonly to: string;
      readonly downtimeMs: number;
    }
  | { readonly kind: "linkDown" | "linkUp"; readonly host: string; readonly nic: string }
  /**
   * The host stops, and loses its policy, which is not persistent. It is back `downtimeMs` later; management writes its policy again
   * `restoreMs` after that, with what has changed by then, or with null never. A reboot during a reboot takes the place of the first.
   */
  | {
      readonly kind: "hostRebooted";
      readonly host: string;
      readonly downtimeMs: number;
      readonly restoreMs: number | null;
    };

export interface TimedChange {
  /** Milliseconds after the first frame. */
  readonly atMs: number;
  readonly change: LabChange;
}
