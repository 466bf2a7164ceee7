/** What a host's layers decide by: its policy and its ports, replaced as a whole whenever either changes. */
import type { HostPolicySnapshot } from "../dataplane/policy/index.js";
import type { NveSnapshot } from "../dataplane/slowpath/index.js";
import type { HostPorts } from "./host-ports.js";

export interface HostSnapshot extends NveSnapshot {
  readonly policy: HostPolicySnapshot;
  readonly ports: HostPorts;
}
