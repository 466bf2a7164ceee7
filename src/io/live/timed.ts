/** Interfaces whose frames come by the clock, and not from somebody else. */
import type { LiveInterface } from "./live-interface.js";

/** Has no descriptor to wait for; tells instead how long one may sleep. */
export interface TimedInterface extends LiveInterface {
  /** When its next frame comes due, on the clock of `receive`; null: now, or nobody knows. Meaningless once it is not open. */
  readonly nextFrameNs: bigint | null;
}
