/** Where the tests find the program and its labs, also when they are compiled to another folder. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The nearest folder above that has the package. */
function rootAbove(folder: string): string {
  return existsSync(join(folder, "package.json")) ? folder : rootAbove(dirname(folder));
}

export const ROOT = rootAbove(dirname(fileURLToPath(import.meta.url)));
export const HNV = join(ROOT, "bin/hnv");
export const LABS = {
  plain: join(ROOT, "examples/two-tenants.yaml"),
  vlan: join(ROOT, "examples/two-tenants-vlan.yaml"),
  v6: join(ROOT, "examples/two-tenants-v6.yaml"),
  records: join(ROOT, "examples/one-host-records.yaml"),
} as const;
