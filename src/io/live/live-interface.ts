/**
 * What a port of the lab may be bound to outside of captures: something that takes and gives frames while the program runs.
 *
 * Frames lie in the packet memory, described by rows (`dataplane/packet/layout.ts`). One round of the runtime is
 *
 *     receive ─► engine.process ─► send … flush, at whatever interface each frame left ─► release
 *
 * Nothing here waits: the runtime polls the descriptors of all interfaces together when none had anything to do.
 */
import type { CheckerReport } from "./generator-checker.js";

/**
 * How several threads share a device: each opens it, and the system hands every frame to one of them, both directions of a flow
 * to the same.
 */
export interface LiveShare {
  readonly workers: number;
  /** Tells this program's sockets from those of others; below 65,536. */
  readonly group: number;
}

export const UNSHARED: LiveShare = { workers: 1, group: 0 };

export interface LiveInterface {
  /** As the user wrote it: `afpacket:eth1`. */
  readonly uri: string;
  /** Longest IP packet that it carries, in octets; null where there is no such limit. */
  readonly mtu: number | null;
  /** Readable when frames wait; null for what is always ready (a generator); −1 while nothing can come (the device is gone). */
  readonly descriptor: number | null;
  /** False once nothing will come any more (a capture at its end). A NIC that is down stays open. */
  readonly isOpen: boolean;
  /** Why it is no longer open, if that was before its time. */
  readonly damage?: Error | undefined;

  /**
   * Describes frames that have arrived in the rows at address `rows`, at most `max`: OFFSET, LENGTH, HEADROOM, TIMESTAMP
   * (nanoseconds since the epoch) and MISSING. They stay where they are until `release`. `nowNs` is the time of all of them, but for captures, whose
   * frames arrive when they are due.
   */
  receive(rows: number, max: number, nowNs: bigint): number;
  /** The frames of the last `receive` are done with. */
  release(): void;

  /** Takes a frame of the packet memory to be sent; false if there is no room, which it also counts. */
  send(offset: number, length: number): boolean;
  /** Hands over to the kernel what was taken. */
  flush(): void;

  /** Called about once a second, and when the descriptor reports an error: looks whether what it stands on is still there. */
  check?(): void;
  counters(): LiveCounters;
  /** Gives back everything, and restores what was changed at the interface. */
  close(): void;
}

export interface SlotCounts {
  readonly total: number;
  readonly free: number;
  /** The kernel has them, to receive into. */
  readonly filling: number;
  /** On their way out; none are while nothing is being sent. */
  readonly sending: number;
}

export interface LiveCounters {
  readonly received: number;
  readonly sent: number;
  /** Frames that arrived but were lost before they could be received: ring full, cut, or malformed by an offload. */
  readonly receiveDrops: number;
  /** Frames that found no room, or that the system refused. */
  readonly sendDrops: number;
  /** What else happened, by name: `down` 2. */
  readonly events: Readonly<Record<string, number>>;
  /** Of memory that is shared with the kernel: who has its slots. */
  readonly slots?: SlotCounts;
  /** Of a generator that frames were sent to: what they went through. */
  readonly checker?: CheckerReport;
}
