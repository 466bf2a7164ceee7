/**
 * The lab of `hnv bench`: one host with one VM and one NIC, and a tenant's thousand other VMs on ten hosts behind the NIC, all
 * by lookup records. Policy, checks and layers are those of any lab.
 *
 *     host1/Blue1 ── host1 ── host1/nic1      (network of the provider, not emulated)
 */
import type { Engine } from "../../dataplane/index.js";
import { type CustomerRoute, DEFAULT_NVE_SETTINGS, LookupRecordsBuilder } from "../../dataplane/policy/index.js";
import { DEFAULT_GUEST_OFFLOAD, DEFAULT_NIC_OFFLOAD } from "../../dataplane/slowpath/index.js";
import type { PortIndex } from "../../dataplane/transposition/index.js";
import { Address, type AddressFamily, ipv4Address, type Mac, type Vsid } from "../../dataplane/wire/index.js";
import { Lab } from "../../vswitch/index.js";
import { type BenchCase, flowCapacityOf, overheadOf, SIZE_MAX } from "./cases.js";

export const VSID = 5001 as Vsid;
const FAR_VMS = 1_000;
const FAR_HOSTS = 10;
/** No frame of a case is too long for the provider network. */
const PROVIDER_MTU = SIZE_MAX + overheadOf(6);

/** A VM and the host that it is on, as far as frames know them. */
export interface Party {
  readonly mac: Mac;
  readonly customerAddress: (family: AddressFamily) => Address;
  readonly providerAddress: (family: AddressFamily) => Address;
  readonly nicMac: Mac;
}

const makeParty = (vm: number, host: number): Party => ({
  mac: (0x0606_0000_0000 + vm) as Mac,
  customerAddress: (family) => (family === 4 ? ipv4Address(0x0a00_0000 + vm) : new Address(6, 0xfd00_0010, 0, 0, vm)),
  providerAddress: (family) =>
    family === 4 ? ipv4Address(0xc0a8_0400 + host) : new Address(6, 0x2001_0db8, 0x0004_0000, 0, host),
  nicMac: (0x0200_c0a8_0400 + host) as Mac,
});

export const BLUE1 = makeParty(5, 11);
const FAR = Array.from({ length: FAR_VMS }, (_, n) => makeParty(0x100 + n, 20 + (n % FAR_HOSTS)));
/** With whom Blue1 speaks in a flow. */
export const partnerOf = (flow: number): Party => FAR[flow % FAR_VMS]!;

export interface BenchLab {
  readonly engine: Engine;
  /** Where frames enter, and where all of them leave. */
  readonly entry: PortIndex;
  readonly exit: PortIndex;
}

export function makeBenchLab(one: BenchCase, kernel: WebAssembly.Module): BenchLab {
  const { inner, outer, direction } = one;
  const records = new LookupRecordsBuilder();
  for (const { mac, customerAddress, providerAddress } of [BLUE1, ...FAR])
    records.add(VSID, customerAddress(inner), mac, providerAddress(outer));
  const lab = new Lab(
    {
      hosts: [
        {
          name: "host1",
          policyDelayMs: 0,
          nve: DEFAULT_NVE_SETTINGS,
          nics: [{ name: "nic1", mac: BLUE1.nicMac, mtu: PROVIDER_MTU, offload: DEFAULT_NIC_OFFLOAD, rssQueues: 1 }],
          distributeLearnedMs: null,
          adapters: [
            {
              portName: "Blue1",
              vmName: "Blue1",
              mac: BLUE1.mac,
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
            {
              address: BLUE1.providerAddress(outer),
              prefixLength: outer === 4 ? 24 : 64,
              vlan: 0,
              mac: null,
              interfaceIndex: 1,
            },
          ],
          providerRoutes: [],
          neighbors: FAR.slice(0, FAR_HOSTS).map(({ providerAddress, nicMac }) => ({
            address: providerAddress(outer),
            mac: nicMac,
          })),
          neighborsOnWire: null,
          customerRoutes: [onLinkRoute(inner)],
          lookupRecords: records.build(),
        },
      ],
      provider: null,
      gateways: [],
      events: [],
    },
    { kernel, flowCapacity: flowCapacityOf(one) },
  );
  const [vm, nic] = [lab.port("host1/Blue1")!, lab.port("host1/nic1")!];
  return direction === "encap"
    ? { engine: lab.engine, entry: vm, exit: nic }
    : { engine: lab.engine, entry: nic, exit: vm };
}

/** 10.0.0.0/16 or fd00:10::/64: all VMs are in one virtual subnet. */
const onLinkRoute = (family: AddressFamily): CustomerRoute => ({
  routingDomainID: "{11111111-2222-3333-4444-000000005001}",
  virtualSubnetID: VSID,
  destinationPrefix:
    family === 4
      ? { address: ipv4Address(0x0a00_0000), length: 16 }
      : { address: new Address(6, 0xfd00_0010, 0, 0, 0), length: 64 },
  nextHop: family === 4 ? ipv4Address(0) : new Address(6, 0, 0, 0, 0),
  metric: 0,
});
