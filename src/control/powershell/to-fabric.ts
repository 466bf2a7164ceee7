/**
 * From the hosts that a script has configured to a fabric file: the rows of their tables, as what the cmdlets print is taken anywhere else
 * (`fabric-file/powershell`), and the VMs whose adapters the script has set.
 */
import { CLASSES, putField } from "../fabric-file/powershell/classes.js";
import { policySource } from "../fabric-file/powershell/policy-source.js";
import type { PolicyLists, PolicyObject } from "../fabric-file/powershell/surroundings.js";
import type { Source, SourcePosition } from "../fabric-file/source.js";
import type { Path } from "../problem.js";
import type { ScriptHosts } from "./hosts.js";
import type { Journal } from "./journal.js";
import { KnownVms } from "./known-vms.js";
import { type Place, type Position, positionOf } from "./script.js";

/** The fabric file as plain values, of which every part leads back to the command that made it. */
export interface FabricSource extends Source {
  readonly plain: Record<string, unknown>;
}

export function fabricSource(hosts: ScriptHosts, journal: Journal, start: Position): FabricSource {
  const places: Place[] = [];
  /** Rows are known by a number in the place of an offset. */
  const numbered = (place: Place): number => places.push(place) - 1;
  const lists: PolicyLists = { lookupRecords: [], customerRoutes: [], providerAddresses: [], providerRoutes: [] };
  const globals: PolicyObject[] = [];
  for (const host of hosts.all) {
    for (const isA of CLASSES) {
      if (isA.list === null) continue;
      for (const row of host.tables[isA.list].values()) {
        const raw: Record<string, unknown> = { host: host.name };
        for (const [property, value] of Object.entries(row.properties)) putField(raw, isA, property, () => value);
        lists[isA.list].push({ raw: withoutUsual(raw), offset: numbered(row.place) });
      }
    }
    const { useExternalRouter: global } = host;
    if (global)
      globals.push({ raw: { host: host.name, useExternalRouter: global.value }, offset: numbered(global.place) });
  }
  const vms = new KnownVms(hosts, journal);
  const { plain, originOf } = policySource({
    lists,
    globals,
    hosts: hosts.all.map(({ name }) => name),
    knowledge: {
      nicName: (host, index) => hosts.find(host)?.nics.find((nic) => nic.index === index)?.name,
      vms: (host) => vms.of(host).map(({ vm, place }) => ({ ...vm, offset: numbered(place) })),
    },
  });
  for (const [list, objects] of Object.entries(lists)) {
    const merged = mergedHosts(objects, hosts.all.length);
    objects.length = 0;
    for (const object of merged) objects.push(object);
    if (list in plain) plain[list] = objects.map(({ raw }) => raw);
  }
  if (hosts.mode === "2012") plain.mode = "2012";
  const position = (path: Path): SourcePosition => {
    const found = originOf(path);
    return found ? positionOf(places[found.origin.offset]!) : start;
  };
  return { plain, problems: [], warnings: [], position, keyPosition: position };
}

/** What a row has anyway need not be written. */
function withoutUsual(raw: Record<string, unknown>): Record<string, unknown> {
  if (raw.type === "Static") delete raw.type;
  if (raw.useVmMACAddress === false) delete raw.useVmMACAddress;
  return raw;
}

/** A row that all hosts have is written once, without a host. */
function mergedHosts(objects: readonly PolicyObject[], hosts: number): readonly PolicyObject[] {
  const keyOf = ({ raw: { host: _, ...rest } }: PolicyObject): string => JSON.stringify(rest);
  const counts = new Map<string, number>();
  for (const object of objects) counts.set(keyOf(object), (counts.get(keyOf(object)) ?? 0) + 1);
  const written = new Set<string>();
  return objects.flatMap((object) => {
    const key = keyOf(object);
    if (counts.get(key)! < hosts) return [object];
    if (written.has(key)) return [];
    written.add(key);
    const { host: _, ...raw } = object.raw;
    return [{ ...object, raw }];
  });
}
