/** `events:` of a fabric file as the lab takes them. */
import type { Vsid } from "../../dataplane/wire/index.js";
import type { LabChange, TimedChange } from "../../vswitch/index.js";
import { readLookupRecord } from "./read-lookup-record.js";
import { readAddress, readMac } from "./scalars.js";
import type { FabricFile } from "./schema.js";

type RawEvent = NonNullable<FabricFile["events"]>[number];

export const deriveEvents = (file: FabricFile): readonly TimedChange[] =>
  (file.events ?? []).map((event) => ({ atMs: event.at, change: changeOf(event) }));

function changeOf(event: RawEvent): LabChange {
  switch (event.event) {
    case "recordAdded":
    case "recordChanged":
      return { kind: event.event, host: event.record.host ?? null, record: readLookupRecord(event.record) };
    case "recordRemoved": {
      const { host = null, virtualSubnetID, customerAddress, macAddress, type } = event.record;
      const mac = readMac(macAddress);
      return {
        kind: "recordRemoved",
        host,
        record: {
          virtualSubnetID: virtualSubnetID as Vsid,
          customerAddress: readAddress(customerAddress)!,
          ...(mac === undefined ? {} : { macAddress: mac }),
          ...(type === undefined ? {} : { type }),
        },
      };
    }
    case "vmMoved": {
      const [from, vm] = event.vm.split("/") as [string, string];
      return { kind: "vmMoved", from, vm, to: event.to, downtimeMs: event.downtime ?? 0 };
    }
    case "linkDown":
    case "linkUp": {
      const [host, nic] = event.port.split("/") as [string, string];
      return { kind: event.event, host, nic };
    }
    case "hostRebooted": {
      const { host, downtime = 0, restoreAfter = null } = event;
      return { kind: "hostRebooted", host, downtimeMs: downtime, restoreMs: restoreAfter };
    }
  }
}
