/** A whole host with the VM Blue1, one NIC, and lookup records of customers behind another host, from FIRST_CUSTOMER on. */
import { DEFAULT_NVE_SETTINGS, LookupRecordsBuilder } from "../../dist/dataplane/policy/index.js";
import { DEFAULT_GUEST_OFFLOAD, DEFAULT_NIC_OFFLOAD } from "../../dist/dataplane/slowpath/index.js";
import { ipv4Address } from "../../dist/dataplane/wire/index.js";
import { kernelModule } from "../../dist/kernel-file.js";
import { Lab } from "../../dist/vswitch/index.js";
import { BLUE1_MAC, FAR_NIC_MAC, NIC_MAC, PROVIDER4, VSID } from "./frames.mjs";

export const FIRST_CUSTOMER = 0x0a000100;
/** A host that no record names at first. */
export const ELSEWHERE = ipv4Address(PROVIDER4.destination + 1);

export function hostLab(records, limits = {}) {
  const builder = new LookupRecordsBuilder();
  const far = ipv4Address(PROVIDER4.destination);
  builder.add(VSID, ipv4Address(0x0a000005), BLUE1_MAC, ipv4Address(PROVIDER4.source));
  for (let n = 0; n < records; n++) builder.add(VSID, ipv4Address(FIRST_CUSTOMER + n), 0x060700000000 + n, far);
  const host = {
    name: "host1",
    policyDelayMs: 0,
    nve: DEFAULT_NVE_SETTINGS,
    nics: [{ name: "nic1", mac: NIC_MAC, mtu: 1600, offload: DEFAULT_NIC_OFFLOAD }],
    distributeLearnedMs: null,
    adapters: [
      {
        portName: "Blue1",
        vmName: "Blue1",
        mac: BLUE1_MAC,
        vsid: VSID,
        macAddressSpoofing: false,
        ieeePriorityTag: false,
        guest: DEFAULT_GUEST_OFFLOAD,
        dhcpGuard: false,
        routerGuard: false,
        stormLimit: 0,
        dynamicIPAddressLimit: 0,
        isolation: null,
      },
    ],
    providerAddresses: [
      { address: ipv4Address(PROVIDER4.source), prefixLength: 24, vlan: 0, mac: null, interfaceIndex: 1 },
    ],
    providerRoutes: [],
    neighbors: [far, ELSEWHERE].map((address) => ({ address, mac: FAR_NIC_MAC })),
    neighborsOnWire: null,
    customerRoutes: [
      {
        routingDomainID: "{11111111-2222-3333-4444-000000005001}",
        virtualSubnetID: VSID,
        destinationPrefix: { address: ipv4Address(0x0a000000), length: 8 },
        nextHop: ipv4Address(0),
        metric: 0,
      },
    ],
    lookupRecords: builder.build(),
  };
  return new Lab({ hosts: [host], provider: null, gateways: [], events: [] }, { kernel: kernelModule(), ...limits });
}
