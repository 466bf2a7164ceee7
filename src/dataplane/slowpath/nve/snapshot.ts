/** What the NVE of one host decides by: its policy, the ports that its switch has right now, and what it remembers. */
import type { HostPolicy } from "../../policy/policy.js";
import type { LocalPorts } from "./local-ports.js";
import type { NveState } from "./state.js";

export interface NveSnapshot {
  readonly policy: HostPolicy;
  readonly ports: LocalPorts;
  /** What packets and time have taught; changes only between two ticks. */
  readonly state: NveState;
}
