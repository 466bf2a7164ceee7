/** Events: who they are about is there at that time, in the order in which they happen. */
import type { Path } from "../../problem.js";
import { each, type Loose } from "../report.js";
import type { FabricFile } from "../schema.js";
import { nearestName } from "../validate.js";
import type { Checking } from "./context.js";
import { checkLookupRecord } from "./records.js";

type RawEvent = Loose<NonNullable<FabricFile["events"]>[number]>;

export function checkEvents(checking: Checking): void {
  const places = new Places(checking);
  const inOrder = [...each(checking.file.events)].sort(([a], [b]) => (a.at ?? 0) - (b.at ?? 0)); // the sort is stable
  for (const [event, i] of inOrder) checkEvent(checking, event, ["events", i], places);
}

function checkEvent(checking: Checking, event: RawEvent, path: Path, places: Places): void {
  switch (event.event) {
    case "recordAdded":
    case "recordChanged":
      if (event.record) checkLookupRecord(checking, event.record, [...path, "record"]);
      places.host(event.record?.host, [...path, "record", "host"]);
      break;
    case "recordRemoved":
      places.host(event.record?.host, [...path, "record", "host"]);
      break;
    case "vmMoved":
      places.move(event, path);
      break;
    case "linkDown":
    case "linkUp":
      places.nic(event.port, [...path, "port"]);
      break;
    case "hostRebooted":
      places.host(event.host, [...path, "host"]);
      break;
  }
}

/** Which VMs are on which host, as the events go by. */
class Places {
  readonly #vms = new Map<string, Set<string>>();
  readonly #nics = new Map<string, Set<string>>();
  /** When each VM that has moved is there, by the name that it has there. */
  readonly #arrivals = new Map<string, number>();

  constructor(private readonly checking: Checking) {
    for (const [host] of each(checking.file.hosts)) {
      if (host.name === undefined) continue;
      const namesOf = (
        list: readonly ({ readonly name?: string | undefined } | undefined)[] | undefined,
      ): Set<string> => new Set([...each(list)].flatMap(([{ name }]) => (name === undefined ? [] : [name])));
      this.#vms.set(host.name, namesOf(host.vms));
      this.#nics.set(host.name, namesOf(host.nics));
    }
  }

  host(name: string | undefined, path: Path): void {
    if (name !== undefined && !this.#vms.has(name)) this.#unknown("UNKNOWN_HOST", "host", name, this.#vms.keys(), path);
  }

  nic(port: string | undefined, path: Path): void {
    const found = this.#find(port, this.#nics, path);
    if (found) this.#mustHave("UNKNOWN_NIC", "NIC", found, path);
  }

  move({ at = 0, vm, to, downtime = 0 }: Extract<RawEvent, { event?: "vmMoved" | undefined }>, path: Path): void {
    const from = this.#find(vm, this.#vms, [...path, "vm"]);
    this.host(to, [...path, "to"]);
    if (!from || !this.#mustHave("UNKNOWN_VM", "VM", from, [...path, "vm"])) return;
    const target = to === undefined ? undefined : this.#vms.get(to);
    if (!target) return;
    const { report } = this.checking;
    if (to === from.host) report.add([...path, "to"], "NOT_ALLOWED", `${vm} is on ${to} already`);
    else if (target.has(from.name) || this.#nics.get(to!)!.has(from.name))
      report.add([...path, "to"], "DUPLICATE_NAME", `${to} has a port called ${from.name} already`);
    const arrival = this.#arrivals.get(vm!);
    if (arrival !== undefined && at <= arrival) {
      const message = `${vm} is on its way to ${from.host} until ${arrival}`;
      report.add([...path, "at"], "NOT_ALLOWED", message, `from ${arrival + 1} on it can move again`);
    }
    from.names.delete(from.name);
    target.add(from.name);
    if (downtime > 0) this.#arrivals.set(`${to}/${from.name}`, at + downtime);
    else this.#arrivals.delete(`${to}/${from.name}`);
  }

  /** HOST/NAME taken apart, if the host is known. */
  #find(
    text: string | undefined,
    lists: ReadonlyMap<string, Set<string>>,
    path: Path,
  ): { readonly host: string; readonly name: string; readonly names: Set<string> } | undefined {
    if (text === undefined) return undefined;
    const [host = "", name = "", ...more] = text.split("/");
    if (name === "" || more.length > 0) {
      this.checking.report.add(path, "NOT_ALLOWED", `expected HOST/NAME, found ${text}`);
      return undefined;
    }
    const names = lists.get(host);
    if (!names) this.#unknown("UNKNOWN_HOST", "host", host, lists.keys(), path);
    return names && { host, name, names };
  }

  #mustHave(
    code: string,
    what: string,
    { host, name, names }: { readonly host: string; readonly name: string; readonly names: ReadonlySet<string> },
    path: Path,
  ): boolean {
    if (names.has(name)) return true;
    this.#unknown(code, `${what} of ${host}`, name, names.keys(), path);
    return false;
  }

  #unknown(code: string, what: string, name: string, names: Iterable<string>, path: Path): void {
    const nearest = nearestName(name, names);
    this.checking.report.add(path, code, `no ${what} is called ${name}`, nearest && `did you mean ${nearest}?`);
  }
}
