/** The rows of the NetWNV tables as a fabric file: with the hosts around them, and with the way back from each part to the row it was made of. */
import type { Path } from "../../problem.js";
import { formatPath } from "../../problem.js";
import type { ListName } from "./classes.js";
import { type Knowledge, type Origin, type PolicyLists, type PolicyObject, surroundings } from "./surroundings.js";

export interface Policy {
  readonly lists: PolicyLists;
  readonly globals: readonly PolicyObject[];
  /** In the order in which they were named; none: one host without a name. */
  readonly hosts: readonly string[];
  /** What is known beyond the tables. */
  readonly knowledge?: Knowledge;
}

export interface PolicySource {
  readonly plain: Record<string, unknown>;
  /** The row that the value at a path comes from, and, where the path goes on to one of its fields, that. */
  originOf(path: Path): { readonly origin: Origin; readonly field: string | number | undefined } | undefined;
}

export function policySource({ lists, globals, hosts, knowledge }: Policy): PolicySource {
  const origins = new Map<string, Origin>();
  const plain: Record<string, unknown> = {
    apiVersion: "hnv/v1",
    ...surroundings(lists, globals, hosts, origins, knowledge),
  };
  for (const [list, objects] of Object.entries(lists)) {
    if (objects.length > 0) plain[list] = objects.map(({ raw }) => raw);
  }
  const rowAt = ([list, index, ...rest]: Path): Origin | undefined => {
    if (rest.length > 0 || !Object.hasOwn(lists, String(list))) return undefined;
    const object = lists[list as ListName][Number(index)];
    return object && { list: list as ListName, offset: object.offset };
  };
  return {
    plain,
    originOf: (path) => {
      for (let length = path.length; length > 0; length--) {
        const head = path.slice(0, length);
        const origin = rowAt(head) ?? origins.get(formatPath(head));
        if (origin) return { origin, field: path[length] };
      }
      return undefined;
    },
  };
}
