/**
 * The lab in the management layer's place: the record of an address that a host has learnt is written to the other hosts of the routing
 * domain, after the time that their settings give it (`distributeLearnedMs`), and withdrawn from them in the same way.
 *
 * Of several things that happened to one address only the latest is told, so that hosts end up with the same record even if two VMs
 * contend for it while the word travels.
 */
import type { HostPolicyChange, LookupRecord, LookupRecordTable } from "../dataplane/policy/index.js";
import type { CustomerAddressEvent, NodeEvent } from "../dataplane/slowpath/index.js";
import { formatAddress, formatMac, parseAddress, type Vsid } from "../dataplane/wire/index.js";
import type { ChangesFor, HostState } from "./host-state.js";

export interface ManagedLab {
  readonly hosts: Iterable<HostState>;
  /** Has it done between two ticks, at that time of the packets. */
  schedule(atMs: number, action: () => void): void;
  /** As an operator would. */
  write(host: HostState, changesFor: ChangesFor): void;
}

export const isCustomerAddressEvent = (event: NodeEvent): event is CustomerAddressEvent =>
  event.kind === "customerAddressChanged";

export class Management {
  readonly #lab: ManagedLab;
  /** What is still on its way, by address. */
  readonly #latest = new Map<string, CustomerAddressEvent>();

  constructor(lab: ManagedLab) {
    this.#lab = lab;
  }

  /** Takes note of what a host has learnt, lost or moved just now, and tells the others at that time. */
  distribute(event: CustomerAddressEvent, learner: HostState, atMs: number): void {
    const key = `${event.virtualSubnetID} ${event.customerAddress}`;
    const record = recordIn(learner.snapshot.policy.lookupRecords, event);
    this.#latest.set(key, event);
    this.#lab.schedule(atMs, () => {
      if (this.#latest.get(key) !== event) return;
      this.#latest.delete(key);
      for (const host of this.#lab.hosts)
        if (host !== learner && isConcerned(host, event))
          this.#lab.write(host, (records) => changesFor(records, event, record));
    });
  }
}

/** A Static record stands, whoever has learnt what. */
function changesFor(
  records: LookupRecordTable,
  event: CustomerAddressEvent,
  record: LookupRecord | undefined,
): readonly HostPolicyChange[] {
  const present = recordIn(records, event);
  const isThere = present !== undefined && isSame(present, event);
  if (present?.type === "Static" || isThere === (event.change !== "Deleted")) return [];
  const changes: HostPolicyChange[] = [];
  if (present && (isThere || record)) changes.push({ kind: "recordRemoved", record: present });
  if (record) changes.push({ kind: "recordAdded", record });
  return changes;
}

/** The record of the address that the event is about. */
const recordIn = (records: LookupRecordTable, { virtualSubnetID, customerAddress }: CustomerAddressEvent) =>
  records.find(virtualSubnetID as Vsid, parseAddress(customerAddress)!);

/** A host that knows the routing domain, or has a VM of the virtual subnet. */
function isConcerned({ intended, snapshot: { ports } }: HostState, event: CustomerAddressEvent): boolean {
  const vsid = event.virtualSubnetID as Vsid;
  return intended.customerRoutes.routingDomainOf(vsid) !== undefined || ports.hasVsid(vsid);
}

const isSame = ({ macAddress, providerAddress }: LookupRecord, event: CustomerAddressEvent): boolean =>
  formatMac(macAddress) === event.macAddress && formatAddress(providerAddress) === event.providerAddress;
