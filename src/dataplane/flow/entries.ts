/** Reads flow entries back out of the kernel's memory, for dumps and live views. */
import { ACTION, CONTROL, ENTRY, ENTRY_SIZE, KEY, KIND, VERDICT } from "../packet/layout.js";
import type { PacketMemory } from "../packet/memory.js";
import type { PortIndex } from "../transposition/transposition.js";

export interface FlowEntryView {
  readonly ingress: PortIndex;
  readonly kind: keyof typeof KIND;
  readonly verdict: keyof typeof VERDICT | "FORWARD";
  readonly output: PortIndex | null;
  readonly reason: number;
  readonly packets: number;
  readonly bytes: number;
  readonly lastUsedMs: number;
}

const KIND_NAMES = Object.keys(KIND) as (keyof typeof KIND)[];
const VERDICT_NAMES = Object.keys(VERDICT) as (keyof typeof VERDICT)[];

/** Every entry that is in the table, in no particular order. */
export function* flowEntries(memory: PacketMemory): IterableIterator<FlowEntryView> {
  const end = memory.u32(CONTROL.ENTRY_UNUSED);
  for (let entry = memory.u32(CONTROL.ENTRIES); entry < end; entry += ENTRY_SIZE) {
    const kind = memory.bytes[entry + ENTRY.KEY + KEY.KIND]!;
    if (memory.u32(entry + ENTRY.HASH) === 0 || kind === KIND.UNKEYED) continue; // given back, or a further output
    const verdict = (memory.u32(entry + ENTRY.ACTION) & ACTION.VERDICT_MASK) >>> ACTION.VERDICT_SHIFT;
    const forwards = verdict === VERDICT.PENDING;
    yield {
      ingress: memory.u16(entry + ENTRY.KEY + KEY.PORT) as PortIndex,
      kind: KIND_NAMES[kind]!,
      verdict: forwards ? "FORWARD" : VERDICT_NAMES[verdict]!,
      output: forwards ? (memory.u16(entry + ENTRY.OUTPUT) as PortIndex) : null,
      reason: memory.bytes[entry + ENTRY.REASON]!,
      packets: memory.count(entry + ENTRY.PACKETS),
      bytes: memory.count(entry + ENTRY.BYTES),
      lastUsedMs: memory.u32(entry + ENTRY.LAST_USED_MS),
    };
  }
}
