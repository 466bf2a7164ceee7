import type { HostPolicyChange } from "../../policy/host-policy.js";
import type { HostPolicy } from "../../policy/policy.js";
import type { NodeWork } from "../layer.js";
import type { LocalPorts } from "./local-ports.js";

/** What a store can do between two ticks, besides what every node can. */
export interface NveWork extends NodeWork {
  /** As the changes so far have left it. */
  readonly policy: HostPolicy;
  readonly ports: LocalPorts;
  /** Changes the host's policy, and moves the stamps of what changed. Throws a PolicyError where a cmdlet would refuse. */
  changePolicy(change: HostPolicyChange): void;
}
