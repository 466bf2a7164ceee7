/**
 * Carries out what happens to a lab (`changes.ts`), between two ticks. A change that a cmdlet would refuse is told and has no effect:
 * the run goes on, as a fabric does.
 */
import type { Engine } from "../dataplane/index.js";
import {
  type HostPolicyChange,
  type LookupRecord,
  type LookupRecordTable,
  lookupRecordInMode,
  type NveSettings,
  PolicyError,
} from "../dataplane/policy/index.js";
import type { NodeEvent } from "../dataplane/slowpath/index.js";
import { formatAddress, sameAddress } from "../dataplane/wire/index.js";
import type { LabChange, RecordKey } from "./changes.js";
import type { AdapterAtPort } from "./host-ports.js";
import type { ChangesFor, HostState } from "./host-state.js";
import { Placement } from "./placement.js";

/** What changes, seen from the moment of the change. */
export interface ChangingLab {
  readonly engine: Engine;
  readonly nowMs: number;
  readonly hosts: readonly HostState[];
  notify(host: HostState, event: NodeEvent): void;
  /** Now, if nothing is to be waited for. */
  later(afterMs: number, action: (lab: ChangingLab) => void): void;
}

export function carryOut(lab: ChangingLab, change: LabChange): void {
  switch (change.kind) {
    case "recordAdded":
    case "recordChanged":
    case "recordRemoved":
      for (const host of lab.hosts) {
        if (change.host === null || change.host === host.name) changeRecord(lab, host, change);
      }
      break;
    case "vmMoved":
      moveVm(lab, change);
      break;
    case "linkDown":
    case "linkUp":
      setLink(lab, change);
      break;
    case "hostRebooted":
      reboot(lab, change);
      break;
  }
}

const hostNamed = (lab: ChangingLab, name: string): HostState => {
  const host = lab.hosts.find((candidate) => candidate.name === name);
  if (!host) throw new RangeError(`no host is named ${name}`);
  return host;
};

type RecordChange = Extract<LabChange, { kind: "recordAdded" | "recordChanged" | "recordRemoved" }>;

/** Each host hears of it when its management does. */
function changeRecord(lab: ChangingLab, host: HostState, change: RecordChange): void {
  lab.later(host.settings.policyDelayMs, (then) => {
    const { mode } = host.snapshot.policy.settings;
    write(then, host, (records) => policyChanges(records, change, mode));
  });
}

function policyChanges(
  records: LookupRecordTable,
  change: RecordChange,
  mode: NveSettings["mode"],
): readonly HostPolicyChange[] {
  if (change.kind === "recordAdded") return [{ kind: "recordAdded", record: change.record }];
  if (change.kind === "recordChanged") return [{ kind: "recordReplaced", record: change.record }];
  return recordsBy(records, change.record, mode).map((record) => ({ kind: "recordRemoved", record }));
}

/** All records that the key fits. A removal that finds none has nothing to do, as with a cmdlet in a pipeline. */
function recordsBy(records: LookupRecordTable, key: RecordKey, mode: NveSettings["mode"]): readonly LookupRecord[] {
  const type = key.type && lookupRecordInMode({ customerAddress: key.customerAddress, type: key.type }, mode).type;
  const single = records.find(key.virtualSubnetID, key.customerAddress);
  const ofMac = key.macAddress === undefined ? records : records.findByMac(key.virtualSubnetID, key.macAddress);
  const candidates = single ? [single] : [...ofMac];
  return candidates.filter(
    (record) =>
      record.virtualSubnetID === key.virtualSubnetID &&
      sameAddress(record.customerAddress, key.customerAddress) &&
      (key.macAddress === undefined || record.macAddress === key.macAddress) &&
      (type === undefined || record.type === type),
  );
}

/** Management writes this to a host, and takes note of it. */
function write(lab: ChangingLab, host: HostState, changesFor: ChangesFor): void {
  host.note(changesFor);
  for (const change of changesFor(host.snapshot.policy.lookupRecords)) applyPolicy(lab, host, change);
}

function applyPolicy(lab: ChangingLab, host: HostState, change: HostPolicyChange): void {
  try {
    lab.engine.moveStamps(host.changePolicy(change));
    lab.notify(host, { kind: "policyChanged", host: host.name, change: change.kind, ...recordText(change) });
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    lab.notify(host, { kind: "changeRefused", host: host.name, change: change.kind, message: error.message });
  }
}

const recordText = (change: HostPolicyChange): Record<string, string | number> => {
  if (!("record" in change)) return {};
  const { virtualSubnetID, customerAddress } = change.record;
  return { virtualSubnetID, customerAddress: formatAddress(customerAddress) };
};

function moveVm(lab: ChangingLab, { from, vm, to, downtimeMs }: Extract<LabChange, { kind: "vmMoved" }>): void {
  const source = hostNamed(lab, from);
  const target = hostNamed(lab, to);
  const leaving = source.snapshot.ports.adaptersOfVm(vm);
  const ports = new Set(leaving.map(({ port }) => port));
  const isOnItsWay = leaving.some(({ port }) => source.snapshot.ports.hasStopped(port));
  if (leaving.length === 0 || isOnItsWay) {
    const message = isOnItsWay ? `${vm} is on its way to another host already` : `${vm} is not on ${from}`;
    lab.notify(source, { kind: "changeRefused", host: from, change: "vmMoved", message });
    return;
  }
  const { engine } = lab;
  engine.moveStamps(source.changePorts(source.snapshot.ports.withStopped(ports, true), ports));
  lab.notify(source, { kind: "vmStopped", host: from, vm });

  lab.later(downtimeMs, (then) => {
    engine.moveStamps(source.changePorts(source.snapshot.ports.withoutAdapters(ports), ports));
    for (const port of ports) engine.movePort(port, target.node);
    engine.moveStamps(target.changePorts(target.snapshot.ports.withAdapters(leaving), ports));
    // A host that is away runs it when it is back, with its other VMs.
    then.notify(target, { kind: target.snapshot.ports.isAway ? "vmArrived" : "vmResumed", host: to, vm });
    const placement = new Placement(target);
    // Source and target know at once; the others when their management tells them.
    for (const host of then.hosts) {
      const delayMs = host === source || host === target ? 0 : host.settings.policyDelayMs;
      then.later(delayMs, (last) => write(last, host, (records) => placed(records, leaving, placement)));
    }
  });
}

/** The VM's records name a provider address of the target; where that has none of the family they stay, and mislead. */
function placed(
  records: LookupRecordTable,
  adapters: readonly AdapterAtPort[],
  placement: Placement,
): readonly HostPolicyChange[] {
  return recordsOf(records, adapters).flatMap((record) => {
    const providerAddress = placement.addressOf(record);
    return providerAddress ? [{ kind: "recordReplaced", record: { ...record, providerAddress } }] : [];
  });
}

/** By VSID and MAC together: another tenant may use the same MAC. An adapter may stand for several ports, and for several virtual subnets. */
function recordsOf(records: LookupRecordTable, adapters: readonly AdapterAtPort[]): readonly LookupRecord[] {
  const found = new Map<string, readonly LookupRecord[]>();
  for (const { settings } of adapters) {
    const { mac, vsid, isolation } = settings;
    for (const own of [vsid, ...(isolation?.hiddenVsids ?? [])])
      found.set(`${own} ${mac}`, records.findByMac(own, mac));
  }
  return [...found.values()].flat();
}

function setLink(
  lab: ChangingLab,
  { kind, host: name, nic }: Extract<LabChange, { kind: "linkDown" | "linkUp" }>,
): void {
  const host = hostNamed(lab, name);
  const place = host.settings.nics.findIndex((candidate) => candidate.name === nic);
  if (place < 0) throw new RangeError(`${name} has no NIC named ${nic}`);
  const { ports } = host.snapshot;
  const port = ports.nicPort(place + 1);
  lab.engine.moveStamps(host.changePorts(ports.withStopped([port], kind === "linkDown"), [port]));
  if (kind === "linkUp" && ports.hasStopped(port)) host.linkUp(place + 1, lab.engine.workOf(host.node));
  lab.notify(host, { kind, host: name, nic });
}

function reboot(
  lab: ChangingLab,
  { host: name, downtimeMs, restoreMs }: Extract<LabChange, { kind: "hostRebooted" }>,
): void {
  const host = hostNamed(lab, name);
  const setAway = (isAway: boolean): void => {
    const { ports } = host.snapshot;
    lab.engine.moveStamps(host.changePorts(ports.withHostAway(isAway), ports.all));
  };
  setAway(true);
  lab.notify(host, { kind: "hostDown", host: name });
  host.forget(lab.engine.workOf(host.node));
  const { life } = host;
  const inThisLife = (then: ChangingLab, afterMs: number, action: (lab: ChangingLab) => void): void =>
    then.later(afterMs, (last) => {
      if (host.life === life) action(last); // else it has been rebooted again, and that reboot says when it is back
    });
  inThisLife(lab, downtimeMs, (then) => {
    setAway(false);
    then.notify(host, { kind: "hostUp", host: name });
    if (restoreMs === null) return;
    inThisLife(then, restoreMs, (last) => {
      host.restore(last.engine.workOf(host.node));
      last.notify(host, { kind: "policyRestored", host: name });
    });
  });
}
