/** What the checks of agreement share: the document without its ill-formed parts, and where to report. */
import type { Address } from "../../../dataplane/wire/index.js";
import type { Path } from "../../problem.js";
import type { Loose, Report } from "../report.js";
import type { FabricFile } from "../schema.js";

export interface Checking {
  readonly file: Loose<FabricFile>;
  readonly report: Report;
}

/** Paths by what they claim: a name, an address, a MAC. */
export type Claims = Map<string, Path>;

/** Equal for equal addresses, and for them only. */
export const addressKey = (a: Address): string => `${a.family}/${a.w0}.${a.w1}.${a.w2}.${a.w3}`;

/** Do two `host` fields name a common host? Absent means every host. */
export const scopesMeet = (a: string | undefined, b: string | undefined): boolean =>
  a === undefined || b === undefined || a === b;
