/**
 * How long a flow entry may be idle before it gives its place back (`kernel/assembly/ageing.ts`).
 *
 * An entry is a cached decision, so the times are those of caches: Open vSwitch lets datapath flows idle for 10 s (`max-idle`),
 * Linux's flow table offload for 30 s (`nf_flowtable_tcp_timeout`, `nf_flowtable_udp_timeout`). The minutes and days of
 * connection tracking are for state that cannot be made again.
 */
import { CONTROL, FLOW_STATE } from "../packet/layout.js";
import type { PacketMemory } from "../packet/memory.js";

/** What is known about a flow from its packets. */
export type FlowState = "new" | "tcpEstablished" | "tcpClosing" | "udp" | "icmp" | "other";

/** Milliseconds by state; Infinity, or anything beyond 24 days: for ever. */
export type IdleTimeouts = Readonly<Record<FlowState, number>>;

export const DEFAULT_IDLE_TIMEOUTS: IdleTimeouts = {
  new: 10_000,
  tcpEstablished: 30_000,
  tcpClosing: 1_000,
  udp: 30_000,
  icmp: 10_000,
  other: 10_000,
};

const STATE_NUMBERS = {
  new: FLOW_STATE.NEW,
  tcpEstablished: FLOW_STATE.TCP_ESTABLISHED,
  tcpClosing: FLOW_STATE.TCP_CLOSING,
  udp: FLOW_STATE.UDP,
  icmp: FLOW_STATE.ICMP,
  other: FLOW_STATE.OTHER,
} as const satisfies Record<FlowState, number>;
const STATES = Object.keys(STATE_NUMBERS) as FlowState[];

/** The state with this FLOW_STATE number. */
export const flowStateOf = (state: number): FlowState => STATES.find((name) => STATE_NUMBERS[name] === state)!;

/** The clock is compared by signed differences of 32 bits. */
const FOR_EVER_MS = 0x7fff_ffff;

/** Tells the kernel; `DEFAULT_IDLE_TIMEOUTS` fills the gaps. */
export function writeIdleTimeouts(memory: PacketMemory, timeouts: Partial<IdleTimeouts>): void {
  for (const state of STATES) {
    const ms = timeouts[state] ?? DEFAULT_IDLE_TIMEOUTS[state];
    memory.setU32(CONTROL.IDLE_TIMEOUTS + STATE_NUMBERS[state] * 4, Math.min(ms, FOR_EVER_MS));
  }
}
