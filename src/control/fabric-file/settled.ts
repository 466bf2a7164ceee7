/**
 * The lab of a fabric file when its hosts have been on the wire for a while (`resolve: wire`): they know their neighbors' MAC addresses, and nobody
 * else has their provider addresses. For questions about the policy, which no frame is to wait for.
 */
import type { LabSettings } from "../../vswitch/index.js";
import { deriveLab } from "./derive.js";
import type { Loaded } from "./load.js";
import type { FabricFile } from "./schema.js";

/** The loaded lab itself if nobody resolves on the wire. */
export function settledLab({ lab, document: { fabric } }: Extract<Loaded, { readonly ok: true }>): LabSettings {
  const usesWire = lab.hosts.some(({ nve }) => nve.resolve === "wire");
  return usesWire ? deriveLab(withoutWire(fabric)) : lab;
}

const withoutWire = (fabric: FabricFile): FabricFile => ({
  ...fabric,
  settings: { ...fabric.settings, resolve: "static" },
  hosts: fabric.hosts.map((host) => ({ ...host, settings: { ...host.settings, resolve: "static" } })),
});
