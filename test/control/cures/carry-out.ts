/** Follows a packet through a lab, and does to the lab what a printed cure says, as the cmdlet would. The commands are read by a reader of their own. */
import { expect } from "vitest";
import type { Cure } from "../../../src/control/index.js";
import { type Reason, type TraceStep, trace } from "../../../src/dataplane/index.js";
import type { CustomerRoute, LookupRecord, ProviderAddress } from "../../../src/dataplane/policy/index.js";
import {
  type Mac,
  type Prefix,
  parseAddress,
  parseMac,
  parsePrefix,
  sameAddress,
} from "../../../src/dataplane/wire/index.js";
import type { Lab } from "../../../src/vswitch/index.js";

export function follow(
  lab: Lab,
  portName: string,
  frame: Uint8Array,
): { steps: TraceStep[]; ends: string[]; dropped?: [TraceStep, Reason] } {
  const steps = trace(lab.engine, lab.port(portName)!, frame);
  const ends = steps.flatMap((step) =>
    step.outputs.filter(({ peer }) => peer === null).map(({ port }) => lab.engine.ports[port]!.name),
  );
  for (const step of steps) {
    const { verdict } = step.decision;
    if (verdict.kind === "drop") return { steps, ends, dropped: [step, verdict.reason] };
  }
  return { steps, ends };
}

/** `New-X -A b -C "d e"` as name and parameters. */
function readCommand(text: string): { cmdlet: string; parameters: Record<string, string> } {
  const words = [...text.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare!);
  const parameters: Record<string, string> = {};
  for (let at = 1; at < words.length; at += 2) parameters[words[at]!.slice(1)] = words[at + 1]!;
  return { cmdlet: words[0]!, parameters };
}

/** Does what the cmdlet does. */
export function carryOut(lab: Lab, { command }: Cure, blanks: Readonly<Record<string, string>>): void {
  expect(command).not.toBeNull();
  const { cmdlet, parameters } = readCommand(command!);
  for (const [name, value] of Object.entries(parameters)) {
    if (!value.startsWith("<")) continue;
    expect(blanks, `a blank for ${name}`).toHaveProperty(name);
    parameters[name] = blanks[name]!;
  }
  const host = parameters.CimSession!;
  const policy = lab.policyOf(host)!;
  const address = (name: string) => parseAddress(parameters[name]!)!;
  const isMeant = (record: LookupRecord): boolean =>
    record.virtualSubnetID === Number(parameters.VirtualSubnetID) &&
    sameAddress(record.customerAddress, address("CustomerAddress")) &&
    record.macAddress === parseMac(parameters.MACAddress!);
  switch (cmdlet) {
    case "New-NetVirtualizationLookupRecord":
      lab.changePolicy(host, {
        kind: "recordAdded",
        record: {
          customerAddress: address("CustomerAddress"),
          virtualSubnetID: Number(parameters.VirtualSubnetID) as LookupRecord["virtualSubnetID"],
          macAddress: parseMac(parameters.MACAddress!)!,
          providerAddress: address("ProviderAddress"),
          rule: parameters.Rule as LookupRecord["rule"],
          type: (parameters.Type as LookupRecord["type"] | undefined) ?? "Static",
          useVmMACAddress: false,
          customerID: null,
          context: null,
          vmName: null,
        },
      });
      break;
    case "Set-NetVirtualizationLookupRecord": {
      const record = [...policy.lookupRecords].find(isMeant)!;
      const providerAddress = parameters.ProviderAddress ? address("ProviderAddress") : record.providerAddress;
      const rule = (parameters.Rule as LookupRecord["rule"] | undefined) ?? record.rule;
      lab.changePolicy(host, { kind: "recordReplaced", record: { ...record, providerAddress, rule } });
      break;
    }
    case "Remove-NetVirtualizationLookupRecord":
      lab.changePolicy(host, { kind: "recordRemoved", record: [...policy.lookupRecords].find(isMeant)! });
      break;
    case "New-NetVirtualizationCustomerRoute": {
      const route: CustomerRoute = {
        routingDomainID: parameters.RoutingDomainID!.toUpperCase(),
        virtualSubnetID: Number(parameters.VirtualSubnetID) as CustomerRoute["virtualSubnetID"],
        destinationPrefix: parsePrefix(parameters.DestinationPrefix!) as Prefix,
        nextHop: address("NextHop"),
        metric: Number(parameters.Metric ?? 0),
      };
      lab.changePolicy(host, { kind: "customerRoutesReplaced", routes: [...policy.customerRoutes.all, route] });
      break;
    }
    case "New-NetVirtualizationProviderAddress": {
      const added: ProviderAddress = {
        providerAddress: address("ProviderAddress"),
        interfaceIndex: Number(parameters.InterfaceIndex),
        prefixLength: Number(parameters.PrefixLength),
        vlanID: Number(parameters.VlanID ?? 0),
        macAddress: 0x0200_c0a8_040b as Mac,
        addressState: "Preferred",
      };
      lab.changePolicy(host, { kind: "providerReplaced", providerAddresses: [...policy.providerAddresses.all, added] });
      break;
    }
    default:
      throw new Error(`no such cmdlet here: ${cmdlet}`);
  }
}
