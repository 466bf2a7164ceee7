/**
 * Packets by receive queue, without a counter that packets would have to touch: a flow has one queue, and its entry counts its packets
 * anyway. What an entry has counted is added up when it leaves the table (`assembly/flow-table.ts`), and packets decided for themselves
 * when they are. Queue 0 has what entered the port and stands in no other.
 */
import { CONTROL, ENTRY, ENTRY_SIZE, KEY, QUEUES_PER_PORT } from "../packet/layout.js";
import type { PacketMemory } from "../packet/memory.js";
import type { PortIndex } from "../transposition/transposition.js";

const COUNTER_SIZE = 8;

/** Makes room for the counters of so many ports; an engine of which no port has several queues does not. */
export function allocateQueueCounts(memory: PacketMemory, ports: number): void {
  memory.setU32(CONTROL.QUEUE_COUNTS, memory.allocate(ports * QUEUES_PER_PORT * COUNTER_SIZE));
}

/** A packet that no entry of the table has counted. */
export function countQueued(memory: PacketMemory, port: PortIndex, queue: number): void {
  const at = counterOf(memory, port, queue);
  memory.setU64(at, memory.u64(at) + 1n);
}

/** Of `received` packets that have entered the port: how many stood in each of its queues. Looks at every entry of the table. */
export function queueCounts(memory: PacketMemory, port: PortIndex, queues: number, received: number): number[] {
  const counts = Array.from({ length: queues }, (_, queue) => memory.count(counterOf(memory, port, queue)));
  for (let entry = memory.u32(CONTROL.ENTRIES); entry < memory.u32(CONTROL.ENTRY_UNUSED); entry += ENTRY_SIZE) {
    const queue = memory.bytes[entry + ENTRY.QUEUE]!;
    if (queue === 0 || memory.u32(entry + ENTRY.HASH) === 0) continue; // counted below, or given back
    if (memory.u16(entry + ENTRY.KEY + KEY.PORT) === port) counts[queue]! += memory.count(entry + ENTRY.PACKETS);
  }
  counts[0] = received - counts.reduce((sum, count) => sum + count, 0);
  return counts;
}

const counterOf = (memory: PacketMemory, port: PortIndex, queue: number): number =>
  memory.u32(CONTROL.QUEUE_COUNTS) + (port * QUEUES_PER_PORT + queue) * COUNTER_SIZE;
