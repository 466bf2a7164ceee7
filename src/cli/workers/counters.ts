/** The counters of several engines that shared the work, as those of one. */
import type { ReasonCount } from "../../dataplane/index.js";
import type { Counters } from "../results.js";

/** Adds up counters of engines with the same ports. Of `flows`, an entry that two engines have counts twice. */
export function sumCounters([first, ...others]: readonly Counters[]): Counters {
  if (!first) throw new RangeError("no counters to add up");
  return others.reduce(
    (sum, counters) => ({
      ports: sum.ports.map(({ rx, tx, queues }, port) => ({
        rx: addFields(rx, counters.ports[port]!.rx),
        tx: addFields(tx, counters.ports[port]!.tx),
        ...(queues && { queues: queues.map((count, queue) => count + counters.ports[port]!.queues![queue]!) }),
      })),
      reasons: addReasons(sum.reasons, counters.reasons),
      totals: addFields(sum.totals, counters.totals),
      flows: addFields(sum.flows, counters.flows),
    }),
    first,
  );
}

function addFields<Fields extends { readonly [Name in keyof Fields]: number }>(a: Fields, b: Fields): Fields {
  const names = Object.keys(a) as (keyof Fields)[];
  return Object.fromEntries(names.map((name) => [name, a[name] + b[name]])) as Fields;
}

/** By port and reason, as an engine gives them. */
function addReasons(a: readonly ReasonCount[], b: readonly ReasonCount[]): ReasonCount[] {
  const sums = new Map<string, ReasonCount>();
  for (const one of [...a, ...b]) {
    const key = `${one.port} ${one.reason}`;
    sums.set(key, { ...one, count: one.count + (sums.get(key)?.count ?? 0) });
  }
  return [...sums.values()].sort((x, y) => x.port - y.port || x.reason - y.reason);
}
