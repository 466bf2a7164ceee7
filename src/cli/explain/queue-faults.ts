/**
 * What the way of flows says about the receive queues of the lab's NICs: all that one host sends another in one queue, where RSS on the
 * inner header would spread it, has one processor work and the others wait.
 *
 * No capture shows in which queue a frame stood, so this is about NICs as the lab has them, with the fault `hashOnOuterHeader`. A NIC that
 * cannot look inside, by its capabilities, is not at fault: `hnv trace` tells what it hashes, and why.
 */
import type { TraceStep } from "../../dataplane/index.js";
import { parseFrame } from "../../dataplane/packet/index.js";
import { chooseQueue, type NicOffload } from "../../dataplane/slowpath/index.js";
import type { PortIndex } from "../../dataplane/transposition/index.js";
import { formatAddress } from "../../dataplane/wire/index.js";
import type { Lab } from "../../vswitch/index.js";
import { countOf } from "../terminal.js";
import { OFFLOAD_CURES, type OffloadFault } from "./offload-fault.js";

const CODE = "HASH_ON_OUTER_HEADER";
/** From so many flows in one queue on it is no chance: one in 128 where there are two queues. */
const FLOWS_FROM = 8;
/** Flows of a pair of hosts that are told apart, and pairs. */
const FLOWS_MAX = 10_000;
const PAIRS_MAX = 10_000;

/** What one host sends to a NIC of another. */
export interface QueueTally {
  /** Counted by whoever knows the flow's packets. */
  packets: number;
  readonly nic: string;
  readonly sender: string;
  readonly witness: OffloadFault["witness"];
  /** By the hash of their inner headers. */
  readonly flows: Set<number>;
  /** The queues in which they stand, and those in which RSS on the inner header has them. */
  readonly queues: Set<number>;
  readonly spread: Set<number>;
}

interface QueuedNic {
  readonly name: string;
  readonly offload: NicOffload;
  readonly queues: number;
}

export class QueueFaults {
  readonly #nics: ReadonlyMap<PortIndex, QueuedNic>;
  readonly #tallies = new Map<string, QueueTally>();

  constructor(lab: Pick<Lab, "settings" | "port">) {
    const nics = lab.settings.hosts.flatMap(({ name: host, nics }) =>
      nics.map(({ name, offload, rssQueues: queues }) => ({ name: `${host}/${name}`, offload, queues })),
    );
    this.#nics = new Map(nics.map((nic) => [lab.port(nic.name)!, nic]));
  }

  /** Looks at the way of a packet that stands for its flow; returns where its packets are to be counted. */
  look(steps: readonly TraceStep[], witness: OffloadFault["witness"]): readonly QueueTally[] {
    if (steps.every(({ decision }) => decision.queue === undefined)) return NOWHERE;
    return steps.flatMap((step) => this.#lookAt(step, witness) ?? []);
  }

  found(): readonly OffloadFault[] {
    return [...this.#tallies.values()]
      .filter(isFault)
      .map(({ packets, nic, sender, witness, flows, queues, spread }) => {
        const where = `all in receive queue ${[...queues].join()} of ${nic}`;
        const text = `one of ${countOf(flows.size, "flow")}, ${where}, which by their inner headers belong in ${spread.size} queues`;
        return { code: CODE, sender, packets, witness, text, cure: OFFLOAD_CURES[CODE] };
      });
  }

  #lookAt({ port, before, decision }: TraceStep, witness: OffloadFault["witness"]): QueueTally | undefined {
    const nic = this.#nics.get(port);
    const frame = parseFrame(before, 0, before.length);
    if (decision.queue === undefined || !nic || !frame?.ip) return undefined;
    const { isInner, hash, queue } = chooseQueue(before, frame, { ...nic.offload, faults: [] }, nic.queues);
    if (!isInner || hash === null) return undefined;
    const sender = formatAddress(frame.ip.source);
    const key = `${port} ${sender} ${formatAddress(frame.ip.destination)}`;
    const tally = this.#tallies.get(key) ?? this.#open(key, { nic: nic.name, sender, witness });
    if (!tally || tally.flows.size >= FLOWS_MAX) return tally;
    tally.flows.add(hash);
    tally.queues.add(decision.queue);
    tally.spread.add(queue);
    return tally;
  }

  #open(key: string, about: Pick<QueueTally, "nic" | "sender" | "witness">): QueueTally | undefined {
    if (this.#tallies.size >= PAIRS_MAX) return undefined;
    const tally = {
      packets: 0,
      ...about,
      flows: new Set<number>(),
      queues: new Set<number>(),
      spread: new Set<number>(),
    };
    this.#tallies.set(key, tally);
    return tally;
  }
}

const NOWHERE: readonly QueueTally[] = [];

const isFault = ({ flows, queues, spread }: QueueTally): boolean =>
  flows.size >= FLOWS_FROM && queues.size === 1 && spread.size > 1;
